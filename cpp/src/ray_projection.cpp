#include "mapsort/ray_projection.hpp"

#include "mapsort/parallel.hpp"
#include "mapsort/require.hpp"

#include <algorithm> // for std::fill_n
#include <cmath>     // for std::floor
#include <cstdint>   // for std::int32_t
#include <vector>    // for std::vector

namespace mapsort::inline MAPSORT_ISA {

namespace {

/// Rounding allowed for in the test whether a sample lies in the cube [pixels].
constexpr double kSlack = 1e-6;

/// Pixels [first, last] of an image row.
struct Range {
  double first, last;

  /// Keep the x with low <= at + slope x <= high.
  void keep(double at, double slope, double low, double high) {
    if (std::abs(slope) < 1e-9) {
      if (at < low - kSlack || at > high + kSlack)
        last = first - 1.0;
      return;
    }
    const double a = (low - at) / slope, b = (high - at) / slope;
    first = std::max(first, std::ceil(std::min(a, b) - kSlack));
    last = std::min(last, std::floor(std::max(a, b) + kSlack));
  }
};

/// Add one plane of samples to a row of pixels: row[x] with the volume at start + x step.
template <RayValue value>
void add_samples(View<const float, 3> volume, const double* start, const double* step, int first,
                 int last, float* row) {
  const auto n = static_cast<std::int32_t>(volume.shape[0]);
  const float x0 = float(start[0]), y0 = float(start[1]), z0 = float(start[2]);
  const float dx = float(step[0]), dy = float(step[1]), dz = float(step[2]);
  const float* data = volume.data;
  const index_t plane = index_t(n) * n;
#pragma omp simd
  for (int i = first; i <= last; ++i) {
    const float x = x0 + float(i) * dx, y = y0 + float(i) * dy, z = z0 + float(i) * dz;
    // truncation is floor, for x, y, z are not below 0 but by rounding
    const auto ix = std::min(std::max(static_cast<std::int32_t>(x), 0), n - 2);
    const auto iy = std::min(std::max(static_cast<std::int32_t>(y), 0), n - 2);
    const auto iz = std::min(std::max(static_cast<std::int32_t>(z), 0), n - 2);
    const float fx = x - float(ix), fy = y - float(iy), fz = z - float(iz);
    const float* corner = data + (iz * plane + index_t(iy) * n + ix);
    const float a = corner[0] + fx * (corner[1] - corner[0]);
    const float b = corner[n] + fx * (corner[n + 1] - corner[n]);
    const float c = corner[plane] + fx * (corner[plane + 1] - corner[plane]);
    const float d = corner[plane + n] + fx * (corner[plane + n + 1] - corner[plane + n]);
    const float ab = a + fy * (b - a), cd = c + fy * (d - c);
    const float sample = ab + fz * (cd - ab);
    row[i] = value == RayValue::kSum ? row[i] + sample : std::max(row[i], sample);
  }
}

template <RayValue value>
void ray_row(View<const float, 3> volume, const double* rotation, const double* shift,
             double radius, index_t iy, float* row) {
  const index_t n = volume.shape[0], centre = n / 2;
  const double y = double(iy - centre) - shift[1];
  std::fill_n(row, n, 0.0f);
  for (index_t iz = 0; iz < n; ++iz) {
    const double z = double(iz - centre), room = radius * radius - y * y - z * z;
    if (room < 0.0)
      continue;
    // the row's pixel i looks at x = i - centre - shift
    const double x = -double(centre) - shift[0];
    Range range{0.0, double(n - 1)};
    range.keep(x, 1.0, -std::sqrt(room), std::sqrt(room));
    double start[3];
    for (int c = 0; c < 3; ++c) { // transpose of the rotation
      start[c] = rotation[c] * x + rotation[3 + c] * y + rotation[6 + c] * z + double(centre);
      range.keep(start[c], rotation[c], 0.0, double(n - 1));
    }
    if (range.first <= range.last)
      add_samples<value>(volume, start, rotation, int(range.first), int(range.last), row);
  }
}

void voxel_image(View<const float, 3> volume, const double* rotation, const double* shift,
                 double radius, float* image) {
  const index_t n = volume.shape[0], centre = n / 2;
  std::fill_n(image, n * n, 0.0f);
  const float ax = float(rotation[0]), ay = float(rotation[3]);
  for (index_t iz = 0; iz < n; ++iz)
    for (index_t iy = 0; iy < n; ++iy) {
      const double z = double(iz - centre), y = double(iy - centre);
      const double room = radius * radius - y * y - z * z;
      if (room < 0.0)
        continue;
      const auto reach = static_cast<index_t>(std::floor(std::sqrt(room)));
      const float u0 = float(rotation[1] * y + rotation[2] * z + shift[0] + double(centre));
      const float v0 = float(rotation[4] * y + rotation[5] * z + shift[1] + double(centre));
      const float* line = volume.data + (iz * n + iy) * n + centre;
      for (index_t x = std::max(-reach, -centre); x <= std::min(reach, n - 1 - centre); ++x) {
        const float density = line[x];
        const float u = u0 + ax * float(x), v = v0 + ay * float(x);
        const float iu = std::floor(u), iv = std::floor(v);
        if (density == 0.0f || iu < 0.0f || iv < 0.0f || iu > float(n - 2) || iv > float(n - 2))
          continue;
        const float fu = u - iu, fv = v - iv;
        float* pixel = image + index_t(iv) * n + index_t(iu);
        pixel[0] += (1.0f - fv) * (1.0f - fu) * density;
        pixel[1] += (1.0f - fv) * fu * density;
        pixel[n] += fv * (1.0f - fu) * density;
        pixel[n + 1] += fv * fu * density;
      }
    }
}

void require_small(View<const float, 3> volume) {
  // the vector loop counts in 32 bits
  require(volume.shape[0] >= 2 && volume.shape[0] <= 1024, "volume: expected an edge of 2 to 1024");
}

} // namespace

void project_rays(View<const float, 3> volume, View<const double, 3> rotations,
                  View<const double, 2> shifts, double radius, RayValue value,
                  View<float, 3> images, int n_threads) {
  require_small(volume);
  const index_t n = volume.shape[0];
  parallel_for(rotations.shape[0] * n, n_threads, [&](index_t item) {
    const index_t image = item / n, row = item % n;
    float* pixels = images.item(image) + row * n;
    if (value == RayValue::kSum)
      ray_row<RayValue::kSum>(volume, rotations.item(image), shifts.item(image), radius, row,
                              pixels);
    else
      ray_row<RayValue::kMaximum>(volume, rotations.item(image), shifts.item(image), radius, row,
                                  pixels);
  });
}

void project_voxels(View<const float, 3> volume, View<const double, 3> rotations,
                    View<const double, 2> shifts, double radius, View<float, 3> images,
                    int n_threads) {
  require_small(volume);
  parallel_for(rotations.shape[0], n_threads, [&](index_t i) {
    voxel_image(volume, rotations.item(i), shifts.item(i), radius, images.item(i));
  });
}

} // namespace mapsort::inline MAPSORT_ISA
