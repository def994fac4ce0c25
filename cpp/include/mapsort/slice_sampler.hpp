#pragma once
// Reading a map's Fourier window along planes through the origin: the inner loop of projection.
//
// Reading W^3 scattered complex numbers is bound by memory, not by arithmetic. So a block of points
// is first located (in double precision: a coordinate of 500 grid points in float is only good to
// 3e-5) and its rows of the grid are asked for; while they come, the kernel's values are worked
// out; then each point is read, the W complex numbers of a grid row in the lanes of one vector.

#include "mapsort/fourier_plane.hpp"
#include "mapsort/fourier_window.hpp"
#include "mapsort/simd.hpp"

namespace mapsort::inline MAPSORT_ISA {

/// A point of the slicing plane: frequency in Fourier pixels of the box, and where its value goes.
struct PlanePosition {
  double kx, ky;
  index_t target;
};

/// Value of a transform at a point, and its derivatives along the window's axes (per grid point).
struct SliceJet {
  complex_t value, dx, dy, dz;
};

/// Sum of the complex numbers in a vector, as a tree.
inline complex_t sum_of_pairs(Floats<8> v) {
  return {(v[0] + v[4]) + (v[2] + v[6]), (v[1] + v[5]) + (v[3] + v[7])};
}
inline complex_t sum_of_pairs(Floats<16> v) {
  const char* lanes = reinterpret_cast<const char*>(&v);
  return sum_of_pairs(load<Floats<8>>(lanes) + load<Floats<8>>(lanes + sizeof(v) / 2));
}

/// Reads a window of the halo of width W with the kernel of width W. Thread-safe: const.
template <int W> class SliceSampler {
public:
  SliceSampler(View<const complex_t, 3> window, double oversampling)
      : window_(window), radius_((window.shape[0] - 1) / 2) {
    const InterpolationKernel<W> kernel(oversampling);
    for (int d = 0; d <= kDegree; ++d) {
      along_x_[d] = along_yz_[d] = Row{};
      for (int j = 0; j < W; ++j) {
        const float c = kernel.coefficient(d, j);
        along_x_[d][2 * j] = along_x_[d][2 * j + 1] = c;
        along_yz_[d][j] = along_yz_[d][kRow / 2 + j] = c;
      }
    }
    for (int j = 0; j < kRow; ++j)
      first_half_[j] = j < kRow / 2 ? -1 : 0;
  }

  /// slice[p.target] = value at each of n points of the plane.
  void sample(const PlaneAxes& axes, const PlanePosition* points, index_t n,
              complex_t* slice) const {
    Block block;
    for (index_t begin = 0; begin < n; begin += kBlock) {
      const int count = static_cast<int>(std::min<index_t>(kBlock, n - begin));
      locate(axes, points + begin, count, block);
      for (int p = 0; p < count; ++p)
        prefetch(block.corner[p]);
      for (int p = 0; p < count; ++p)
        weigh(block, p);
      for (int p = 0; p < count; ++p)
        slice[points[begin + p].target] = read(block, p);
    }
  }

  /// jets[p.target] = value and derivatives at each of n points of the plane.
  void sample(const PlaneAxes& axes, const PlanePosition* points, index_t n, SliceJet* jets) const {
    Block block;
    Slopes slopes;
    for (index_t begin = 0; begin < n; begin += kBlock) {
      const int count = static_cast<int>(std::min<index_t>(kBlock, n - begin));
      locate(axes, points + begin, count, block);
      for (int p = 0; p < count; ++p)
        prefetch(block.corner[p]);
      for (int p = 0; p < count; ++p)
        weigh(block, slopes, p);
      for (int p = 0; p < count; ++p)
        jets[points[begin + p].target] = read(block, slopes, p);
    }
  }

private:
  static constexpr int kDegree = InterpolationKernel<W>::kDegree;
  static constexpr int kBlock = 32;
  /// Floats of a vector that holds W complex numbers. Lanes beyond are read and multiplied by
  /// zero; the last plane of a window is never touched, so that reading on stays within it.
  static constexpr int kRow = W <= 4 ? 8 : 16;
  static_assert(2 * W <= kRow, "a row of the kernel must fit a vector");
  using Row = Floats<kRow>;
  using RowMask = decltype(Row{} < Row{});

  struct Block {
    index_t corner[kBlock];
    float tx[kBlock], ty[kBlock], tz[kBlock], sign[kBlock];
    Row along_x[kBlock]; // each value twice: for the real and the imaginary part
    alignas(64) float along_yz[kBlock][kRow]; // y in the first half, z in the second
  };
  /// Derivatives of the kernel's values, laid out as these.
  struct Slopes {
    Row along_x[kBlock];
    alignas(64) float along_yz[kBlock][kRow];
  };

  void locate(const PlaneAxes& axes, const PlanePosition* points, int count, Block& block) const {
    const index_t row = window_.shape[2], plane = window_.shape[1] * row;
    const index_t origin = radius_ * (plane + row) + halo_of(W);
    constexpr double kMiddle = 0.5 * (W - 1);
    for (int p = 0; p < count; ++p) {
      const double kx = points[p].kx, ky = points[p].ky;
      double x = kx * axes.x[0] + ky * axes.y[0];
      // half of the frequencies are stored: the others are read at their Friedel mates
      const double sign = x < 0.0 ? -1.0 : 1.0;
      x *= sign;
      const double y = sign * (kx * axes.x[1] + ky * axes.y[1]);
      const double z = sign * (kx * axes.x[2] + ky * axes.y[2]);
      const double x0 = std::ceil(x - 0.5 * W), y0 = std::ceil(y - 0.5 * W),
                   z0 = std::ceil(z - 0.5 * W);
      block.corner[p] = origin + static_cast<index_t>(z0) * plane + static_cast<index_t>(y0) * row +
                        static_cast<index_t>(x0);
      block.tx[p] = static_cast<float>(x - x0 - kMiddle);
      block.ty[p] = static_cast<float>(y - y0 - kMiddle);
      block.tz[p] = static_cast<float>(z - z0 - kMiddle);
      block.sign[p] = static_cast<float>(sign);
    }
  }

  void prefetch(index_t corner) const {
    const index_t row = window_.shape[2], plane = window_.shape[1] * row;
    const complex_t* base = window_.data + corner;
    for (int i = 0; i < W; ++i)
      for (int j = 0; j < W; ++j)
        __builtin_prefetch(base + i * plane + j * row + W / 2);
  }

  void weigh(Block& block, int p) const {
    const Row x = Row{} + block.tx[p], y = Row{} + block.ty[p], z = Row{} + block.tz[p];
    const Row yz = first_half_ ? y : z;
    Row along_x = along_x_[kDegree], along_yz = along_yz_[kDegree];
    for (int d = kDegree - 1; d >= 0; --d) {
      along_x = along_x * x + along_x_[d];
      along_yz = along_yz * yz + along_yz_[d];
    }
    block.along_x[p] = along_x;
    store(block.along_yz[p], along_yz);
  }

  /// The kernel's values and, by Horner's scheme for the derivative, their slopes.
  void weigh(Block& block, Slopes& slopes, int p) const {
    const Row x = Row{} + block.tx[p], y = Row{} + block.ty[p], z = Row{} + block.tz[p];
    const Row yz = first_half_ ? y : z;
    Row along_x = along_x_[kDegree], along_yz = along_yz_[kDegree];
    Row slope_x{}, slope_yz{};
    for (int d = kDegree - 1; d >= 0; --d) {
      slope_x = slope_x * x + along_x;
      slope_yz = slope_yz * yz + along_yz;
      along_x = along_x * x + along_x_[d];
      along_yz = along_yz * yz + along_yz_[d];
    }
    block.along_x[p] = along_x;
    slopes.along_x[p] = slope_x;
    store(block.along_yz[p], along_yz);
    store(slopes.along_yz[p], slope_yz);
  }

  complex_t read(const Block& block, int p) const {
    const index_t row = 2 * window_.shape[2], plane = window_.shape[1] * row;
    const float* base = reinterpret_cast<const float*>(window_.data + block.corner[p]);
    const float* w = block.along_yz[p];
    Row sum{};
    for (int i = 0; i < W; ++i) {
      const float* line = base + i * plane;
      Row in_plane = w[0] * load<Row>(line);
      for (int j = 1; j < W; ++j)
        in_plane += w[j] * load<Row>(line + j * row);
      sum += w[kRow / 2 + i] * in_plane;
    }
    const complex_t total = sum_of_pairs(sum * block.along_x[p]);
    return {total.real(), block.sign[p] * total.imag()};
  }

  SliceJet read(const Block& block, const Slopes& slopes, int p) const {
    const index_t row = 2 * window_.shape[2], plane = window_.shape[1] * row;
    const float* base = reinterpret_cast<const float*>(window_.data + block.corner[p]);
    const float *w = block.along_yz[p], *slope = slopes.along_yz[p];
    Row sum{}, sum_y{}, sum_z{};
    for (int i = 0; i < W; ++i) {
      const float* line = base + i * plane;
      Row in_plane{}, slope_in_plane{};
      for (int j = 0; j < W; ++j) {
        const Row values = load<Row>(line + j * row);
        in_plane += w[j] * values;
        slope_in_plane += slope[j] * values;
      }
      sum += w[kRow / 2 + i] * in_plane;
      sum_y += w[kRow / 2 + i] * slope_in_plane;
      sum_z += slope[kRow / 2 + i] * in_plane;
    }
    // a mate's value is conjugate, and its position moves the other way
    const float sign = block.sign[p];
    const auto mate = [sign](complex_t v) { return complex_t{v.real(), sign * v.imag()}; };
    return {mate(sum_of_pairs(sum * block.along_x[p])),
            sign * mate(sum_of_pairs(sum * slopes.along_x[p])),
            sign * mate(sum_of_pairs(sum_y * block.along_x[p])),
            sign * mate(sum_of_pairs(sum_z * block.along_x[p]))};
  }

  View<const complex_t, 3> window_;
  index_t radius_;
  Row along_x_[kDegree + 1], along_yz_[kDegree + 1];
  RowMask first_half_;
};

} // namespace mapsort::inline MAPSORT_ISA
