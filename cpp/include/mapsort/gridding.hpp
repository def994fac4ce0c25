#pragma once
// Insertion of slices into a Fourier window: the adjoint of projection_cartesian, with weights.
//
// A slice's complex values and its real weights are spread together, for every symmetry copy, into
// one window: its elements are triples (real part, imaginary part, weight), so that the kernel is
// worked out once and a row of it times a triple fills one vector. Frequencies beyond max_radius
// are left out; the kx = 0 column is taken for ky >= 0 only (its other half are Friedel mates) and
// the origin with half weight: the window and its mates together hold every frequency of the plane
// once.
//
// Samples are sorted into cubic bricks of the window. A brick's samples reach no farther than its
// next neighbours, so bricks of one colour of eight are spread at the same time without locks, each
// in the order of its samples: sums are the same for every number of threads, and so is the memory.
// A batch's sums are made brick by brick in memory of their own, close at hand,
// and then added to the window. A window's value is thus a sum of at most a few thousand terms of
// like size, however many slices there are, and single precision is enough.

#include "mapsort/fourier_window.hpp"

namespace mapsort::inline MAPSORT_ISA {

/// Numbers that a window's element holds: real and imaginary part, and weight.
inline constexpr index_t kSampleParts = 3;

/// Where slices lie in the window they are spread into.
struct SliceGeometry {
  View<const double, 3> rotations; // (n, 3, 3): object -> view
  View<const double, 3> symmetry;  // (g, 3, 3): orientation R is equivalent to R S
  double scale;                    // grid points of the window per Fourier pixel of the slices
  double max_radius;               // Fourier pixels
};

/// window += spread(slices, weights), both (n, box, box/2+1); window (.., .., .., 3) with the halo
/// of kInsertionWidth. The kernel is that for an oversampling of scale / 2, for the weights' point
/// spread function is needed at twice the box's extent.
void insert_slices(View<const complex_t, 3> slices, View<const float, 3> weights,
                   const SliceGeometry& geometry, View<float, 4> window, int n_threads);

} // namespace mapsort::inline MAPSORT_ISA
