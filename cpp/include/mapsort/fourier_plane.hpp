#pragma once
// The plane of a slice: its frequencies, and where it lies.

#include "mapsort/view.hpp"

namespace mapsort::inline MAPSORT_ISA {

/// Visit the frequencies of an rfft half plane (box, box/2+1) in its order, without the Nyquist row
/// and column of an even box, which have no mates: visit(kx, ky, offset).
template <class Visit> void each_frequency(index_t box, Visit visit) {
  const index_t half = box / 2 + 1;
  for (index_t row = 0; row < box; ++row) {
    const index_t ky = row <= (box - 1) / 2 ? row : row - box;
    for (index_t kx = 0; kx < half; ++kx)
      if (2 * kx != box && 2 * ky != -box)
        visit(kx, ky, row * half + kx);
  }
}

/// How many terms of the whole plane a frequency of the half plane stands for.
inline float multiplicity(index_t kx) { return kx == 0 ? 1.0f : 2.0f; }

/// Rows 0 and 1 of a rotation: the view's x and y axes in the object, scaled to grid points.
struct PlaneAxes {
  double x[3], y[3];

  PlaneAxes(const double* rotation, double scale) {
    for (int i = 0; i < 3; ++i) {
      x[i] = rotation[i] * scale;
      y[i] = rotation[3 + i] * scale;
    }
  }

  /// Of the rotation times a symmetry operator.
  PlaneAxes(const double* rotation, const double* op, double scale) {
    for (int c = 0; c < 3; ++c) {
      double sum[2] = {0.0, 0.0};
      for (int r = 0; r < 2; ++r)
        for (int k = 0; k < 3; ++k)
          sum[r] += rotation[3 * r + k] * op[3 * k + c];
      x[c] = sum[0] * scale;
      y[c] = sum[1] * scale;
    }
  }
};

} // namespace mapsort::inline MAPSORT_ISA
