#include "mapsort/fourier_window.hpp"

#include "mapsort/parallel.hpp"
#include "mapsort/require.hpp"

#include <algorithm> // for std::copy_n

namespace mapsort::inline MAPSORT_ISA {

namespace {

index_t wrap(index_t k, index_t n) {
  k %= n;
  return k < 0 ? k + n : k;
}

} // namespace

void require_padded(View<const complex_t, 3> spectra, double scale, index_t box) {
  const index_t padded = spectra.shape[1];
  require(
      padded % 2 == 0 && spectra.shape[2] == padded / 2 + 1 &&
          std::abs(double(padded) - scale * double(box)) < 0.5,
      "spectra: expected shape (n, padded, padded/2+1) with padded even and scale times the box");
}

namespace {

/// One row of a window: frequencies -halo .. radius along x, from the grid's row at the same (ky,
/// kz) and from the row at (-ky, -kz), which holds their mates. Columns beyond n/2 are mates too.
void gather_row(const complex_t* line, const complex_t* mate, index_t n, index_t halo,
                index_t radius, complex_t* row) {
  for (index_t kx = -halo; kx < 0; ++kx)
    row[kx + halo] = std::conj(mate[-kx]);
  const index_t inside = std::min(radius, n / 2);
  std::copy_n(line, inside + 1, row + halo);
  for (index_t kx = inside + 1; kx <= radius; ++kx)
    row[kx + halo] = std::conj(mate[n - kx]);
}

} // namespace

void gather_window(View<const complex_t, 3> grid, View<complex_t, 3> window, int n_threads) {
  const index_t n = grid.shape[0], radius = (window.shape[0] - 1) / 2;
  const index_t halo = window.shape[2] - 1 - radius;
  require(n % 2 == 0 && grid.shape[1] == n && grid.shape[2] <= n / 2 + 1 &&
              grid.shape[2] > std::min(radius, n / 2),
          "grid: expected shape (n, n, n/2+1) with n even, or as many columns as are needed");
  require(halo >= 0 && halo <= std::min(radius, n / 2) && window.shape[1] == window.shape[0],
          "window: not a window's shape");
  require(radius <= n, "grid: too small for the frequencies asked for");
  parallel_for(2 * radius + 1, n_threads, [&](index_t iz) {
    const index_t kz = iz - radius;
    for (index_t ky = -radius; ky <= radius; ++ky)
      gather_row(&grid(wrap(kz, n), wrap(ky, n), 0), &grid(wrap(-kz, n), wrap(-ky, n), 0), n, halo,
                 radius, &window(iz, ky + radius, 0));
  });
}

void gather_window(View<const complex_t, 2> grid, View<complex_t, 2> window) {
  const index_t n = grid.shape[0], radius = (window.shape[0] - 1) / 2;
  require(radius <= n, "spectra: too small for the frequencies asked for");
  for (index_t ky = -radius; ky <= radius; ++ky)
    gather_row(grid.item(wrap(ky, n)), grid.item(wrap(-ky, n)), n, kHalo, radius,
               window.item(ky + radius));
}

} // namespace mapsort::inline MAPSORT_ISA
