#pragma once
// Continuous search for a particle's pose about candidates, all five degrees of freedom at once.
//
// A pose is a rotation R (object to view) and an origin o (the shift in pixels that centres the
// particle). With Y(k) = X(k) exp(-2 pi i k.o / box), P the slice at R, and sums over the Fourier
// plane of the box (w = 1 / noise power)
//   f = sum w Re[conj(C Y) P],   g = sum w C^2 |P|^2
// and the score is what is left of s f - s^2 g / 2 - stiffness (s - 1)^2 / 2 at its best scale s.
// Levenberg-Marquardt steps: the slice's derivatives come from the interpolation kernel's, and the
// Hessian from their products (Fisher's information), the scale projected out.

#include "mapsort/projection.hpp"

namespace mapsort::inline MAPSORT_ISA {

/// Particles as the local search takes them.
struct ImageBatch {
  View<const complex_t, 3> transforms; // (n, box, box/2+1): rfft layout, phases about the centre
  View<const float, 2> ctf;            // (n, 7): coefficients of ctf.hpp
  View<const float, 1> ring_weight;    // (n_rings): 1 / noise power on rings 1, 2, ...
  double apix;
};

/// Poses of candidates, K of each particle.
struct PoseCandidates {
  View<const std::int32_t, 2> chosen; // (n, K): 0 where there is no candidate of this map
  View<double, 4> rotation;           // (n, K, 3, 3); in: start, out: best
  View<double, 3> origin;             // (n, K, 2) in pixels; in: start, out: best
  View<double, 2> cross;              // (n, K): out, f
  View<double, 2> norm;               // (n, K): out, g
};

/// How far and how long to search.
struct LocalSearchLimits {
  int max_steps;     // evaluations of each candidate after the first
  double max_turn;   // longest rotation of one step, radians
  double max_origin; // origins stay within this many pixels on either axis
  double stiffness;  // of the scale about 1; 0: free; infinite: the scale is 1
};

/// Search about every chosen candidate; the score never decreases. Each particle is worked on by
/// one thread: results do not depend on threads.
void search_poses(const WindowView& window, const ImageBatch& particles,
                  const LocalSearchLimits& limits, const PoseCandidates& candidates, int n_threads);

} // namespace mapsort::inline MAPSORT_ISA
