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

float conjugate(float v) { return v; }
complex_t conjugate(complex_t v) { return std::conj(v); }

/// Elements on the planes kx = 0 and kx = n/2 are mates of elements of the same plane: add both
/// ways.
template <class T> void add_mates_in_plane(View<T, 3> grid, index_t x) {
  const index_t n = grid.shape[0];
  for (index_t z = 0; z < n; ++z)
    for (index_t y = 0; y < n; ++y) {
      const index_t mz = wrap(-z, n), my = wrap(-y, n);
      if (mz * n + my < z * n + y)
        continue; // done with its mate
      T& a = grid(z, y, x);
      T& b = grid(mz, my, x);
      const T sum_a = a + conjugate(b), sum_b = b + conjugate(a);
      a = sum_a;
      b = sum_b;
    }
}

template <class T> void scatter_add(View<const T, 3> window, View<T, 3> grid) {
  const index_t n = grid.shape[0], radius = (window.shape[0] - 1) / 2;
  require(grid.shape[1] == n && grid.shape[2] == n / 2 + 1, "grid: expected shape (n, n, n/2+1)");
  require(window.shape == window_shape3(radius), "window: not a window's shape");
  for (index_t kz = -radius; kz <= radius; ++kz)
    for (index_t ky = -radius; ky <= radius; ++ky)
      for (index_t kx = -kHalo; kx <= radius; ++kx) {
        const T value = window(kz + radius, ky + radius, kx + kHalo);
        const Place p = place(kz, ky, kx, n);
        grid(p.z, p.y, p.x) += p.conjugate ? conjugate(value) : value;
      }
  add_mates_in_plane(grid, 0);
  add_mates_in_plane(grid, n / 2);
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

void scatter_add_window(View<const complex_t, 3> window, View<complex_t, 3> grid) {
  scatter_add(window, grid);
}
void scatter_add_window(View<const float, 3> window, View<float, 3> grid) {
  scatter_add(window, grid);
}

} // namespace mapsort::inline MAPSORT_ISA
