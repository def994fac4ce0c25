#include "mapsort/gridding.hpp"

#include "mapsort/parallel.hpp"
#include "mapsort/require.hpp"

#include <cstring>     // for std::memcpy
#include <type_traits> // for std::is_same_v
#include <vector>      // for std::vector

namespace mapsort::inline MAPSORT_ISA {

namespace {

/// Planes and rows of a brick, which is as long as the window in x. A sample that begins in a brick
/// touches at most kBrick + kKernelWidth - 1 of either, less than two bricks.
constexpr index_t kBrick = 8;
static_assert(kKernelWidth <= kBrick + 1);
/// Planes and rows that a brick's samples touch.
constexpr index_t kTouched = kBrick + kKernelWidth - 1;
/// Lanes of a kernel line: those beyond the kernel's width hold zeros.
constexpr index_t kLanes = 8;
/// Samples sorted at a time: enough to meet every brick of a large window many times.
constexpr index_t kLeastBatch = index_t{1} << 20, kMostBatch = index_t{1} << 24;
/// Parts of a batch that are sorted independently.
constexpr index_t kSortParts = 64;

typedef float Vec16 __attribute__((vector_size(64)));
typedef float Vec8 __attribute__((vector_size(32)));

template <class Vec> void add_to(float* p, Vec values) {
  Vec v;
  std::memcpy(&v, p, sizeof(v));
  v += values;
  std::memcpy(p, &v, sizeof(v));
}

/// One Fourier sample on its way into the window, in grid points from the origin, x >= 0.
template <class Value> struct Sample {
  float x, y, z;
  Value value;
};

/// A frequency of the slice's half plane that is inserted, and its share.
struct PlanePoint {
  index_t offset;
  float kx, ky, share;
};

std::vector<PlanePoint> plane_points(index_t box, double max_radius) {
  std::vector<PlanePoint> points;
  const index_t half = box / 2 + 1;
  for (index_t row = 0; row < box; ++row) {
    const index_t ky = row <= (box - 1) / 2 ? row : row - box;
    for (index_t kx = 0; kx < half; ++kx) {
      const bool nyquist = 2 * kx == box || 2 * ky == -box;
      const bool mate = kx == 0 && ky < 0;
      if (nyquist || mate || std::sqrt(double(kx * kx + ky * ky)) > max_radius)
        continue;
      points.push_back({row * half + kx, float(kx), float(ky), kx == 0 && ky == 0 ? 0.5f : 1.0f});
    }
  }
  return points;
}

/// rotation times symmetry operator: rows 0 and 1, in grid points per Fourier pixel of the slice.
struct PlaneAxes {
  float u[3], v[3];

  PlaneAxes(const double* rotation, const double* op, double scale) {
    for (int c = 0; c < 3; ++c) {
      double sum[2] = {0.0, 0.0};
      for (int r = 0; r < 2; ++r)
        for (int k = 0; k < 3; ++k)
          sum[r] += rotation[3 * r + k] * op[3 * k + c];
      u[c] = static_cast<float>(sum[0] * scale);
      v[c] = static_cast<float>(sum[1] * scale);
    }
  }

  template <class Value> Sample<Value> at(const PlanePoint& q, Value value) const {
    Sample<Value> s{q.kx * u[0] + q.ky * v[0], q.kx * u[1] + q.ky * v[1], q.kx * u[2] + q.ky * v[2],
                    value * q.share};
    if (s.x < 0.0f) {
      s.x = -s.x, s.y = -s.y, s.z = -s.z;
      if constexpr (std::is_same_v<Value, complex_t>)
        s.value = std::conj(s.value);
    }
    return s;
  }
};

/// First of the kKernelWidth grid points that a sample touches along one axis.
index_t first_touched(float at) {
  return static_cast<index_t>(std::ceil(at - 0.5f * kKernelWidth));
}

/// The kernel with its values at the grid points in the lanes of a vector, padded with zeros.
class LineKernel {
public:
  explicit LineKernel(double oversampling) {
    const Kernel kernel(oversampling);
    for (int d = 0; d <= Kernel::kDegree; ++d) {
      coefficients_[d] = Vec8{};
      for (int j = 0; j < kKernelWidth; ++j)
        coefficients_[d][j] = kernel.coefficient(d, j);
    }
  }

  /// Kernel values along one axis, and the first grid point.
  Vec8 at(float position, index_t& first) const {
    const float begin = std::ceil(position - 0.5f * kKernelWidth);
    const float t = (position - begin) - 0.5f * (kKernelWidth - 1);
    Vec8 line = coefficients_[Kernel::kDegree];
    for (int d = Kernel::kDegree - 1; d >= 0; --d)
      line = line * t + coefficients_[d];
    first = static_cast<index_t>(begin);
    return line;
  }

private:
  using Kernel = InterpolationKernel<kKernelWidth>;
  static_assert(kKernelWidth <= kLanes);
  Vec8 coefficients_[Kernel::kDegree + 1];
};

/// The kernel line times a sample's value: what is added to the grid points of a row.
Vec8 line_of(Vec8 weights, float value) { return weights * value; }
Vec16 line_of(Vec8 weights, complex_t value) {
  const Vec16 twice =
      __builtin_shufflevector(weights, weights, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7);
  const float re = value.real(), im = value.imag();
  return twice * Vec16{re, im, re, im, re, im, re, im, re, im, re, im, re, im, re, im};
}

/// The part of a window that a brick's samples touch, in memory of its own: sums of a batch are
/// made here and added to the window once. Small terms would be lost, one by one, in the large sums
/// of many slices; and rows may be written kLanes at a time.
template <class Value> class BrickSums {
public:
  void clear(index_t row_length) {
    stride_ = row_length + kLanes;
    sums_.assign(kTouched * kTouched * stride_, Value{});
  }

  /// Add a sample; z0 and y0 are the brick's first plane and row, from the window's centre.
  void spread(const Sample<Value>& s, const LineKernel& kernel, index_t z0, index_t y0) {
    index_t x, y, z;
    const Vec8 wx = kernel.at(s.x, x), wy = kernel.at(s.y, y), wz = kernel.at(s.z, z);
    const auto line = line_of(wx, s.value);
    Value* corner = sums_.data() + ((z - z0) * kTouched + y - y0) * stride_ + x + kHalo;
    for (int i = 0; i < kKernelWidth; ++i)
      for (int j = 0; j < kKernelWidth; ++j)
        add_to(reinterpret_cast<float*>(corner + (i * kTouched + j) * stride_),
               wz[i] * wy[j] * line);
  }

  /// Add the sums to the window, of which the brick may hold the edge.
  void add_into(View<Value, 3> window, index_t plane, index_t row) const {
    const index_t length = window.shape[2];
    for (index_t i = 0; i < std::min(kTouched, window.shape[0] - plane); ++i)
      for (index_t j = 0; j < std::min(kTouched, window.shape[1] - row); ++j) {
        const Value* from = sums_.data() + (i * kTouched + j) * stride_;
        Value* to = window.item(plane + i) + (row + j) * length;
        for (index_t k = 0; k < length; ++k)
          to[k] += from[k];
      }
  }

private:
  index_t stride_ = 0;
  std::vector<Value> sums_;
};

/// The bricks of a window, numbered row by row.
struct Bricks {
  index_t radius, per_side;

  explicit Bricks(index_t window_radius)
      : radius(window_radius), per_side((2 * window_radius + kBrick) / kBrick) {}
  index_t count() const { return per_side * per_side; }
  template <class Value> index_t of(const Sample<Value>& s) const {
    return (first_touched(s.z) + radius) / kBrick * per_side +
           (first_touched(s.y) + radius) / kBrick;
  }
};

/// Spreads batches of slices' copies.
template <class Value> class Inserter {
public:
  Inserter(View<const Value, 3> slices, const SliceGeometry& geometry, View<Value, 3> window)
      : slices_(slices), geometry_(geometry), window_(window), kernel_(geometry.oversampling),
        bricks_((window.shape[0] - 1) / 2),
        points_(plane_points(slices.shape[1], geometry.max_radius)), begin_(bricks_.count() + 1),
        place_(bricks_.count() * kSortParts) {
    require(window_radius(geometry.max_radius * geometry.scale) <= bricks_.radius,
            "window: too small for the frequencies asked for");
  }

  void run(int n_threads) {
    const index_t n_copies = slices_.shape[0] * geometry_.symmetry.shape[0];
    const index_t n_points = std::max<index_t>(1, index_t(points_.size()));
    const index_t wanted = std::min(std::max(window_.size() / 4, kLeastBatch), kMostBatch);
    const index_t per_batch = std::max<index_t>(1, wanted / n_points);
    for (index_t first = 0; first < n_copies; first += per_batch)
      insert(first, std::min(first + per_batch, n_copies), n_threads);
  }

private:
  void insert(index_t first_copy, index_t last_copy, int n_threads) {
    sort(first_copy, last_copy, n_threads);
    for (index_t colour = 0; colour < 4; ++colour) {
      const index_t side = (bricks_.per_side + 1) / 2;
      parallel_for(side * side, n_threads, [&](index_t i) {
        const index_t z = 2 * (i / side) + colour / 2, y = 2 * (i % side) + colour % 2;
        if (z >= bricks_.per_side || y >= bricks_.per_side)
          return;
        const index_t brick = z * bricks_.per_side + y;
        if (begin_[brick] == begin_[brick + 1])
          return;
        thread_local BrickSums<Value> brick_sums;
        BrickSums<Value>& sums = brick_sums;
        sums.clear(window_.shape[2]);
        for (std::size_t s = begin_[brick]; s < begin_[brick + 1]; ++s)
          sums.spread(sorted_[s], kernel_, z * kBrick - bricks_.radius,
                      y * kBrick - bricks_.radius);
        sums.add_into(window_, z * kBrick, y * kBrick);
      });
    }
  }

  /// Counting sort by brick, the samples of a brick in the order of slices, copies and points.
  void sort(index_t first_copy, index_t last_copy, int n_threads) {
    const index_t n_copies = last_copy - first_copy, n_bricks = bricks_.count();
    sorted_.resize(n_copies * points_.size());
    std::fill(place_.begin(), place_.end(), std::size_t{0});
    const auto each_part = [&](auto visit) {
      parallel_for(kSortParts, n_threads, [&](index_t part) {
        std::size_t* place = place_.data() + part * n_bricks;
        for (index_t c = part * n_copies / kSortParts; c < (part + 1) * n_copies / kSortParts; ++c)
          visit_copy(first_copy + c,
                     [&](const Sample<Value>& s) { visit(place[bricks_.of(s)], s); });
      });
    };
    each_part([](std::size_t& count, const Sample<Value>&) { ++count; });
    std::size_t total = 0;
    for (index_t brick = 0; brick < n_bricks; ++brick) {
      begin_[brick] = total;
      for (index_t part = 0; part < kSortParts; ++part) {
        const std::size_t count = place_[part * n_bricks + brick];
        place_[part * n_bricks + brick] = total;
        total += count;
      }
    }
    begin_[n_bricks] = total;
    each_part([&](std::size_t& next, const Sample<Value>& s) { sorted_[next++] = s; });
  }

  template <class Visit> void visit_copy(index_t copy, Visit visit) const {
    const index_t n_ops = geometry_.symmetry.shape[0], slice = copy / n_ops;
    const PlaneAxes axes(geometry_.rotations.item(slice), geometry_.symmetry.item(copy % n_ops),
                         geometry_.scale);
    const Value* values = slices_.item(slice);
    for (const PlanePoint& q : points_)
      visit(axes.at(q, values[q.offset]));
  }

  View<const Value, 3> slices_;
  const SliceGeometry& geometry_;
  View<Value, 3> window_;
  LineKernel kernel_;
  Bricks bricks_;
  std::vector<PlanePoint> points_;
  std::vector<std::size_t> begin_; // of each brick in sorted_
  std::vector<std::size_t> place_; // of each part's next sample of each brick
  std::vector<Sample<Value>> sorted_;
};

} // namespace

void insert_slices(View<const complex_t, 3> slices, const SliceGeometry& geometry,
                   View<complex_t, 3> numerator, int n_threads) {
  Inserter<complex_t>(slices, geometry, numerator).run(n_threads);
}

void insert_weights(View<const float, 3> weights, const SliceGeometry& geometry,
                    View<float, 3> density, int n_threads) {
  Inserter<float>(weights, geometry, density).run(n_threads);
}

} // namespace mapsort::inline MAPSORT_ISA
