#include "arrays.hpp"
#include "bindings.hpp"

#include "mapsort/gridding.hpp"
#include "mapsort/require.hpp"

namespace mapsort::inline MAPSORT_ISA {

namespace {

void insert(const py::array& slices, const py::array& weights, const py::array& window,
            const py::array& rotations, const py::array& symmetry, double scale, double max_radius,
            int n_threads) {
  const auto turns = rotations_view(rotations, "rotations");
  const auto values = view<const complex_t, 3>(slices, "slices", {turns.shape[0], -1, -1});
  require(values.shape[2] == values.shape[1] / 2 + 1, "slices: expected shape (n, box, box//2+1)");
  const auto shares =
      view<const float, 3>(weights, "weights", {values.shape[0], values.shape[1], values.shape[2]});
  const auto target = view<float, 4>(window, "window", {-1, -1, -1, kSampleParts});
  const auto expected = window_shape3((target.shape[0] - 1) / 2, halo_of(kInsertionWidth));
  require(target.shape[0] == expected[0] && target.shape[1] == expected[1] &&
              target.shape[2] == expected[2],
          "window: not a window's shape");
  const SliceGeometry geometry{turns, rotations_view(symmetry, "symmetry"), scale, max_radius};
  py::gil_scoped_release release;
  insert_slices(values, shares, geometry, target, n_threads);
}

py::tuple window_shape(double max_frequency, int width) {
  require(max_frequency >= 0.0, "max_frequency: expected at least 0");
  require(width >= kMinWidth && width <= kMaxWidth, "width: expected a kernel width from 4 to 8");
  const index_t halo = halo_of(width);
  const auto shape = window_shape3(window_radius(max_frequency, halo), halo);
  return py::make_tuple(shape[0], shape[1], shape[2]);
}

} // namespace

void bind_gridding(py::module_& m) {
  m.def("window_shape", &window_shape, py::arg("max_frequency"), py::kw_only(),
        py::arg("width") = kKernelWidth,
        "Shape of the window that reaches max_frequency grid points, for a kernel of this width.");
  m.def("insert_slices", &insert, py::arg("slices"), py::arg("weights"), py::arg("window"),
        py::kw_only(), py::arg("rotations"), py::arg("symmetry"), py::arg("scale"),
        py::arg("max_radius"), py::arg("n_threads") = 1,
        "Spread slices and their weights into a window, in place, with all symmetry copies.");
}

} // namespace mapsort::inline MAPSORT_ISA
