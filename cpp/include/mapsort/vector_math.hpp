#pragma once
// Sine, cosine and exponential of all lanes at once.

#include "mapsort/simd.hpp"

#include <numbers> // for std::numbers::ln2

namespace mapsort::inline MAPSORT_ISA {

/// sin(x) and cos(x) to about 2e-7 for |x| < 1e4: reduction to [-pi/4, pi/4] by multiples of pi/2
/// in two parts (Cody and Waite, Software Manual for the Elementary Functions, 1980), then Taylor
/// polynomials, whose first left-out term is below 3e-8 there.
inline void sin_cos(VecF x, VecF& sine, VecF& cosine) {
  constexpr float kTwoOverPi = 0.636619772f, kRounder = 12582912.0f; // 1.5 * 2^23
  constexpr float kPart1 = 1.5703125f, kPart2 = 4.837512969970703e-4f,
                  kPart3 = 7.549789948768648e-8f;
  const VecF shifted = x * kTwoOverPi + kRounder;
  const VecF turns = shifted - kRounder;
  const VecI quadrant = __builtin_convertvector(turns, VecI);
  const VecF r = ((x - turns * kPart1) - turns * kPart2) - turns * kPart3;
  const VecF r2 = r * r;
  const VecF s = r + r * r2 *
                         (-1.6666666667e-1f +
                          r2 * (8.3333333333e-3f + r2 * (-1.9841269841e-4f + r2 * 2.7557319e-6f)));
  const VecF c =
      1.0f + r2 * (-0.5f + r2 * (4.1666666667e-2f + r2 * (-1.3888888889e-3f + r2 * 2.4801587e-5f)));
  const VecI swap = (quadrant & 1) != 0;
  const VecI sine_negative = (quadrant & 2) != 0, cosine_negative = ((quadrant + 1) & 2) != 0;
  const VecF s_or_c = swap ? c : s, c_or_s = swap ? s : c;
  sine = sine_negative ? -s_or_c : s_or_c;
  cosine = cosine_negative ? -c_or_s : c_or_s;
}

/// exp(x) to about 1e-7 of itself for -87 < x < 88: 2^n times a Taylor polynomial on [-ln 2 / 2, ln
/// 2 / 2], whose first left-out term is below 6e-9 there; the reduction is Cody and Waite's.
inline VecF exponential(VecF x) {
  constexpr float kRounder = 12582912.0f; // 1.5 * 2^23
  constexpr float kPart1 = 0.6875f, kPart2 = float(std::numbers::ln2 - 0.6875);
  const VecF turns = (x * std::numbers::log2e_v<float> + kRounder) - kRounder;
  const VecF r = (x - turns * kPart1) - turns * kPart2;
  VecF series = broadcast(1.0f / 5040.0f);
  for (float term : {1.0f / 720.0f, 1.0f / 120.0f, 1.0f / 24.0f, 1.0f / 6.0f, 0.5f, 1.0f, 1.0f})
    series = series * r + term;
  const VecI bits = (__builtin_convertvector(turns, VecI) + 127) << 23;
  VecF power;
  std::memcpy(&power, &bits, sizeof(power));
  return series * power;
}

} // namespace mapsort::inline MAPSORT_ISA
