#include "mapsort/polar_transform.hpp"

#include "mapsort/require.hpp"

namespace mapsort::inline MAPSORT_ISA {

namespace {

/// Highest angular order that counts on a ring where the support's edge has Bessel argument x.
double highest_order(double x) { return x + 2.0 * std::cbrt(x) + 2.0; }

} // namespace

PolarLayout::PolarLayout(PolarGrid polar, index_t box, double support_radius)
    : grid(polar), n_rotations(int(polar.n_angles)) {
  require(grid.first_ring >= 1 && grid.n_rings >= 1 && grid.n_angles >= 4 && grid.n_angles % 2 == 0,
          "grid: expected first_ring >= 1, n_rings >= 1 and an even n_angles >= 4");
  require(2 * (grid.first_ring + grid.n_rings - 1) <= box, "n_rings: expected rings within box/2");
  require(support_radius > 0.0, "support_radius: expected a positive radius");
  const double step = 2.0 * kPi * support_radius / double(box);
  const double top = highest_order(step * double(grid.first_ring + grid.n_rings - 1));
  const int max_order = std::min(int(top), int(grid.n_angles / 2) - 1);
  int ring = 0, entry = 0;
  for (int m = 0; m <= max_order; ++m) {
    while (ring + 1 < grid.n_rings && highest_order(step * double(grid.first_ring + ring)) < m)
      ++ring;
    first_entry.push_back(entry);
    first_ring_of.push_back(ring);
    entry += int(grid.n_rings) - ring;
  }
  first_entry.push_back(entry);
}

PolarLayout::PolarLayout(PolarGrid polar, int rotations, View<const std::int32_t, 2> ring_ranges)
    : grid(polar), n_rotations(rotations) {
  const int n_orders = int(ring_ranges.shape[0]);
  require(n_orders >= 1 && ring_ranges.shape[1] == 2, "ring_ranges: expected shape (orders, 2)");
  require(n_orders <= grid.n_angles / 2 && 2 * n_orders - 1 <= n_rotations,
          "ring_ranges: more orders than n_angles or n_rotations can tell apart");
  int entry = 0;
  for (int m = 0; m < n_orders; ++m) {
    const int first = ring_ranges(m, 0), last = ring_ranges(m, 1);
    require(0 <= first && first <= last && last <= grid.n_rings, "ring_ranges: beyond the rings");
    first_entry.push_back(entry);
    first_ring_of.push_back(first);
    entry += last - first;
  }
  first_entry.push_back(entry);
  require(entry > 0, "ring_ranges: no rings at all");
}

int PolarLayout::n_orders_between(int first, int last) const {
  for (int m = max_order(); m > 0; --m)
    if (std::max(first, first_ring_of[m]) < std::min(last, first_ring_of[m] + n_rings_of(m)))
      return m + 1;
  return 1;
}

RingTransform::RingTransform(const PolarLayout& layout)
    : layout_(layout), half_(int(layout.grid.n_angles / 2)),
      n_blocks_(int((layout.grid.n_rings + kLanes - 1) / kLanes)),
      fft_(int(layout.grid.n_angles / 4)) {
  require(layout.grid.n_angles % 4 == 0,
          "n_angles: expected a product of 2, 3 and 5, a multiple of 4");
  for (int j = 0; j < half_; ++j)
    turn_.push_back({float(std::cos(kPi * j / half_)), float(-std::sin(kPi * j / half_))});
  for (int block = 0; block < n_blocks_; ++block)
    n_orders_.push_back(layout.n_orders_between(block * kLanes, (block + 1) * kLanes));
}

void rings_to_lanes(const complex_t* rings, const PolarGrid& grid, VecC* lanes) {
  const index_t half = grid.n_angles / 2;
  const index_t n_blocks = (grid.n_rings + kLanes - 1) / kLanes;
  for (index_t i = 0; i < n_blocks * half; ++i)
    lanes[i] = VecC{};
  for (index_t ring = 0; ring < grid.n_rings; ++ring)
    for (index_t j = 0; j < half; ++j) {
      VecC& point = lanes[ring / kLanes * half + j];
      point.re[ring % kLanes] = rings[ring * half + j].real();
      point.im[ring % kLanes] = rings[ring * half + j].imag();
    }
}

PolarSampler::PolarSampler(PolarGrid grid, double scale, double oversampling)
    : grid_(grid), radius_(window_radius(double(grid.first_ring + grid.n_rings - 1) * scale)) {
  const InterpolationKernel<kKernelWidth> kernel(oversampling);
  const index_t row = window_shape2(radius_)[1];
  for (index_t ring = 0; ring < grid.n_rings; ++ring)
    for (index_t j = 0; j < grid.n_angles / 2; ++j) {
      const double k = double(grid.first_ring + ring) * scale;
      const double angle = 2.0 * kPi * double(j) / double(grid.n_angles);
      float x = static_cast<float>(k * std::cos(angle)),
            y = static_cast<float>(k * std::sin(angle));
      Point point{};
      point.sign = x < 0.0f ? -1.0f : 1.0f;
      if (x < 0.0f)
        x = -x, y = -y;
      const index_t x0 = kernel.values(x, point.wx) + kHalo;
      const index_t y0 = kernel.values(y, point.wy) + radius_;
      point.offset = static_cast<std::int32_t>(y0 * row + x0);
      points_.push_back(point);
    }
}

void PolarSampler::sample(View<const complex_t, 2> window, VecC* lanes) const {
  const index_t half = grid_.n_angles / 2, row = window.shape[1];
  const index_t n_blocks = (grid_.n_rings + kLanes - 1) / kLanes;
  for (index_t i = 0; i < n_blocks * half; ++i)
    lanes[i] = VecC{};
  for (index_t ring = 0; ring < grid_.n_rings; ++ring)
    for (index_t j = 0; j < half; ++j) {
      const Point& point = points_[ring * half + j];
      const float* base = reinterpret_cast<const float*>(window.data + point.offset);
      float sum[2 * kKernelWidth] = {};
      for (int a = 0; a < kKernelWidth; ++a)
        for (int k = 0; k < 2 * kKernelWidth; ++k)
          sum[k] += point.wy[a] * base[2 * a * row + k];
      float re = 0.0f, im = 0.0f;
      for (int k = 0; k < kKernelWidth; ++k) {
        re += point.wx[k] * sum[2 * k];
        im += point.wx[k] * sum[2 * k + 1];
      }
      VecC& out = lanes[ring / kLanes * half + j];
      out.re[ring % kLanes] = re;
      out.im[ring % kLanes] = point.sign * im;
    }
}

} // namespace mapsort::inline MAPSORT_ISA
