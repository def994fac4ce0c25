#pragma once
// NumPy arrays to views. The only place that looks at dtype, rank, shape and contiguity.

#include "mapsort/require.hpp"
#include "mapsort/view.hpp"

#include <pybind11/numpy.h>

#include <cmath>  // for std::abs
#include <span>   // for std::span
#include <string> // for std::string

namespace mapsort::inline MAPSORT_ISA {

namespace py = pybind11;

/// Expected extents of an array; -1 stands for any.
template <int N> using Extents = std::array<index_t, N>;

inline std::string shape_text(std::span<const index_t> extents) {
  std::string text = "(";
  for (std::size_t axis = 0; axis < extents.size(); ++axis)
    text += (axis ? ", " : "") + (extents[axis] < 0 ? "n" : std::to_string(extents[axis]));
  return text + ")";
}

inline std::string shape_text(const py::array& array) {
  return shape_text({array.shape(), static_cast<std::size_t>(array.ndim())});
}

/// View of `array`, which must be C-contiguous, of type T and of these extents.
template <class T, int N>
View<T, N> view(const py::array& array, const char* name, const Extents<N>& extents) {
  using Value = std::remove_const_t<T>;
  bool fits = array.ndim() == N;
  for (int axis = 0; axis < N; ++axis)
    fits = fits && (extents[axis] < 0 || array.shape(axis) == extents[axis]);
  const bool type_fits = py::isinstance<py::array_t<Value>>(array);
  const bool contiguous = (array.flags() & py::array::c_style) != 0;
  const bool writeable = std::is_const_v<T> || array.writeable();
  require(fits && type_fits && contiguous && writeable, [&] {
    return std::string(name) + ": expected C-contiguous " + (writeable ? "" : "writeable ") +
           std::string(py::str(py::dtype::of<Value>())) + " of shape " + shape_text(extents) +
           ", got " + std::string(py::str(array.dtype())) + " of shape " + shape_text(array) +
           (contiguous ? "" : ", not contiguous");
  });
  View<T, N> result;
  result.data = static_cast<T*>(const_cast<void*>(array.data()));
  for (int axis = 0; axis < N; ++axis)
    result.shape[axis] = array.shape(axis);
  return result;
}

/// Check for orthonormal (n, 3, 3) matrices; others, and NaN, would lead out of the Fourier window.
inline void require_rotations(View<const double, 3> matrices, const char* name) {
  for (index_t i = 0; i < matrices.shape[0]; ++i)
    for (index_t r = 0; r < 3; ++r)
      for (index_t s = r; s < 3; ++s) {
        double product = 0.0;
        for (index_t c = 0; c < 3; ++c)
          product += matrices(i, r, c) * matrices(i, s, c);
        require(std::abs(product - (r == s ? 1.0 : 0.0)) <= 1e-4, [&] {
          return std::string(name) + ": matrix " + std::to_string(i) +
                 " (from 0) is not a rotation";
        });
      }
}

inline View<const double, 3> rotations_view(const py::array& array, const char* name) {
  const auto matrices = view<const double, 3>(array, name, {-1, 3, 3});
  require_rotations(matrices, name);
  return matrices;
}

} // namespace mapsort::inline MAPSORT_ISA
