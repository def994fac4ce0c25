#pragma once
// The short complex FFT of the alignment loop: one transform per SIMD lane, lanes side by side.
//
// Stockham autosort, decimation in frequency (Van Loan, Computational Frameworks for the FFT, 1992,
// section 1.7), radices 8, 6, 4, 5, 3 and 2: no bit reversal, every access a whole vector.

#include "mapsort/interpolation_kernel.hpp"
#include "mapsort/simd.hpp"

#include <vector> // for std::vector

namespace mapsort::inline MAPSORT_ISA {

/// One complex number per lane.
struct VecC {
  VecF re, im;
};

inline VecC operator+(VecC a, VecC b) { return {a.re + b.re, a.im + b.im}; }
inline VecC operator-(VecC a, VecC b) { return {a.re - b.re, a.im - b.im}; }
inline VecC operator*(float s, VecC a) { return {s * a.re, s * a.im}; }
inline VecC operator*(VecC a, VecC b) {
  return {a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re};
}
/// A factor that is the same in all lanes.
struct Turn {
  float re, im;
};
inline VecC times(VecC a, Turn turn) {
  return {a.re * turn.re - a.im * turn.im, a.re * turn.im + a.im * turn.re};
}
inline VecC times_minus_i(VecC a) { return {a.im, -a.re}; }

/// Forward transforms X_j = sum_m x_m exp(-2 pi i m j / n) of length n = 2^a 3^b 5^c.
class ShortFft {
public:
  explicit ShortFft(int n);

  int size() const { return n_; }

  /// Transform data (n elements) using work (n elements); both are overwritten. Returns where the
  /// result is.
  VecC* forward(VecC* data, VecC* work) const;

  /// The same, but instead of storing the result, calls take(j, X_j) for every j, in no
  /// particular order: the last stage's values go from registers to where they are used.
  template <class Take> void forward_into(VecC* data, VecC* work, Take take) const;

private:
  struct Stage {
    int radix, length, stride;
    std::size_t twiddles; // first of length/radix * (radix-1) pairs
  };

  /// All stages but the last n_left; returns where the intermediate result is.
  VecC* run_stages(VecC* data, VecC* work, std::size_t n_left) const;

  int n_;
  std::vector<Stage> stages_;
  std::vector<float> twiddles_;
};

/// r-point DFTs, in place on an array of r values.
template <int R> void butterfly(VecC* a);

template <> inline void butterfly<2>(VecC* a) {
  const VecC t = a[0] - a[1];
  a[0] = a[0] + a[1];
  a[1] = t;
}

template <> inline void butterfly<3>(VecC* a) {
  constexpr float kSin = 0.86602540378443865f;
  const VecC sum = a[1] + a[2], turned = times_minus_i(kSin * (a[1] - a[2]));
  const VecC middle = a[0] - 0.5f * sum;
  a[0] = a[0] + sum;
  a[1] = middle + turned;
  a[2] = middle - turned;
}

template <> inline void butterfly<4>(VecC* a) {
  const VecC s02 = a[0] + a[2], d02 = a[0] - a[2];
  const VecC s13 = a[1] + a[3], d13 = times_minus_i(a[1] - a[3]);
  a[0] = s02 + s13;
  a[1] = d02 + d13;
  a[2] = s02 - s13;
  a[3] = d02 - d13;
}

template <> inline void butterfly<5>(VecC* a) {
  constexpr float c1 = 0.30901699437494742f, c2 = -0.80901699437494742f;
  constexpr float s1 = 0.95105651629515357f, s2 = 0.58778525229247313f;
  const VecC p1 = a[1] + a[4], m1 = a[1] - a[4], p2 = a[2] + a[3], m2 = a[2] - a[3];
  const VecC e1 = a[0] + c1 * p1 + c2 * p2, e2 = a[0] + c2 * p1 + c1 * p2;
  const VecC o1 = times_minus_i(s1 * m1 + s2 * m2), o2 = times_minus_i(s2 * m1 - s1 * m2);
  a[0] = a[0] + p1 + p2;
  a[1] = e1 + o1;
  a[4] = e1 - o1;
  a[2] = e2 + o2;
  a[3] = e2 - o2;
}

/// 6 = 2 x 3 by the Chinese remainder map: no twiddles.
template <> inline void butterfly<6>(VecC* a) {
  VecC even[3] = {a[0] + a[3], a[2] + a[5], a[4] + a[1]};
  VecC odd[3] = {a[0] - a[3], a[2] - a[5], a[4] - a[1]};
  butterfly<3>(even);
  butterfly<3>(odd);
  a[0] = even[0];
  a[4] = even[1];
  a[2] = even[2];
  a[3] = odd[0];
  a[1] = odd[1];
  a[5] = odd[2];
}

template <> inline void butterfly<8>(VecC* a) {
  constexpr float kHalfRoot = 0.70710678118654752f;
  VecC even[4] = {a[0], a[2], a[4], a[6]}, odd[4] = {a[1], a[3], a[5], a[7]};
  butterfly<4>(even);
  butterfly<4>(odd);
  odd[1] = kHalfRoot * VecC{odd[1].re + odd[1].im, odd[1].im - odd[1].re};
  odd[2] = times_minus_i(odd[2]);
  odd[3] = kHalfRoot * VecC{odd[3].im - odd[3].re, -odd[3].re - odd[3].im};
  for (int k = 0; k < 4; ++k) {
    a[k] = even[k] + odd[k];
    a[k + 4] = even[k] - odd[k];
  }
}

namespace detail {

template <int R, class Take> void last_stage(int stride, const VecC* x, Take& take) {
  for (int q = 0; q < stride; ++q) {
    VecC a[R];
    for (int k = 0; k < R; ++k)
      a[k] = x[q + stride * k];
    butterfly<R>(a);
    for (int k = 0; k < R; ++k)
      take(q + stride * k, a[k]);
  }
}

} // namespace detail

template <class Take> void ShortFft::forward_into(VecC* data, VecC* work, Take take) const {
  const VecC* x = run_stages(data, work, 1);
  const Stage& last = stages_.back(); // its length is its radix: all twiddles are 1
  switch (last.radix) {
  case 2:
    return detail::last_stage<2>(last.stride, x, take);
  case 3:
    return detail::last_stage<3>(last.stride, x, take);
  case 4:
    return detail::last_stage<4>(last.stride, x, take);
  case 5:
    return detail::last_stage<5>(last.stride, x, take);
  case 6:
    return detail::last_stage<6>(last.stride, x, take);
  default:
    return detail::last_stage<8>(last.stride, x, take);
  }
}

/// Smallest length >= n that ShortFft takes and that is a multiple of 4.
int good_fft_size(int n);

} // namespace mapsort::inline MAPSORT_ISA
