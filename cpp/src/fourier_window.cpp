#include "mapsort/fourier_window.hpp"

#include "mapsort/parallel.hpp"
#include "mapsort/require.hpp"

namespace mapsort::inline MAPSORT_ISA {

namespace {

index_t wrap(index_t k, index_t n) {
  k %= n;
  return k < 0 ? k + n : k;
}

/// Where a signed frequency stands in half-complex storage, and whether as its conjugate.
struct Place {
  index_t z, y, x;
  bool conjugate;
};

Place place(index_t kz, index_t ky, index_t kx, index_t n) {
  index_t x = wrap(kx, n);
  if (x <= n / 2)
    return {wrap(kz, n), wrap(ky, n), x, false};
  return {wrap(-kz, n), wrap(-ky, n), n - x, true};
}

} // namespace

void require_padded(View<const complex_t, 3> spectra, double scale, index_t box) {
  const index_t padded = spectra.shape[1];
  require(
      padded % 2 == 0 && spectra.shape[2] == padded / 2 + 1 &&
          std::abs(double(padded) - scale * double(box)) < 0.5,
      "spectra: expected shape (n, padded, padded/2+1) with padded even and scale times the box");
}

void gather_window(View<const complex_t, 3> grid, View<complex_t, 3> window, int n_threads) {
  const index_t n = grid.shape[0], radius = (window.shape[0] - 1) / 2;
  require(n % 2 == 0 && grid.shape[1] == n && grid.shape[2] == n / 2 + 1,
          "grid: expected shape (n, n, n/2+1) with n even");
  require(window.shape == window_shape3(radius), "window: wrong shape for its radius");
  parallel_for(2 * radius + 1, n_threads, [&](index_t iz) {
    const index_t kz = iz - radius;
    for (index_t ky = -radius; ky <= radius; ++ky)
      for (index_t kx = -kHalo; kx <= radius; ++kx) {
        const Place p = place(kz, ky, kx, n);
        const complex_t value = grid(p.z, p.y, p.x);
        window(iz, ky + radius, kx + kHalo) = p.conjugate ? std::conj(value) : value;
      }
  });
}

void gather_window(View<const complex_t, 2> grid, View<complex_t, 2> window) {
  const index_t n = grid.shape[0], radius = (window.shape[0] - 1) / 2;
  require(radius <= n, "spectra: too small for the frequencies asked for");
  for (index_t ky = -radius; ky <= radius; ++ky) {
    complex_t* row = window.item(ky + radius);
    const complex_t* mate = grid.item(wrap(-ky, n));
    for (index_t kx = -kHalo; kx < 0; ++kx)
      row[kx + kHalo] = std::conj(mate[-kx]);
    const complex_t* line = grid.item(wrap(ky, n));
    const index_t inside = std::min(radius, n / 2);
    for (index_t kx = 0; kx <= inside; ++kx)
      row[kx + kHalo] = line[kx];
    for (index_t kx = inside + 1; kx <= radius; ++kx)
      row[kx + kHalo] = std::conj(mate[n - kx]);
  }
}

} // namespace mapsort::inline MAPSORT_ISA
