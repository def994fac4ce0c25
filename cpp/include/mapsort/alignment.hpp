#pragma once
// 2-D alignment of particles to references over in-plane rotation, mirror and shift.
//
// Cross term of the Gaussian likelihood, summed over the whole Fourier plane of the box:
//   f(alpha, o) = sum_k w(k) Re[ conj(C(k) X(k) exp(-2 pi i k.o / box)) P(k, phi - alpha) ]
// with w = 1 / noise power. In angular coefficients (polar_transform.hpp) the sum over rings is an
// inner product c_m for each order m, and all rotations are one FFT over m. The mirrored reference
// has coefficients conj p_m: the same four real products serve both.
// Conventions: alpha (EMAN sense) turns the particle onto the reference; o is the RELION origin,
// the shift in pixels that centres the particle; mirror is about the y axis (x -> -x), after the
// rotation.

#include "mapsort/pair_product.hpp"
#include "mapsort/particle_batch.hpp"

namespace mapsort::inline MAPSORT_ISA {

/// What particles are compared with, and how: made once, for many batches of particles.
struct Alignment {
  const ReferenceBank& bank;
  View<const float, 1> ring_weight; // (n_rings): 1 / noise power on each ring
  Freedom freedom;
};

/// Best alignment of every particle to every reference on a given list of shifts.
struct PairResults {
  View<float, 2> cross;       // (n, references): best f
  View<float, 2> norm;        // (n, references): sum_k w C^2 |P|^2 over the plane
  View<std::int32_t, 2> code; // (n, references): (shift * n_rotations + angle) * 2 + mirror
};

/// Search every reference of the bank; origins (n_shifts, 2) in pixels.
void search_pairs(const Alignment& alignment, const ParticleBatch& particles,
                  View<const float, 2> origins, const PairResults& results, int n_threads);

/// Alignments of candidates: for each particle some references with where to look.
struct Candidates {
  View<const std::int32_t, 2> reference; // (n, K); < 0: no candidate
  View<float, 3> origin;                 // (n, K, 2) in pixels; in: start, out: best
  View<float, 2> alpha;                  // (n, K) radians
  View<std::int32_t, 2> mirror;          // (n, K)
  View<float, 2> cross;                  // (n, K): out
  View<float, 2> norm;                   // (n, K): out
};

/// Check that all candidates' references are the bank's.
void require_known(View<const std::int32_t, 2> references, const ReferenceBank& bank);

/// The origins that candidates are searched at: nodes within `reach` nodes of a candidate's origin.
/// Candidates that begin near each other are searched together, each at the nodes of all of them
/// and at those about the first `shared` candidates of the particle.
/// Origins farther than max_origin from zero, on either axis, are not visited.
struct ShiftLattice {
  double step; // pixels
  int reach, shared;
  double max_origin; // pixels
};

/// Search the candidates over all rotations and mirror, on the nodes of a lattice.
void search_candidates(const Alignment& alignment, const ParticleBatch& particles,
                       const ShiftLattice& lattice, const Candidates& candidates, int n_threads);

/// Newton refinement of (alpha, origin) of each candidate, as far as they are free, from where it
/// stands; f never decreases. With no iterations f is evaluated there.
void refine_candidates(const Alignment& alignment, const ParticleBatch& particles, int iterations,
                       double max_origin, const Candidates& candidates, int n_threads);

} // namespace mapsort::inline MAPSORT_ISA
