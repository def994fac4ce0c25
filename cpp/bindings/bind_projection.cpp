#include "bindings.hpp"
#include "window.hpp"

#include "mapsort/ray_projection.hpp"

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

py::array_t<complex_t> cartesian(const Window& window, const py::array& rotations,
                                 double max_radius, index_t box, int n_threads) {
  const auto turns = rotations_view(rotations, "rotations");
  require(box >= 1 && max_radius >= 0.0, "box and max_radius: expected positive");
  py::array_t<complex_t> slices({turns.shape[0], box, box / 2 + 1});
  const auto target = view<complex_t, 3>(slices, "slices", {-1, -1, -1});
  py::gil_scoped_release release;
  project_cartesian(window.view(), turns, max_radius, box, target, n_threads);
  return slices;
}

py::array_t<complex_t> polar(const Window& window, const py::array& rotations, index_t first_ring,
                             index_t n_rings, index_t n_angles, int n_threads) {
  const auto turns = rotations_view(rotations, "rotations");
  require(first_ring >= 0 && n_rings >= 1 && n_angles >= 2 && n_angles % 2 == 0,
          "first_ring, n_rings, n_angles: expected at least 0, 1 and an even number");
  py::array_t<complex_t> slices({turns.shape[0], n_rings, n_angles / 2});
  const auto target = view<complex_t, 3>(slices, "slices", {-1, -1, -1});
  py::gil_scoped_release release;
  project_polar(window.view(), turns, {first_ring, n_rings, n_angles}, target, n_threads);
  return slices;
}

/// What the projectors in real space share: arguments, and an array for the images.
template <class Project>
py::array_t<float> real_space(const py::array& volume, const py::array& rotations,
                              const py::array& shifts, double radius, Project project) {
  const auto source = view<const float, 3>(volume, "volume", {-1, -1, -1});
  const index_t n = source.shape[0];
  require(source.shape[1] == n && source.shape[2] == n, "volume: expected a cube");
  require(radius > 0.0, "radius: expected above 0");
  const auto turns = rotations_view(rotations, "rotations");
  const auto moves = view<const double, 2>(shifts, "shifts", {turns.shape[0], 2});
  for (index_t i = 0; i < moves.size(); ++i)
    require(std::isfinite(moves.data[i]), "shifts: expected finite numbers");
  py::array_t<float> images({turns.shape[0], n, n});
  const auto target = view<float, 3>(images, "images", {-1, -1, -1});
  py::gil_scoped_release release;
  project(source, turns, moves, target);
  return images;
}

py::array_t<float> rays(const py::array& volume, const py::array& rotations,
                        const py::array& shifts, double radius, bool maximum, int n_threads) {
  return real_space(
      volume, rotations, shifts, radius, [&](auto source, auto turns, auto moves, auto target) {
        project_rays(source, turns, moves, radius, maximum ? RayValue::kMaximum : RayValue::kSum,
                     target, n_threads);
      });
}

py::array_t<float> voxels(const py::array& volume, const py::array& rotations,
                          const py::array& shifts, double radius, int n_threads) {
  return real_space(volume, rotations, shifts, radius,
                    [&](auto source, auto turns, auto moves, auto target) {
                      project_voxels(source, turns, moves, radius, target, n_threads);
                    });
}

} // namespace

void bind_projection(py::module_& m) {
  m.def("gather_window", &gather, py::arg("grid"), py::arg("max_frequency"), py::kw_only(),
        py::arg("width") = kKernelWidth, py::arg("n_threads") = 1,
        "Window of a padded volume's rfftn, reaching max_frequency grid points.");
  py::class_<Window>(m, "Window", "A map's Fourier window and how it is read.")
      .def(py::init<py::array, double, double, int>(), py::arg("data"), py::kw_only(),
           py::arg("scale"), py::arg("oversampling"), py::arg("width") = kKernelWidth);
  m.def("project_cartesian", &cartesian, py::arg("window"), py::kw_only(), py::arg("rotations"),
        py::arg("max_radius"), py::arg("box"), py::arg("n_threads") = 1,
        "Central slices (n, box, box//2+1) in rfft layout.");
  m.def("project_polar", &polar, py::arg("window"), py::kw_only(), py::arg("rotations"),
        py::arg("first_ring"), py::arg("n_rings"), py::arg("n_angles"), py::arg("n_threads") = 1,
        "Central slices (n, n_rings, n_angles//2) on a polar grid of the half plane.");
  m.def("project_rays", &rays, py::arg("volume"), py::kw_only(), py::arg("rotations"),
        py::arg("shifts"), py::arg("radius"), py::arg("maximum") = false, py::arg("n_threads") = 1,
        "Projections (n, box, box) by trilinear sums (or maxima) along rays.");
  m.def("project_voxels", &voxels, py::arg("volume"), py::kw_only(), py::arg("rotations"),
        py::arg("shifts"), py::arg("radius"), py::arg("n_threads") = 1,
        "Projections (n, box, box) by sharing every voxel between four pixels.");
}

} // namespace mapsort::inline MAPSORT_ISA
