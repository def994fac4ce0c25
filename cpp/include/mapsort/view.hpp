#pragma once
// Non-owning, C-contiguous array views: pointer and shape, constness in the element type.

#include <array>   // for std::array
#include <cstddef> // for std::size_t

#ifndef MAPSORT_ISA
#error "MAPSORT_ISA must name the instruction set this translation unit is compiled for"
#endif

namespace mapsort::inline MAPSORT_ISA {

using index_t = std::ptrdiff_t;

/// View of a C-contiguous array of rank N. Does not own; copying copies the pointer.
template <class T, int N> struct View {
  T* data = nullptr;
  std::array<index_t, N> shape{};

  index_t size() const {
    index_t total = 1;
    for (index_t extent : shape)
      total *= extent;
    return total;
  }

  template <class... I> T& operator()(I... index) const {
    static_assert(sizeof...(I) == N, "one index per axis");
    const std::array<index_t, N> at{static_cast<index_t>(index)...};
    index_t offset = 0;
    for (int axis = 0; axis < N; ++axis)
      offset = offset * shape[axis] + at[axis];
    return data[offset];
  }

  /// Pointer to the first element of item i along the leading axis.
  T* item(index_t i) const {
    index_t stride = 1;
    for (int axis = 1; axis < N; ++axis)
      stride *= shape[axis];
    return data + i * stride;
  }
};

} // namespace mapsort::inline MAPSORT_ISA
