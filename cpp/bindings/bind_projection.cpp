#include "arrays.hpp"
#include "bindings.hpp"

#include "mapsort/projection.hpp"

namespace mapsort::inline MAPSORT_ISA {

namespace {

py::array_t<complex_t> gather(const py::array& grid, double max_frequency, int width,
                              int n_threads) {
  const auto source = view<const complex_t, 3>(grid, "grid", {-1, -1, -1});
  require(max_frequency >= 0.0, "max_frequency: expected at least 0");
  require(width >= kMinWidth && width <= kMaxWidth, "width: expected a kernel width from 4 to 8");
  const index_t halo = halo_of(width);
  const auto shape = window_shape3(window_radius(max_frequency, halo), halo);
  py::array_t<complex_t> window(shape);
  const auto target = view<complex_t, 3>(window, "window", {-1, -1, -1});
  py::gil_scoped_release release;
  gather_window(source, target, n_threads);
  return window;
}

py::array_t<complex_t> cartesian(const py::array& window, double scale, double oversampling,
                                 int width, const py::array& rotations, double max_radius,
                                 index_t box, int n_threads) {
  const auto source = view<const complex_t, 3>(window, "window", {-1, -1, -1});
  const auto turns = rotations_view(rotations, "rotations");
  require(box >= 1 && max_radius >= 0.0, "box and max_radius: expected positive");
  py::array_t<complex_t> slices({turns.shape[0], box, box / 2 + 1});
  const auto target = view<complex_t, 3>(slices, "slices", {-1, -1, -1});
  py::gil_scoped_release release;
  project_cartesian({source, width, scale, oversampling}, turns, max_radius, box, target,
                    n_threads);
  return slices;
}

py::array_t<complex_t> polar(const py::array& window, double scale, double oversampling, int width,
                             const py::array& rotations, index_t first_ring, index_t n_rings,
                             index_t n_angles, int n_threads) {
  const auto source = view<const complex_t, 3>(window, "window", {-1, -1, -1});
  const auto turns = rotations_view(rotations, "rotations");
  require(first_ring >= 0 && n_rings >= 1 && n_angles >= 2 && n_angles % 2 == 0,
          "first_ring, n_rings, n_angles: expected at least 0, 1 and an even number");
  py::array_t<complex_t> slices({turns.shape[0], n_rings, n_angles / 2});
  const auto target = view<complex_t, 3>(slices, "slices", {-1, -1, -1});
  py::gil_scoped_release release;
  project_polar({source, width, scale, oversampling}, turns, {first_ring, n_rings, n_angles},
                target, n_threads);
  return slices;
}

} // namespace

void bind_projection(py::module_& m) {
  m.def("gather_window", &gather, py::arg("grid"), py::arg("max_frequency"), py::kw_only(),
        py::arg("width") = kKernelWidth, py::arg("n_threads") = 1,
        "Window of a padded volume's rfftn, reaching max_frequency grid points.");
  m.def("project_cartesian", &cartesian, py::arg("window"), py::kw_only(), py::arg("scale"),
        py::arg("oversampling"), py::arg("width") = kKernelWidth, py::arg("rotations"),
        py::arg("max_radius"), py::arg("box"), py::arg("n_threads") = 1,
        "Central slices (n, box, box//2+1) in rfft layout.");
  m.def("project_polar", &polar, py::arg("window"), py::kw_only(), py::arg("scale"),
        py::arg("oversampling"), py::arg("width") = kKernelWidth, py::arg("rotations"),
        py::arg("first_ring"), py::arg("n_rings"), py::arg("n_angles"), py::arg("n_threads") = 1,
        "Central slices (n, n_rings, n_angles//2) on a polar grid of the half plane.");
}

} // namespace mapsort::inline MAPSORT_ISA
