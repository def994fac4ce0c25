#pragma once
// Central slices of a map's Fourier transform (projection-slice theorem).

#include "mapsort/fourier_window.hpp"

namespace mapsort::inline MAPSORT_ISA {

/// Polar sampling of the half plane: rings at whole Fourier pixels first_ring .. first_ring +
/// n_rings - 1, angles j 2 pi / n_angles for j < n_angles / 2 (the rest are Friedel mates).
/// n_angles even.
struct PolarGrid {
  index_t first_ring, n_rings, n_angles;
};

/// slices (n, box, box/2+1) in rfft layout; frequencies beyond max_radius (in Fourier pixels of the
/// box) and the Nyquist row and column of an even box are zero. scale = padded size / box;
/// rotations (n, 3, 3) map object to view: the slice at k reads the volume at R^T (kx, ky, 0).
void project_cartesian(View<const complex_t, 3> window, double scale, double oversampling,
                       View<const double, 3> rotations, double max_radius, index_t box,
                       View<complex_t, 3> slices, int n_threads);

/// slices (n, n_rings, n_angles/2) on a polar grid.
void project_polar(View<const complex_t, 3> window, double scale, double oversampling,
                   View<const double, 3> rotations, PolarGrid grid, View<complex_t, 3> slices,
                   int n_threads);

} // namespace mapsort::inline MAPSORT_ISA
