#pragma once
// Insertion of slices into a Fourier window: the adjoint of projection_cartesian, with weights.

#include "mapsort/fourier_window.hpp"

namespace mapsort::inline MAPSORT_ISA {

/// numerator += spread(slices), density += spread(weights), for every symmetry copy.
///
/// slices (n, box, box/2+1) complex, weights (n, box, box/2+1) >= 0, rotations (n, 3, 3) object ->
/// view, symmetry (g, 3, 3): orientation R is equivalent to R S. Frequencies beyond max_radius are
/// left out; the kx = 0 column is taken for ky >= 0 only (its other half are Friedel mates) and the
/// origin with half weight. With `ramp`, samples at radius k count 2 k and the origin 0.52: their
/// share of the 3-D frequency space for evenly spread slices, so that the spread density is flat
/// (Herman, Image Reconstruction from Projections, 1980, ch. 8). Without, insertion is the exact
/// adjoint of project_cartesian. Slabs of planes are owned by one worker each and visited in the
/// order of the samples, so the sums are the same for every number of threads.
void insert_slices(View<const complex_t, 3> slices, View<const float, 3> weights,
                   View<const double, 3> rotations, View<const double, 3> symmetry, double scale,
                   double oversampling, double max_radius, bool ramp, View<complex_t, 3> numerator,
                   View<float, 3> density, int n_threads);

} // namespace mapsort::inline MAPSORT_ISA
