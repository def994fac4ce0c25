#pragma once
// SIMD lanes as a GCC/Clang vector type. Its width follows the instruction set this file is
// compiled for.

#include "mapsort/view.hpp"

#include <cstdint> // for std::int32_t
#include <cstring> // for std::memcpy
#include <new>     // for std::align_val_t
#include <vector>  // for std::vector

namespace mapsort::inline MAPSORT_ISA {

#if defined(__AVX512F__)
inline constexpr int kLanes = 16;
#elif defined(__AVX__)
inline constexpr int kLanes = 8;
#else
inline constexpr int kLanes = 4;
#endif

template <class T, int N> struct VectorOf {
  typedef T type __attribute__((vector_size(N * sizeof(T))));
};
/// A vector of N numbers, whatever the instruction set: longer ones than it has are split.
template <int N> using Floats = VectorOf<float, N>::type;
/// The instruction set's own.
using VecF = Floats<kLanes>;
using VecI = VectorOf<std::int32_t, kLanes>::type;

inline VecF broadcast(float x) { return VecF{} + x; }
inline VecI broadcast(std::int32_t x) { return VecI{} + x; }

template <class Vector> Vector load(const void* from) {
  Vector v;
  std::memcpy(&v, from, sizeof(v));
  return v;
}
template <class Vector> void store(void* to, Vector v) { std::memcpy(to, &v, sizeof(v)); }

/// Allocator for scratch and packed banks: cache-line aligned, so that vector loads never split a
/// line.
template <class T> struct AlignedAllocator {
  using value_type = T;
  static constexpr std::align_val_t kAlignment{64};
  AlignedAllocator() = default;
  template <class U> AlignedAllocator(const AlignedAllocator<U>&) {}
  T* allocate(std::size_t n) { return static_cast<T*>(::operator new(n * sizeof(T), kAlignment)); }
  void deallocate(T* p, std::size_t) noexcept { ::operator delete(p, kAlignment); }
  template <class U> bool operator==(const AlignedAllocator<U>&) const { return true; }
};

template <class T> using AlignedVector = std::vector<T, AlignedAllocator<T>>;

} // namespace mapsort::inline MAPSORT_ISA
