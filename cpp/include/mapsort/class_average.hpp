#pragma once
// Sums of aligned particles per class, in the Fourier plane of the class's reference.

#include "mapsort/particle_batch.hpp"

namespace mapsort::inline MAPSORT_ISA {

/// How each particle of a chunk goes into its class.
struct Placement {
  View<const std::int32_t, 1> order;      // (n_used): particle (row of spectra), sorted by slot
  View<const std::int32_t, 1> slot_start; // (n_slots + 1): range of `order` that goes to each slot
  View<const std::int32_t, 1> slot;       // (n_slots): row of the sums that receives it
  View<const float, 1> alpha;             // (n_used) radians
  View<const float, 2> origin;            // (n_used, 2) pixels
  View<const std::int32_t, 1> mirror;     // (n_used)
  View<const float, 1> weight;            // (n_used)
};

/// Sums and shell statistics.
struct ClassSums {
  View<complex_t, 3> numerator; // (rows, box, box/2+1): += w C X
  View<float, 3> density;       // (rows, box, box/2+1): += w C^2
  double max_radius;            // highest frequency, in Fourier pixels
};

/// Per entry of `order`, sums over the rounded shells of the Fourier plane (kx = 0 counted once):
/// |X|^2, Re conj(X) C P and C^2 |P|^2, with P the reference slice of the class.
struct ShellSums {
  View<float, 2> image_power, cross, reference_power; // (n_used, n_shells)
};

/// references (r, box, box/2+1): row i of the sums belongs to reference i % r, so that the halves
/// of a data set share their references. Every slot is worked on by one thread, its particles in
/// order: the sums do not depend on threads.
void accumulate_classes(const ParticleBatch& particles, const Placement& placement,
                        View<const complex_t, 3> references, const ClassSums& sums,
                        const ShellSums& shells, int n_threads);

} // namespace mapsort::inline MAPSORT_ISA
