#include "arrays.hpp"
#include "bindings.hpp"

#include "mapsort/gridding.hpp"
#include "mapsort/require.hpp"

namespace mapsort::inline MAPSORT_ISA {

namespace {

void insert(const py::array& slices, const py::array& weights, const py::array& rotations,
            const py::array& symmetry, double scale, double oversampling, double max_radius,
            bool ramp, const py::array& numerator, const py::array& density, int n_threads) {
  const auto turns = rotations_view(rotations, "rotations");
  const auto values = view<const complex_t, 3>(slices, "slices", {turns.shape[0], -1, -1});
  require(values.shape[2] == values.shape[1] / 2 + 1, "slices: expected shape (n, box, box//2+1)");
  const auto weight = view<const float, 3>(weights, "weights", values.shape);
  const auto ops = rotations_view(symmetry, "symmetry");
  const auto num = view<complex_t, 3>(numerator, "numerator", {-1, -1, -1});
  const auto den = view<float, 3>(density, "density", num.shape);
  require(num.shape == window_shape3((num.shape[0] - 1) / 2), "numerator: not a window's shape");
  py::gil_scoped_release release;
  insert_slices(values, weight, turns, ops, scale, oversampling, max_radius, ramp, num, den,
                n_threads);
}

py::tuple window_shape(double max_frequency) {
  require(max_frequency >= 0.0, "max_frequency: expected at least 0");
  const auto shape = window_shape3(window_radius(max_frequency));
  return py::make_tuple(shape[0], shape[1], shape[2]);
}

template <class T> py::array_t<T> scatter(const py::array& window, index_t n) {
  const auto source = view<const T, 3>(window, "window", {-1, -1, -1});
  require(n >= 2 && n % 2 == 0, "n: expected an even grid size");
  py::array_t<T> grid({n, n, n / 2 + 1});
  const auto target = view<T, 3>(grid, "grid", {-1, -1, -1});
  py::gil_scoped_release release;
  std::fill_n(target.data, target.size(), T{});
  scatter_add_window(source, target);
  return grid;
}

} // namespace

void bind_gridding(py::module_& m) {
  m.def("window_shape", &window_shape, py::arg("max_frequency"),
        "Shape of the window that reaches max_frequency grid points.");
  m.def("insert_slices", &insert, py::arg("slices"), py::arg("weights"), py::kw_only(),
        py::arg("rotations"), py::arg("symmetry"), py::arg("scale"), py::arg("oversampling"),
        py::arg("max_radius"), py::arg("ramp"), py::arg("numerator"), py::arg("density"),
        py::arg("n_threads") = 1,
        "Spread slices and their weights into windows, in place, with all symmetry copies.");
  m.def("scatter_window", &scatter<complex_t>, py::arg("window"), py::arg("n"),
        "Half-complex grid (n, n, n//2+1) of a complex window and its Friedel mates.");
  m.def("scatter_density", &scatter<float>, py::arg("window"), py::arg("n"),
        "Half grid (n, n, n//2+1) of a real, even window.");
}

} // namespace mapsort::inline MAPSORT_ISA
