#include "mapsort/gridding.hpp"

#include "mapsort/fourier_plane.hpp"
#include "mapsort/parallel.hpp"
#include "mapsort/require.hpp"
#include "mapsort/simd.hpp"

#include <cstdint> // for std::uint32_t
#include <cstring> // for std::memcpy
#include <vector>  // for std::vector

namespace mapsort::inline MAPSORT_ISA {

namespace {

constexpr index_t kWidth = kInsertionWidth;
/// Edge of a brick. A sample that begins in a brick touches at most kBrick + kWidth - 1 points
/// along each axis, less than two bricks.
constexpr index_t kBrick = 12;
static_assert(kWidth <= kBrick + 1);
/// Edge of what a brick's samples touch.
constexpr index_t kTouched = kBrick + kWidth - 1;
/// Floats of a row of it, and of the whole.
constexpr index_t kRow = kTouched * kSampleParts;
constexpr index_t kBrickFloats = kTouched * kTouched * kRow;
/// Samples sorted at a time: one for each element of the window, so that adding bricks to it costs
/// little beside spreading.
constexpr index_t kLeastBatch = index_t{1} << 20, kMostBatch = index_t{1} << 24;
/// Points of a slice that are placed together.
constexpr index_t kBlock = 64;

/// A row of the kernel times a sample's parts fills one vector of 16 numbers, or two of eight where
/// the instruction set has none so long: the compiler takes those through memory.
constexpr int kPieces = kLanes == 16 ? 1 : 2;
using Piece = Floats<16 / kPieces>;
static_assert(kWidth * kSampleParts <= 16);

/// One Fourier sample on its way into the window, in grid points from the origin, x >= 0.
struct Sample {
  float x, y, z;
  float value[kSampleParts];
};

/// The frequencies of the slice's half plane that are inserted, and their shares.
struct PlanePoints {
  std::vector<index_t> offset;
  std::vector<float> kx, ky, share;

  PlanePoints(index_t box, double max_radius) {
    each_frequency(box, [&](index_t x, index_t y, index_t at) {
      const bool mate = x == 0 && y < 0;
      if (mate || std::sqrt(double(x * x + y * y)) > max_radius)
        return;
      offset.push_back(at);
      kx.push_back(float(x));
      ky.push_back(float(y));
      share.push_back(x == 0 && y == 0 ? 0.5f : 1.0f);
    });
  }
  index_t size() const { return index_t(offset.size()); }
};

/// First of the kWidth grid points that a sample touches along one axis.
float first_touched(float at) { return std::ceil(at - 0.5f * kWidth); }

/// The bricks of a window, numbered row by row. Along x it begins at -halo.
struct Bricks {
  index_t radius, halo, per_side, per_row;

  explicit Bricks(View<float, 4> window)
      : radius((window.shape[0] - 1) / 2), halo(window.shape[2] - radius - 1),
        per_side((window.shape[0] + kBrick - 1) / kBrick),
        per_row((window.shape[2] + kBrick - 1) / kBrick) {}
  index_t count() const { return per_side * per_side * per_row; }
};

/// Some points of a slice's copy: where they lie, whether at their Friedel mate, in which brick.
struct Placed {
  float x[kBlock], y[kBlock], z[kBlock], sign[kBlock];
  std::uint32_t brick[kBlock];

  void place(const PlaneAxes& axes, const PlanePoints& points, index_t begin, index_t n,
             const Bricks& bricks) {
    const float *kx = points.kx.data() + begin, *ky = points.ky.data() + begin;
    float u[3], v[3];
    for (int c = 0; c < 3; ++c) {
      u[c] = static_cast<float>(axes.x[c]);
      v[c] = static_cast<float>(axes.y[c]);
    }
    for (index_t i = 0; i < n; ++i) {
      const float at = kx[i] * u[0] + ky[i] * v[0];
      sign[i] = at < 0.0f ? -1.0f : 1.0f;
      x[i] = sign[i] * at;
      y[i] = sign[i] * (kx[i] * u[1] + ky[i] * v[1]);
      z[i] = sign[i] * (kx[i] * u[2] + ky[i] * v[2]);
    }
    const std::int32_t radius = std::int32_t(bricks.radius), halo = std::int32_t(bricks.halo);
    const std::int32_t side = std::int32_t(bricks.per_side), row = std::int32_t(bricks.per_row);
    constexpr std::int32_t kEdge = std::int32_t(kBrick);
    for (index_t i = 0; i < n; ++i) {
      const std::int32_t bz = (std::int32_t(first_touched(z[i])) + radius) / kEdge;
      const std::int32_t by = (std::int32_t(first_touched(y[i])) + radius) / kEdge;
      const std::int32_t bx = (std::int32_t(first_touched(x[i])) + halo) / kEdge;
      brick[i] = std::uint32_t((bz * side + by) * row + bx);
    }
  }
};

/// The kernel along one axis, its values in the lanes of one vector and zeros behind them.
class SampleKernel {
public:
  explicit SampleKernel(double oversampling) {
    const InterpolationKernel<kWidth> kernel(oversampling);
    for (int d = 0; d <= kDegree; ++d) {
      coefficients_[d] = Floats<8>{};
      for (int j = 0; j < kWidth; ++j)
        coefficients_[d][j] = kernel.coefficient(d, j);
    }
  }

  /// Values at a position t from the middle of the grid points touched.
  Floats<8> at(float t) const {
    Floats<8> line = coefficients_[kDegree];
    for (int d = kDegree - 1; d >= 0; --d)
      line = line * t + coefficients_[d];
    return line;
  }

private:
  static constexpr int kDegree = InterpolationKernel<kWidth>::kDegree;
  static_assert(kWidth == 5, "the lanes are written out for five grid points");
  Floats<8> coefficients_[kDegree + 1];
};

/// The kernel's values along x, each times the parts of a sample.
struct SampleRow {
  Piece piece[kPieces];

  SampleRow(Floats<8> x, const float* part) {
    const float re = part[0], im = part[1], w = part[2];
    const Floats<8> first = __builtin_shufflevector(x, x, 0, 0, 0, 1, 1, 1, 2, 2) *
                            Floats<8>{re, im, w, re, im, w, re, im};
    const Floats<8> second = __builtin_shufflevector(x, x, 2, 3, 3, 3, 4, 4, 4, 5) *
                             Floats<8>{w, re, im, w, re, im, w, 0.0f};
    join(first, second, piece);
  }

private:
  static void join(Floats<8> first, Floats<8> second, Floats<8>* to) {
    to[0] = first, to[1] = second;
  }
  static void join(Floats<8> first, Floats<8> second, Floats<16>* to) {
    *to = __builtin_shufflevector(first, second, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14,
                                  15);
  }
};

/// The part of a window that a brick's samples touch, in memory of its own: sums of a batch are
/// made here and added to the window once. Small terms would be lost, one by one, in the large sums
/// of many slices.
class BrickSums {
public:
  void clear() { std::memset(sums_, 0, sizeof(sums_)); }

  /// Add a sample; z0, y0 and x0 are the brick's first grid points, from the origin.
  void spread(const Sample& s, const SampleKernel& kernel, float z0, float y0, float x0) {
    const float x = first_touched(s.x), y = first_touched(s.y), z = first_touched(s.z);
    constexpr float kMiddle = 0.5f * (kWidth - 1);
    const SampleRow row(kernel.at((s.x - x) - kMiddle), s.value);
    alignas(32) float along_y[8], along_z[8];
    store(along_y, kernel.at((s.y - y) - kMiddle));
    store(along_z, kernel.at((s.z - z) - kMiddle));
    float* corner = sums_ + (index_t(z - z0) * kTouched + index_t(y - y0)) * kRow +
                    index_t(x - x0) * kSampleParts;
    for (int i = 0; i < kWidth; ++i)
      for (int k = 0; k < kPieces; ++k) {
        const Piece plane = along_z[i] * row.piece[k];
        for (int j = 0; j < kWidth; ++j) {
          float* p = corner + (i * kTouched + j) * kRow + k * (16 / kPieces);
          store(p, load<Piece>(p) + along_y[j] * plane);
        }
      }
  }

  /// Add the sums to the window, of which the brick may hold the edge.
  void add_into(View<float, 4> window, index_t plane, index_t row, index_t column) const {
    const index_t n = std::min(kTouched, window.shape[2] - column) * kSampleParts;
    for (index_t i = 0; i < std::min(kTouched, window.shape[0] - plane); ++i)
      for (index_t j = 0; j < std::min(kTouched, window.shape[1] - row); ++j) {
        const float* from = sums_ + (i * kTouched + j) * kRow;
        float* to = &window(plane + i, row + j, column, 0);
        for (index_t k = 0; k < n; ++k)
          to[k] += from[k];
      }
  }

private:
  /// A row's last vector may reach one element beyond it, with nothing to add.
  alignas(64) float sums_[kBrickFloats + 16];
};

/// Spreads batches of slices' copies.
class Inserter {
public:
  Inserter(View<const complex_t, 3> slices, View<const float, 3> weights,
           const SliceGeometry& geometry, View<float, 4> window)
      : slices_(slices), weights_(weights), geometry_(geometry), window_(window),
        kernel_(0.5 * geometry.scale), bricks_(window),
        points_(slices.shape[1], geometry.max_radius), begin_(bricks_.count() + 1) {
    require(window_radius(geometry.max_radius * geometry.scale, halo_of(kWidth)) <= bricks_.radius,
            "window: too small for the frequencies asked for");
  }

  void run(int n_threads) {
    const index_t n_copies = slices_.shape[0] * geometry_.symmetry.shape[0];
    const index_t n_points = std::max<index_t>(1, points_.size());
    const index_t voxels = window_.size() / kSampleParts;
    const index_t wanted = std::min(std::max(voxels, kLeastBatch), kMostBatch);
    const index_t per_batch = std::max<index_t>(1, wanted / n_points);
    for (index_t first = 0; first < n_copies; first += per_batch)
      insert(first, std::min(first + per_batch, n_copies), n_threads);
  }

private:
  void insert(index_t first_copy, index_t last_copy, int n_threads) {
    sort(first_copy, last_copy, n_threads);
    for (index_t colour = 0; colour < 8; ++colour) {
      const index_t side = (bricks_.per_side + 1) / 2;
      parallel_for(side * side, n_threads, [&](index_t i) {
        const index_t z = 2 * (i / side) + colour / 4, y = 2 * (i % side) + colour / 2 % 2;
        if (z < bricks_.per_side && y < bricks_.per_side)
          for (index_t x = colour % 2; x < bricks_.per_row; x += 2)
            spread_brick(z, y, x);
      });
    }
  }

  void spread_brick(index_t z, index_t y, index_t x) {
    const index_t brick = (z * bricks_.per_side + y) * bricks_.per_row + x;
    if (begin_[brick] == begin_[brick + 1])
      return;
    BrickSums sums;
    sums.clear();
    for (std::size_t s = begin_[brick]; s < begin_[brick + 1]; ++s)
      sums.spread(sorted_[s], kernel_, float(z * kBrick - bricks_.radius),
                  float(y * kBrick - bricks_.radius), float(x * kBrick - bricks_.halo));
    sums.add_into(window_, z * kBrick, y * kBrick, x * kBrick);
  }

  /// Counting sort by brick, the samples of a brick in the order of slices, copies and points,
  /// however many parts the copies are sorted in.
  void sort(index_t first_copy, index_t last_copy, int n_threads) {
    const index_t n_copies = last_copy - first_copy, n_bricks = bricks_.count();
    const index_t n_parts = n_threads == 1 ? 1 : 4 * std::min(n_threads, 16);
    sorted_.resize(n_copies * points_.size());
    place_.assign(n_bricks * n_parts, 0);
    const auto each_part = [&](auto visit) {
      parallel_for(n_parts, n_threads, [&](index_t part) {
        std::uint32_t* place = place_.data() + part * n_bricks;
        for (index_t c = part * n_copies / n_parts; c < (part + 1) * n_copies / n_parts; ++c)
          visit(first_copy + c, place);
      });
    };
    each_part([&](index_t copy, std::uint32_t* count) { count_copy(copy, count); });
    std::uint32_t total = 0;
    for (index_t brick = 0; brick < n_bricks; ++brick) {
      begin_[brick] = total;
      for (index_t part = 0; part < n_parts; ++part) {
        const std::uint32_t count = place_[part * n_bricks + brick];
        place_[part * n_bricks + brick] = total;
        total += count;
      }
    }
    begin_[n_bricks] = total;
    each_part([&](index_t copy, std::uint32_t* next) { sort_copy(copy, next); });
  }

  void count_copy(index_t copy, std::uint32_t* count) const {
    visit_copy(copy, [&](const Placed& placed, index_t, index_t n) {
      for (index_t i = 0; i < n; ++i)
        ++count[placed.brick[i]];
    });
  }

  void sort_copy(index_t copy, std::uint32_t* next) {
    const index_t slice = copy / geometry_.symmetry.shape[0];
    const complex_t* values = slices_.item(slice);
    const float* weights = weights_.item(slice);
    visit_copy(copy, [&](const Placed& placed, index_t begin, index_t n) {
      for (index_t i = 0; i < n; ++i) {
        const index_t offset = points_.offset[begin + i];
        const float share = points_.share[begin + i];
        // a sample at its Friedel mate is conjugate
        sorted_[next[placed.brick[i]]++] = {placed.x[i],
                                            placed.y[i],
                                            placed.z[i],
                                            {share * values[offset].real(),
                                             share * placed.sign[i] * values[offset].imag(),
                                             share * weights[offset]}};
      }
    });
  }

  template <class Visit> void visit_copy(index_t copy, Visit visit) const {
    const index_t n_ops = geometry_.symmetry.shape[0];
    const PlaneAxes axes(geometry_.rotations.item(copy / n_ops),
                         geometry_.symmetry.item(copy % n_ops), geometry_.scale);
    Placed placed;
    for (index_t begin = 0; begin < points_.size(); begin += kBlock) {
      const index_t n = std::min(kBlock, points_.size() - begin);
      placed.place(axes, points_, begin, n, bricks_);
      visit(placed, begin, n);
    }
  }

  View<const complex_t, 3> slices_;
  View<const float, 3> weights_;
  const SliceGeometry& geometry_;
  View<float, 4> window_;
  SampleKernel kernel_;
  Bricks bricks_;
  PlanePoints points_;
  std::vector<std::uint32_t> begin_; // of each brick in sorted_
  std::vector<std::uint32_t> place_; // of each part's next sample of each brick
  std::vector<Sample> sorted_;
};

} // namespace

void insert_slices(View<const complex_t, 3> slices, View<const float, 3> weights,
                   const SliceGeometry& geometry, View<float, 4> window, int n_threads) {
  Inserter(slices, weights, geometry, window).run(std::max(1, n_threads));
}

} // namespace mapsort::inline MAPSORT_ISA
