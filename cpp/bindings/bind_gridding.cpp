#include "arrays.hpp"
#include "bindings.hpp"

#include "mapsort/gridding.hpp"
#include "mapsort/require.hpp"

namespace mapsort::inline MAPSORT_ISA {

namespace {

template <class Value>
void insert(const py::array& slices, const py::array& window, const py::array& rotations,
            const py::array& symmetry, double scale, double oversampling, double max_radius,
            int n_threads) {
  const auto turns = rotations_view(rotations, "rotations");
  const auto values = view<const Value, 3>(slices, "slices", {turns.shape[0], -1, -1});
  require(values.shape[2] == values.shape[1] / 2 + 1, "slices: expected shape (n, box, box//2+1)");
  const auto target = view<Value, 3>(window, "window", {-1, -1, -1});
  require(target.shape == window_shape3((target.shape[0] - 1) / 2), "window: not a window's shape");
  const SliceGeometry geometry{turns, rotations_view(symmetry, "symmetry"), scale, oversampling,
                               max_radius};
  py::gil_scoped_release release;
  if constexpr (std::is_same_v<Value, float>)
    insert_weights(values, geometry, target, n_threads);
  else
    insert_slices(values, geometry, target, n_threads);
}

py::tuple window_shape(double max_frequency) {
  require(max_frequency >= 0.0, "max_frequency: expected at least 0");
  const auto shape = window_shape3(window_radius(max_frequency));
  return py::make_tuple(shape[0], shape[1], shape[2]);
}

} // namespace

void bind_gridding(py::module_& m) {
  m.def("window_shape", &window_shape, py::arg("max_frequency"),
        "Shape of the window that reaches max_frequency grid points.");
  const auto define = [&m](const char* name, auto function, const char* help) {
    m.def(name, function, py::arg("slices"), py::arg("window"), py::kw_only(), py::arg("rotations"),
          py::arg("symmetry"), py::arg("scale"), py::arg("oversampling"), py::arg("max_radius"),
          py::arg("n_threads") = 1, help);
  };
  define("insert_slices", &insert<complex_t>,
         "Spread slices into a window, in place, with all symmetry copies.");
  define("insert_weights", &insert<float>,
         "Spread weights of slices into a window, in place, with all symmetry copies.");
}

} // namespace mapsort::inline MAPSORT_ISA
