#pragma once
// The innermost loop: correlation of some shifted copies of one particle with a lane block of
// references, over all rotations and both mirror states.

#include "mapsort/reference_bank.hpp"

#include <numeric> // for std::iota
#include <span>    // for std::span
#include <vector>  // for std::vector

namespace mapsort::inline MAPSORT_ISA {

#if defined(__AVX512F__)
inline constexpr int kRows = 6; // shifts per pass: 4 accumulators each stay in registers
#else
inline constexpr int kRows = 3;
#endif

/// Coefficients of shifted copies of one particle: entry e, real part of row s at [2 e * rows + s],
/// imaginary part at [(2 e + 1) * rows + s].
class ShiftedCopies {
public:
  explicit ShiftedCopies(const PolarLayout& layout, int max_copies)
      : rows_(max_copies), values_(2 * std::size_t(layout.n_entries()) * rows_, 0.0f) {}

  int rows() const { return rows_; }
  float* real(int entry) { return values_.data() + 2 * std::size_t(entry) * rows_; }
  float* imaginary(int entry) { return real(entry) + rows_; }
  const float* entry(int e) const { return values_.data() + 2 * std::size_t(e) * rows_; }

private:
  int rows_;
  AlignedVector<float> values_;
};

/// The first n rows.
inline std::vector<int> first_rows(int n) {
  std::vector<int> rows(n);
  std::iota(rows.begin(), rows.end(), 0);
  return rows;
}

/// What may differ between a particle and its reference.
struct Freedom {
  bool rotate = true;
  bool translate = true;
  bool mirror = true;
};

/// Best correlation per lane so far, with its code ((place * n_rotations + rotation) * 2 + mirror);
/// the place is that of the copy's row in the list of rows.
struct LaneBest {
  VecF value = broadcast(-3.4e38f);
  VecI code{};
};

class PairProduct {
public:
  explicit PairProduct(const PolarLayout& layout)
      : layout_(layout), fft_(layout.n_rotations), spectrum_(kRows * layout.n_rotations),
        work_(layout.n_rotations) {}

  /// Correlate the copies in these rows with the block's references, over the poses allowed.
  LaneBest best(const ShiftedCopies& copies, std::span<const int> rows, const VecF* references,
                const Freedom& freedom = {});

  /// The part of it before the FFT, for at most kRows rows (the last one fills up to kRows):
  /// products of coefficients summed over rings.
  void products(const ShiftedCopies& copies, std::span<const int> rows, const VecF* references);

private:
  template <bool kRotate, bool kMirror>
  LaneBest best_of(const ShiftedCopies& copies, std::span<const int> rows, const VecF* references);

  const PolarLayout& layout_;
  ShortFft fft_;
  AlignedVector<VecC> spectrum_, work_;
};

} // namespace mapsort::inline MAPSORT_ISA
