#pragma once
// Insertion of slices into a Fourier window: the adjoint of projection_cartesian, with weights.
//
// A call spreads either the complex values of slices or their real weights, for every symmetry copy
// of every slice, each into a window of its own scale. Frequencies beyond max_radius are left out;
// the kx = 0 column is taken for ky >= 0 only (its other half are Friedel mates) and the origin
// with half weight: the window and its mates together hold every frequency of the plane once.
//
// Samples are sorted into bricks of the window. A brick's samples reach no farther than its next
// neighbours, so bricks of one colour of four are spread at the same time without locks, each in
// the order of its samples: sums are the same for every number of threads, and so is the memory.
// A batch's sums are made brick by brick in memory of their own and then added to the window. A
// window's value is thus a sum of at most a few thousand terms of like size, however many slices
// there are, and single precision is enough.

#include "mapsort/fourier_window.hpp"

namespace mapsort::inline MAPSORT_ISA {

/// Where slices lie in the window they are spread into.
struct SliceGeometry {
  View<const double, 3> rotations; // (n, 3, 3): object -> view
  View<const double, 3> symmetry;  // (g, 3, 3): orientation R is equivalent to R S
  double scale;                    // grid points of the window per Fourier pixel of the slices
  double oversampling;             // of the window over the extent that is read from its transform
  double max_radius;               // Fourier pixels
};

/// numerator += spread(slices), slices (n, box, box/2+1).
void insert_slices(View<const complex_t, 3> slices, const SliceGeometry& geometry,
                   View<complex_t, 3> numerator, int n_threads);

/// density += spread(weights), weights (n, box, box/2+1).
void insert_weights(View<const float, 3> weights, const SliceGeometry& geometry,
                    View<float, 3> density, int n_threads);

} // namespace mapsort::inline MAPSORT_ISA
