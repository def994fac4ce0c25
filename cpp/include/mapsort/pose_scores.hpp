#pragma once
// Particles against views in all shifts and in-plane angles, how probable each pose is, and sums of
// particles by that.
//
// Angular orders of a particle's rings times those of a slice, summed over rings, are the orders of
// their correlation over in-plane angles: one short transform gives it at all of them. Views lie
// side by side in SIMD lanes, and two shifts are the real and imaginary part of one transform.

#include "mapsort/fourier_window.hpp"

#include <cstdint> // for std::int32_t

namespace mapsort::inline MAPSORT_ISA {

/// What poses are scored by. Views are the same for all particles (g is 1) or each one's own.
struct PoseTerms {
  View<const complex_t, 4> orders; // of the shifted particles, (orders, n, shifts, rings)
  View<const complex_t, 4> views;  // of the slices, with what they count, (orders, g, rings, views)
  View<const float, 3> same;       // what is added at all angles, (n, shifts, views)
};

/// scores (n, shifts, angles, views) of all poses; the number of angles is twice the last order.
void score_poses(const PoseTerms& terms, View<float, 4> scores);

/// Scores (n, shifts, angles, views) become exp(score - top of the particle), no less than e^least;
/// top (n) is the highest, sums (n, shifts, views) are those over angles.
void chances_of(View<float, 4> scores, float least, View<double, 1> top, View<float, 3> sums);

/// Particles in poses of which these are the chances.
struct PoseMix {
  View<const float, 4> chances;     // (n, shifts, angles, views)
  View<const float, 3> sums;        // over angles, (n, shifts, views)
  View<const complex_t, 4> orders;  // of the shifted particles, (orders, n, shifts, rings)
  View<const std::int32_t, 1> seen; // numbers of the views that are wanted
};

/// mixed (orders, g, seen views, rings) = sum of the particles, turned back and weighted by their
/// chances; g is 1, or n for each particle alone.
void mix_poses(const PoseMix& mix, View<complex_t, 4> mixed);

} // namespace mapsort::inline MAPSORT_ISA
