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

/// A map's Fourier window and how to read it: the width of the kernel, which also sets the window's
/// halo, and the oversampling that the kernel is made for. scale = grid points per Fourier pixel.
struct WindowView {
  View<const complex_t, 3> data;
  int width;
  double scale, oversampling;
};

/// slices (n, box, box/2+1) in rfft layout; frequencies beyond max_radius (in Fourier pixels of the
/// box) and the Nyquist row and column of an even box are zero. rotations (n, 3, 3) map object to
/// view: the slice at k reads the volume at R^T (kx, ky, 0).
void project_cartesian(const WindowView& window, View<const double, 3> rotations, double max_radius,
                       index_t box, View<complex_t, 3> slices, int n_threads);

/// slices (n, n_rings, n_angles/2) on a polar grid.
void project_polar(const WindowView& window, View<const double, 3> rotations, PolarGrid grid,
                   View<complex_t, 3> slices, int n_threads);

} // namespace mapsort::inline MAPSORT_ISA
