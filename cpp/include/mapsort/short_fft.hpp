#pragma once
// The short complex FFT of the alignment loop: one transform per SIMD lane, lanes side by side.
//
// Stockham autosort, decimation in frequency (Van Loan, Computational Frameworks for the FFT, 1992,
// section 1.7), radices 4, 2, 3 and 5: no bit reversal, every access a whole vector.

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
inline VecC times(VecC a, float re, float im) {
  return {a.re * re - a.im * im, a.re * im + a.im * re};
}
inline VecC times_minus_i(VecC a) { return {a.im, -a.re}; }

/// Forward transforms X_j = sum_m x_m exp(-2 pi i m j / n) of length n = 2^a 3^b 5^c.
class ShortFft {
public:
  explicit ShortFft(int n);

  int size() const { return n_; }

  /// Transform data (n elements) using work (n elements); both are overwritten. Returns where the result is.
  VecC* forward(VecC* data, VecC* work) const;

private:
  struct Stage {
    int radix, length, stride;
    std::size_t twiddles; // first of length/radix * (radix-1) pairs
  };
  int n_;
  std::vector<Stage> stages_;
  std::vector<float> twiddles_;
};

/// Smallest length >= n that ShortFft takes and that is a multiple of 4.
int good_fft_size(int n);

} // namespace mapsort::inline MAPSORT_ISA
