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
  /// How many orders rings first, first + 1, ..., last - 1 need: the highest one kept there and
  /// those below it.
  int n_orders_between(int first, int last) const;
};

/// Rings in SIMD lanes: block b of kLanes rings holds angle j at [b * half + j].
class RingTransform {
public:
  explicit RingTransform(const PolarLayout& layout);

  int half() const { return half_; }
  int n_blocks() const { return n_blocks_; }

  /// How many orders a block's rings need, 0 included.
  int n_orders(int block) const { return n_orders_[block]; }

  /// Working memory of one thread.
  struct Scratch {
    AlignedVector<VecC> data, work;
  };
  Scratch make_scratch() const {
    return {AlignedVector<VecC>(fft_.size()), AlignedVector<VecC>(fft_.size())};
  }

  /// samples (n_blocks * half) -> store(entry, re, im) for every kept coefficient.
  template <class Store>
  void coefficients(const VecC* samples, Scratch& scratch, Store store) const {
    for (int block = 0; block < n_blocks_; ++block)
      orders_of_block(samples, block, scratch, n_orders(block), [&](int m, VecC order) {
        const int first = std::max(block * kLanes, layout_.first_ring_of[m]);
        const int last_ring =
            std::min((block + 1) * kLanes, layout_.first_ring_of[m] + layout_.n_rings_of(m));
        const int entry = layout_.first_entry[m] - layout_.first_ring_of[m];
        for (int ring = first; ring < last_ring; ++ring)
          store(entry + ring, order.re[ring - block * kLanes], order.im[ring - block * kLanes]);
      });
  }

  /// take(m, p_m), in lanes, for the orders m < n_orders <= half() of one block of rings.
  ///
  /// As f(phi + pi) = conj f(phi), the even orders 2l are the transform of the real 2 Re f_j, j <
  /// h, of length h = half(), and the odd ones 2l + 1 that of the real 2i Im f_j at the
  /// half-integer frequencies l + 1/2. Either comes from one complex transform of length q = h/2:
  /// of the pairs Re f_2j + i Re f_2j+1; and of (Im f_j - i Im f_j+q) exp(-i pi j / h), which gives
  /// the even l, while the odd ones are conjugates of those at h - 1 - l.
  template <class Take>
  void orders_of_block(const VecC* samples, int block, Scratch& scratch, int n_orders,
                       Take take) const {
    const int quarter = half_ / 2;
    const VecC* ring = samples + block * half_;
    const float norm = 1.0f / float(2 * half_);
    for (int j = 0; j < quarter; ++j)
      scratch.data[j] = {ring[2 * j].re, ring[2 * j + 1].re};
    const VecC* even = fft_.forward(scratch.data.data(), scratch.work.data());
    for (int l = 0; 2 * l < n_orders; ++l) {
      const VecC c = even[l], d = even[l == 0 ? 0 : quarter - l];
      const VecC first = {c.re + d.re, c.im - d.im};  // twice the transform of Re f_2j
      const VecC second = {c.im + d.im, d.re - c.re}; // and of Re f_2j+1
      take(2 * l, norm * (first + times(second, turn_[2 * l])));
    }
    for (int j = 0; j < quarter; ++j)
      scratch.data[j] = times({ring[j].im, -ring[j + quarter].im}, turn_[j]);
    const VecC* odd = fft_.forward(scratch.data.data(), scratch.work.data());
    for (int l = 0; 2 * l + 1 < n_orders; ++l) {
      const VecC a = odd[l % 2 == 0 ? l / 2 : (half_ - 1 - l) / 2];
      const VecF im = l % 2 == 0 ? a.im : -a.im;
      take(2 * l + 1, 2.0f * norm * VecC{-im, a.re});
    }
  }

private:
  const PolarLayout& layout_;
  int half_, n_blocks_;
  ShortFft fft_;
  std::vector<Turn> turn_; // exp(-i pi j / half)
  std::vector<int> n_orders_;
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
