#include "arrays.hpp"
#include "bindings.hpp"

#include "mapsort/linear_slices.hpp"

#include <algorithm> // for std::fill_n
#include <utility>   // for std::pair

namespace mapsort::inline MAPSORT_ISA {

namespace {

LinearSlices linear_slices(const py::array& points, index_t side) {
  return {view<const float, 2>(points, "points", {-1, 2}), side};
}

void set_linear_views(LinearSlices& plan, const py::array& rotations, int n_threads) {
  const auto turns = rotations_view(rotations, "rotations");
  py::gil_scoped_release release;
  plan.set_views(turns, n_threads);
}

py::array_t<complex_t> read_linear(const LinearSlices& plan, const py::array& maps, int n_threads) {
  const auto source = view<const complex_t, 2>(maps, "maps", {plan.voxels(), -1});
  py::array_t<complex_t> slices({plan.n_views(), plan.n_points(), source.shape[1]});
  const auto target = view<complex_t, 3>(slices, "slices", {-1, -1, -1});
  py::gil_scoped_release release;
  plan.read(source, target, n_threads);
  return slices;
}

std::pair<py::array_t<complex_t>, py::array_t<float>>
insert_weighted(const LinearSlices& plan, const py::array& data, const py::array& data_weights,
                const py::array& density, const py::array& density_weights, int n_threads) {
  const index_t n = plan.n_views(), m = plan.n_points();
  const WeightedSlices slices{view<const complex_t, 2>(data, "data", {n, m}),
                              view<const float, 2>(data_weights, "data_weights", {n, -1}),
                              view<const float, 2>(density, "density", {n, m}),
                              view<const float, 2>(density_weights, "density_weights", {n, -1})};
  py::array_t<complex_t> numerator({plan.voxels(), slices.data_weights.shape[1]});
  py::array_t<float> denominator({plan.voxels(), slices.density_weights.shape[1]});
  const auto above = view<complex_t, 2>(numerator, "numerator", {-1, -1});
  const auto below = view<float, 2>(denominator, "denominator", {-1, -1});
  py::gil_scoped_release release;
  std::fill_n(above.data, above.size(), complex_t{});
  std::fill_n(below.data, below.size(), 0.0f);
  plan.insert(slices, above, below, n_threads);
  return {std::move(numerator), std::move(denominator)};
}

} // namespace

void bind_linear_slices(py::module_& m) {
  py::class_<LinearSlices>(m, "LinearSlices",
                           "Central slices of several maps at once, by linear interpolation.")
      .def(py::init(&linear_slices), py::arg("points"), py::arg("side"))
      .def("set_views", &set_linear_views, py::arg("rotations"), py::kw_only(),
           py::arg("n_threads") = 1, "Locate the points for rotations (n, 3, 3), object to view.")
      .def("read", &read_linear, py::arg("maps"), py::kw_only(), py::arg("n_threads") = 1,
           "Slices (n, m, q) of maps (voxels, q).")
      .def("insert", &insert_weighted, py::kw_only(), py::arg("data"), py::arg("data_weights"),
           py::arg("density"), py::arg("density_weights"), py::arg("n_threads") = 1,
           "Numerator (voxels, a) and denominator (voxels, b) of weighted slices.");
}

} // namespace mapsort::inline MAPSORT_ISA
