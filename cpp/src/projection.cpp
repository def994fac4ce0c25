#include "mapsort/projection.hpp"

#include "mapsort/interpolation.hpp"
#include "mapsort/parallel.hpp"
#include "mapsort/require.hpp"

namespace mapsort::inline MAPSORT_ISA {

namespace {

/// Rows 0 and 1 of the rotation: the view's x and y axes in the object, scaled to grid points.
struct PlaneAxes {
  double x[3], y[3];
  PlaneAxes(const double* rotation, double scale) {
    for (int i = 0; i < 3; ++i) {
      x[i] = rotation[i] * scale;
      y[i] = rotation[3 + i] * scale;
    }
  }
};

complex_t at(const VolumeSampler& volume, const PlaneAxes& axes, double kx, double ky) {
  return volume(static_cast<float>(kx * axes.x[0] + ky * axes.y[0]),
                static_cast<float>(kx * axes.x[1] + ky * axes.y[1]),
                static_cast<float>(kx * axes.x[2] + ky * axes.y[2]));
}

void require_reach(View<const complex_t, 3> window, double max_frequency) {
  require(window_radius(max_frequency) <= (window.shape[0] - 1) / 2,
          "window: too small for the frequencies asked for");
  require(window.shape == window_shape3((window.shape[0] - 1) / 2), "window: not a window's shape");
}

} // namespace

void project_cartesian(View<const complex_t, 3> window, double scale, double oversampling,
                       View<const double, 3> rotations, double max_radius, index_t box,
                       View<complex_t, 3> slices, int n_threads) {
  require_reach(window, max_radius * scale);
  const InterpolationKernel<kKernelWidth> kernel(oversampling);
  const VolumeSampler volume(window, kernel);
  const index_t half = box / 2 + 1;
  parallel_for(rotations.shape[0], n_threads, [&](index_t i) {
    const PlaneAxes axes(rotations.item(i), scale);
    complex_t* slice = slices.item(i);
    for (index_t row = 0; row < box; ++row) {
      const index_t ky = row <= (box - 1) / 2 ? row : row - box;
      for (index_t kx = 0; kx < half; ++kx) {
        const bool nyquist = 2 * kx == box || 2 * ky == -box;
        const bool inside = static_cast<double>(kx * kx + ky * ky) <= max_radius * max_radius;
        slice[row * half + kx] =
            inside && !nyquist ? at(volume, axes, double(kx), double(ky)) : complex_t{};
      }
    }
  });
}

void project_polar(View<const complex_t, 3> window, double scale, double oversampling,
                   View<const double, 3> rotations, PolarGrid grid, View<complex_t, 3> slices,
                   int n_threads) {
  require_reach(window, double(grid.first_ring + grid.n_rings - 1) * scale);
  const InterpolationKernel<kKernelWidth> kernel(oversampling);
  const VolumeSampler volume(window, kernel);
  const index_t half = grid.n_angles / 2;
  parallel_for(rotations.shape[0], n_threads, [&](index_t i) {
    const PlaneAxes axes(rotations.item(i), scale);
    complex_t* slice = slices.item(i);
    for (index_t ring = 0; ring < grid.n_rings; ++ring)
      for (index_t j = 0; j < half; ++j) {
        const double k = double(grid.first_ring + ring);
        const double angle = 2.0 * kPi * double(j) / double(grid.n_angles);
        slice[ring * half + j] = at(volume, axes, k * std::cos(angle), k * std::sin(angle));
      }
  });
}

} // namespace mapsort::inline MAPSORT_ISA
