#pragma once
// Contrast transfer function from seven coefficients: six of physics/ctf.py and whether phases were
// flipped.

#include "mapsort/vector_math.hpp"

#include <cmath> // for std::sin

namespace mapsort::inline MAPSORT_ISA {

/// C(s, theta) = sin(c0 s^2 + c1 s^2 cos(2(theta - c2)) + c3 s^4 + c4) exp(-c5 s^2 / 4), s in 1/A.
/// The astigmatic term is kept as products with (sx^2 - sy^2) and 2 sx sy: no angle is needed.
struct ContrastTransfer {
  float mean, cos_part, sin_part, quartic, offset, bfactor;
  bool flipped; // phase-flipped images: |C|

  explicit ContrastTransfer(const float* c)
      : mean(c[0]), cos_part(c[1] * std::cos(2.0f * c[2])), sin_part(c[1] * std::sin(2.0f * c[2])),
        quartic(c[3]), offset(c[4]), bfactor(c[5]), flipped(c[6] != 0.0f) {}

  float operator()(float sx, float sy) const {
    const float s2 = sx * sx + sy * sy;
    const float envelope = bfactor == 0.0f ? 1.0f : std::exp(-0.25f * bfactor * s2);
    const float value = std::sin(phase(sx, sy, s2)) * envelope;
    return flipped ? std::abs(value) : value;
  }

  /// At the frequencies in the lanes of vectors.
  VecF operator()(VecF sx, VecF sy) const {
    const VecF s2 = sx * sx + sy * sy;
    VecF value, cosine;
    sin_cos(phase(sx, sy, s2), value, cosine);
    if (bfactor != 0.0f)
      value *= exponential(-0.25f * bfactor * s2);
    return flipped ? (value < 0.0f ? -value : value) : value;
  }

private:
  template <class T> T phase(T sx, T sy, T s2) const {
    return mean * s2 + cos_part * (sx * sx - sy * sy) + sin_part * (2.0f * sx * sy) +
           quartic * s2 * s2 + offset;
  }
};

} // namespace mapsort::inline MAPSORT_ISA
