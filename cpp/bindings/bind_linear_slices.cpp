#include "arrays.hpp"
#include "bindings.hpp"

#include "mapsort/linear_slices.hpp"

namespace mapsort::inline MAPSORT_ISA {

namespace {

LinearSlices linear_slices(const py::array& points, index_t side) {
  return {view<const float, 2>(points, "points", {-1, 2}), side};
}

void set_linear_views(LinearSlices& plan, const py::array& rotations) {
  plan.set_views(rotations_view(rotations, "rotations"));
}

py::array_t<complex_t> read_linear(const LinearSlices& plan, const py::array& maps, int n_threads) {
  const auto source = view<const complex_t, 2>(maps, "maps", {plan.voxels(), -1});
  py::array_t<complex_t> slices({plan.n_views(), plan.n_points(), source.shape[1]});
  const auto target = view<complex_t, 3>(slices, "slices", {-1, -1, -1});
  py::gil_scoped_release release;
  plan.read(source, target, n_threads);
  return slices;
}

void insert_weighted(const LinearSlices& plan, const py::array& data, const py::array& data_weights,
                     const py::array& density, const py::array& density_weights,
                     const py::array& numerator, const py::array& denominator, int n_threads) {
  const index_t n = plan.n_views(), m = plan.n_points(), voxels = plan.voxels();
  const auto above = view<complex_t, 2>(numerator, "numerator", {voxels, -1});
  const auto below = view<float, 2>(denominator, "denominator", {voxels, -1});
  const WeightedSlices slices{
      view<const complex_t, 2>(data, "data", {n, m}),
      view<const float, 2>(data_weights, "data_weights", {n, above.shape[1]}),
      view<const float, 2>(density, "density", {n, m}),
      view<const float, 2>(density_weights, "density_weights", {n, below.shape[1]})};
  py::gil_scoped_release release;
  plan.insert(slices, above, below, n_threads);
}

} // namespace

void bind_linear_slices(py::module_& m) {
  py::class_<LinearSlices>(m, "LinearSlices",
                           "Central slices of several maps at once, by linear interpolation.")
      .def(py::init(&linear_slices), py::arg("points"), py::arg("side"))
      .def("set_views", &set_linear_views, py::arg("rotations"),
           "Take rotations (n, 3, 3), object to view.")
      .def("read", &read_linear, py::arg("maps"), py::kw_only(), py::arg("n_threads") = 1,
           "Slices (n, m, q) of maps (voxels, q).")
      .def("insert", &insert_weighted, py::kw_only(), py::arg("data"), py::arg("data_weights"),
           py::arg("density"), py::arg("density_weights"), py::arg("numerator"),
           py::arg("denominator"), py::arg("n_threads") = 1,
           "Add weighted slices to numerator (voxels, a) and denominator (voxels, b).");
}

} // namespace mapsort::inline MAPSORT_ISA
