#pragma once
// Angular Fourier coefficients of polar rings.
//
// A ring f(phi) of a real image's transform obeys f(phi + pi) = conj f(phi), so that its angular
// coefficients p_m = 1/n sum_j f(phi_j) exp(-i m phi_j) obey p_{-m} = (-1)^m conj p_m: m >= 0
// suffices. A coefficient at ring k is negligible beyond m = 2 pi k R / box + a few, for a support
// of radius R (Bessel functions J_m(x) vanish for m well above x); each m keeps only the rings
// where it counts.

#include "mapsort/projection.hpp"
#include "mapsort/short_fft.hpp"

namespace mapsort::inline MAPSORT_ISA {

/// Which (m, ring) pairs are kept: entries of order m are [first_entry[m], first_entry[m+1]) and
/// stand for rings first_ring_of[m], first_ring_of[m] + 1, ... of the grid (counted from 0).
struct PolarLayout {
  PolarGrid grid;
  int n_rotations; // in-plane angles at which correlations are evaluated
  std::vector<int> first_entry, first_ring_of;

  /// Everything that a support of this radius (pixels) can hold.
  PolarLayout(PolarGrid grid, index_t box, double support_radius);
  /// Given ranges [first, last) of rings for the orders 0, 1, ...; empty ranges are allowed.
  PolarLayout(PolarGrid grid, int n_rotations, View<const std::int32_t, 2> ring_ranges);

  int max_order() const { return static_cast<int>(first_ring_of.size()) - 1; }
  int n_entries() const { return first_entry.back(); }
  int n_rings_of(int order) const { return first_entry[order + 1] - first_entry[order]; }
};

/// Rings in SIMD lanes: block b of kLanes rings holds angle j at [b * half + j].
class RingTransform {
public:
  explicit RingTransform(const PolarLayout& layout);

  int half() const { return half_; }
  int n_blocks() const { return n_blocks_; }

  /// Working memory of one thread.
  struct Scratch {
    AlignedVector<VecC> data, work;
  };
  Scratch make_scratch() const {
    return {AlignedVector<VecC>(2 * half_), AlignedVector<VecC>(2 * half_)};
  }

  /// samples (n_blocks * half) -> store(entry, re, im) for every kept coefficient.
  template <class Store>
  void coefficients(const VecC* samples, Scratch& scratch, Store store) const {
    const float norm = 1.0f / (2 * half_);
    for (int block = 0; block < n_blocks_; ++block) {
      const VecC* ring = samples + block * half_;
      for (int j = 0; j < half_; ++j) {
        scratch.data[j] = ring[j];
        scratch.data[j + half_] = {ring[j].re, -ring[j].im};
      }
      const VecC* result = fft_.forward(scratch.data.data(), scratch.work.data());
      for (int m = 0; m <= layout_.max_order(); ++m) {
        const int first = std::max(block * kLanes, layout_.first_ring_of[m]);
        const int last_ring =
            std::min((block + 1) * kLanes, layout_.first_ring_of[m] + layout_.n_rings_of(m));
        const int entry = layout_.first_entry[m] - layout_.first_ring_of[m];
        for (int ring_index = first; ring_index < last_ring; ++ring_index) {
          const int lane = ring_index - block * kLanes;
          store(entry + ring_index, norm * result[m].re[lane], norm * result[m].im[lane]);
        }
      }
    }
  }

  /// All orders 0 .. n_orders - 1 of one block of rings, left in lanes: orders[m]. n_orders <=
  /// half().
  void orders_of_block(const VecC* samples, int block, Scratch& scratch, int n_orders,
                       VecC* orders) const {
    const float norm = 1.0f / (2 * half_);
    const VecC* ring = samples + block * half_;
    for (int j = 0; j < half_; ++j) {
      scratch.data[j] = ring[j];
      scratch.data[j + half_] = {ring[j].re, -ring[j].im};
    }
    const VecC* result = fft_.forward(scratch.data.data(), scratch.work.data());
    for (int m = 0; m < n_orders; ++m)
      orders[m] = norm * result[m];
  }

private:
  const PolarLayout& layout_;
  int half_, n_blocks_;
  ShortFft fft_;
};

/// Polar samples of one image, from rows of complex numbers into ring lanes.
void rings_to_lanes(const complex_t* rings, const PolarGrid& grid, VecC* lanes);

/// Precomputed interpolation weights of every polar point in an image's padded transform.
class PolarSampler {
public:
  /// scale = padded size / box; beta of the kernel for `oversampling`.
  PolarSampler(PolarGrid grid, double scale, double oversampling);

  index_t radius() const { return radius_; }

  /// Samples of the window (2-D, this radius), written as ring lanes.
  void sample(View<const complex_t, 2> window, VecC* lanes) const;

private:
  struct Point {
    std::int32_t offset; // of the window element at the kernel's corner
    float sign;          // -1: conjugate
    float wx[kKernelWidth], wy[kKernelWidth];
  };
  PolarGrid grid_;
  index_t radius_;
  std::vector<Point> points_;
};

} // namespace mapsort::inline MAPSORT_ISA
