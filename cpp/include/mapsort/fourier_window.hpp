#pragma once
// A window of a Hermitian Fourier grid, laid out around the origin so that the interpolation kernel
// never wraps: kz, ky in [-radius, radius], kx in [-kHalo, radius]. (2-D windows: ky, kx.)
//
// A window of a real array's transform holds every frequency only once but for the narrow halo
// kx < 0, which is a conjugate copy. `gather` copies grid -> window. A window that samples are
// spread into holds half of what it stands for: each element counts for its Friedel mate, too.

#include "mapsort/interpolation_kernel.hpp"
#include "mapsort/view.hpp"

#include <complex> // for std::complex

namespace mapsort::inline MAPSORT_ISA {

using complex_t = std::complex<float>;

/// Grid points beyond the outermost sample that a kernel of this width may touch.
constexpr index_t halo_of(int width) { return width / 2 + 1; }
inline constexpr index_t kHalo = halo_of(kKernelWidth);

/// Window radius needed for samples up to max_frequency grid points from the origin.
inline index_t window_radius(double max_frequency, index_t halo = kHalo) {
  return static_cast<index_t>(std::ceil(max_frequency)) + halo;
}

inline std::array<index_t, 3> window_shape3(index_t radius, index_t halo = kHalo) {
  return {2 * radius + 1, 2 * radius + 1, radius + 1 + halo};
}
inline std::array<index_t, 2> window_shape2(index_t radius) {
  return {2 * radius + 1, radius + 1 + kHalo};
}

/// grid (n, n, n_x) of a real volume -> window; n even. n_x is n/2+1, or fewer if the window has no
/// use for the others: at least radius + 1. The halo is what the window's shape leaves for it.
void gather_window(View<const complex_t, 3> grid, View<complex_t, 3> window, int n_threads);
/// grid (n, n/2+1) of a real image -> window; n even. One image: called inside particle loops.
void gather_window(View<const complex_t, 2> grid, View<complex_t, 2> window);

/// Check that spectra (n, padded, padded/2+1) are of images of this box, padded to scale times its
/// size.
void require_padded(View<const complex_t, 3> spectra, double scale, index_t box);

} // namespace mapsort::inline MAPSORT_ISA
