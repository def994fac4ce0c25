#include "mapsort/gridding.hpp"

#include "mapsort/parallel.hpp"
#include "mapsort/require.hpp"

#include <vector> // for std::vector

namespace mapsort::inline MAPSORT_ISA {

namespace {

constexpr index_t kSlabPlanes = 8;
constexpr index_t kBatchSamples = index_t{1}
                                  << 18; // bounds the memory of the sorted samples: 6 MiB

/// One Fourier sample on its way into the window, in grid points from the origin, x >= 0.
struct Sample {
  float x, y, z, re, im, weight;
};

/// A frequency of the slice's half plane that is inserted, and its share.
struct PlanePoint {
  index_t offset;
  float kx, ky, share;
};

/// Volume of 3-D frequency space that a sample stands for, over that of one sample at radius 1/2.
float ramp_share(double k) { return k < 0.5 ? 0.52f : static_cast<float>(2.0 * k); }

std::vector<PlanePoint> plane_points(index_t box, double max_radius, bool ramp) {
  std::vector<PlanePoint> points;
  const index_t half = box / 2 + 1;
  for (index_t row = 0; row < box; ++row) {
    const index_t ky = row <= (box - 1) / 2 ? row : row - box;
    for (index_t kx = 0; kx < half; ++kx) {
      const bool nyquist = 2 * kx == box || 2 * ky == -box;
      const bool mate = kx == 0 && ky < 0;
      const double k = std::sqrt(double(kx * kx + ky * ky));
      if (nyquist || mate || k > max_radius)
        continue;
      const float own_mate = kx == 0 && ky == 0 ? 0.5f : 1.0f;
      points.push_back(
          {row * half + kx, float(kx), float(ky), own_mate * (ramp ? ramp_share(k) : 1.0f)});
    }
  }
  return points;
}

/// rotation times symmetry operator: rows 0 and 1, in grid points per Fourier pixel of the slice.
void plane_axes(const double* rotation, const double* op, double scale, float axes[2][3]) {
  for (int r = 0; r < 2; ++r)
    for (int c = 0; c < 3; ++c) {
      double sum = 0.0;
      for (int k = 0; k < 3; ++k)
        sum += rotation[3 * r + k] * op[3 * k + c];
      axes[r][c] = static_cast<float>(sum * scale);
    }
}

/// Samples of one batch with, per slab of planes, the list of samples that reach into it.
struct Batch {
  std::vector<Sample> samples;
  std::vector<std::vector<std::uint32_t>> by_slab;
};

void sort_into_slabs(Batch& batch, index_t radius) {
  for (auto& list : batch.by_slab)
    list.clear();
  for (std::size_t s = 0; s < batch.samples.size(); ++s) {
    const index_t first =
        static_cast<index_t>(std::ceil(batch.samples[s].z - 0.5f * kKernelWidth)) + radius;
    const index_t low = first / kSlabPlanes, high = (first + kKernelWidth - 1) / kSlabPlanes;
    for (index_t slab = low; slab <= high; ++slab)
      batch.by_slab[slab].push_back(static_cast<std::uint32_t>(s));
  }
}

/// Spread one sample onto the planes [first_plane, last_plane) of the window.
void spread(const Sample& s, const InterpolationKernel<kKernelWidth>& kernel, index_t radius,
            index_t first_plane, index_t last_plane, View<complex_t, 3> numerator,
            View<float, 3> density) {
  float wx[kKernelWidth], wy[kKernelWidth], wz[kKernelWidth];
  const index_t x0 = kernel.values(s.x, wx) + kHalo;
  const index_t y0 = kernel.values(s.y, wy) + radius;
  const index_t z0 = kernel.values(s.z, wz) + radius;
  float line[2 * kKernelWidth];
  for (int k = 0; k < kKernelWidth; ++k) {
    line[2 * k] = wx[k] * s.re;
    line[2 * k + 1] = wx[k] * s.im;
    wx[k] *= s.weight;
  }
  for (int i = 0; i < kKernelWidth; ++i) {
    if (z0 + i < first_plane || z0 + i >= last_plane)
      continue;
    for (int j = 0; j < kKernelWidth; ++j) {
      const float w = wz[i] * wy[j];
      float* num = reinterpret_cast<float*>(&numerator(z0 + i, y0 + j, x0));
      float* den = &density(z0 + i, y0 + j, x0);
      for (int k = 0; k < 2 * kKernelWidth; ++k)
        num[k] += w * line[k];
      for (int k = 0; k < kKernelWidth; ++k)
        den[k] += w * wx[k];
    }
  }
}

} // namespace

void insert_slices(View<const complex_t, 3> slices, View<const float, 3> weights,
                   View<const double, 3> rotations, View<const double, 3> symmetry, double scale,
                   double oversampling, double max_radius, bool ramp, View<complex_t, 3> numerator,
                   View<float, 3> density, int n_threads) {
  const index_t radius = (numerator.shape[0] - 1) / 2;
  require(window_radius(max_radius * scale) <= radius,
          "numerator: window too small for the frequencies asked for");
  const InterpolationKernel<kKernelWidth> kernel(oversampling);
  const auto points = plane_points(slices.shape[1], max_radius, ramp);
  const index_t n_copies = slices.shape[0] * symmetry.shape[0], n_points = index_t(points.size());
  const index_t per_batch = std::max<index_t>(1, kBatchSamples / std::max<index_t>(1, n_points));
  const index_t n_slabs = (2 * radius + kSlabPlanes) / kSlabPlanes;
  Batch batch;
  batch.by_slab.resize(n_slabs);

  for (index_t begin = 0; begin < n_copies; begin += per_batch) {
    const index_t end = std::min(begin + per_batch, n_copies);
    batch.samples.resize((end - begin) * n_points);
    parallel_for(end - begin, n_threads, [&](index_t c) {
      const index_t slice = (begin + c) / symmetry.shape[0], op = (begin + c) % symmetry.shape[0];
      float axes[2][3];
      plane_axes(rotations.item(slice), symmetry.item(op), scale, axes);
      const complex_t* values = slices.item(slice);
      const float* weight = weights.item(slice);
      Sample* out = batch.samples.data() + c * n_points;
      for (index_t p = 0; p < n_points; ++p) {
        const PlanePoint& q = points[p];
        Sample s{q.kx * axes[0][0] + q.ky * axes[1][0], q.kx * axes[0][1] + q.ky * axes[1][1],
                 q.kx * axes[0][2] + q.ky * axes[1][2], values[q.offset].real() * q.share,
                 values[q.offset].imag() * q.share,     weight[q.offset] * q.share};
        if (s.x < 0.0f)
          s.x = -s.x, s.y = -s.y, s.z = -s.z, s.im = -s.im;
        out[p] = s;
      }
    });
    sort_into_slabs(batch, radius);
    parallel_for(n_slabs, n_threads, [&](index_t slab) {
      const index_t first = slab * kSlabPlanes;
      const index_t last = std::min(first + kSlabPlanes, 2 * radius + 1);
      for (std::uint32_t s : batch.by_slab[slab])
        spread(batch.samples[s], kernel, radius, first, last, numerator, density);
    });
  }
}

} // namespace mapsort::inline MAPSORT_ISA
