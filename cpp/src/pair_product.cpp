#include "mapsort/pair_product.hpp"

#include <algorithm> // for std::min

namespace mapsort::inline MAPSORT_ISA {

void PairProduct::products(const ShiftedCopies& copies, std::span<const int> rows,
                           const VecF* references) {
  const int n_angles = layout_.n_rotations;
  int row[kRows];
  for (int r = 0; r < kRows; ++r)
    row[r] = rows[std::min<std::size_t>(r, rows.size() - 1)];
  for (int m = 0; m <= layout_.max_order(); ++m) {
    VecF ac[kRows]{}, bd[kRows]{}, ad[kRows]{}, bc[kRows]{};
    for (int e = layout_.first_entry[m]; e < layout_.first_entry[m + 1]; ++e) {
      const VecF c = references[2 * e], d = references[2 * e + 1];
      const float* a = copies.entry(e);
      const float* b = a + copies.rows();
      for (int r = 0; r < kRows; ++r) {
        const VecF ar = broadcast(a[row[r]]), br = broadcast(b[row[r]]);
        ac[r] += ar * c;
        bd[r] += br * d;
        ad[r] += ar * d;
        bc[r] += br * c;
      }
    }
    // conj(y) p = (ac + bd) + i (ad - bc), conj(y) conj(p) = (ac - bd) - i (ad + bc). Their real
    // correlations travel as real and imaginary part of one transform.
    for (int r = 0; r < kRows; ++r) {
      const VecF re = ac[r] + bd[r], im = ad[r] - bc[r];
      const VecF mirror_re = ac[r] - bd[r], mirror_im = -(ad[r] + bc[r]);
      VecC* z = spectrum_.data() + r * n_angles;
      if (m == 0) {
        z[0] = {re, mirror_re};
      } else {
        z[m] = {re - mirror_im, im + mirror_re};
        z[n_angles - m] = {re + mirror_im, mirror_re - im};
      }
    }
  }
  for (int r = 0; r < kRows; ++r)
    for (int m = layout_.max_order() + 1; m < n_angles - layout_.max_order(); ++m)
      spectrum_[r * n_angles + m] = VecC{};
}

template <bool kRotate, bool kMirror>
LaneBest PairProduct::best_of(const ShiftedCopies& copies, std::span<const int> rows,
                              const VecF* references) {
  const int n_angles = layout_.n_rotations, n_rows = int(rows.size());
  LaneBest best;
  for (int first = 0; first < n_rows; first += kRows) {
    const int count = std::min(kRows, n_rows - first);
    products(copies, rows.subspan(first, count), references);
    for (int r = 0; r < count; ++r) {
      const int code = (first + r) * n_angles * 2;
      // into locals, so that they stay in registers
      VecF value = best.value;
      VecI found = best.code;
      fft_.forward_into(spectrum_.data() + r * n_angles, work_.data(), [&](int j, VecC x) {
        if (!kRotate && j != 0)
          return;
        const VecI direct = x.re > value;
        value = direct ? x.re : value;
        found = direct ? broadcast(std::int32_t(code + 2 * j)) : found;
        if constexpr (kMirror) {
          const VecI mirrored = x.im > value;
          value = mirrored ? x.im : value;
          found = mirrored ? broadcast(std::int32_t(code + 2 * j + 1)) : found;
        }
      });
      best.value = value;
      best.code = found;
    }
  }
  return best;
}

LaneBest PairProduct::best(const ShiftedCopies& copies, std::span<const int> rows,
                           const VecF* references, const Freedom& freedom) {
  if (freedom.rotate)
    return freedom.mirror ? best_of<true, true>(copies, rows, references)
                          : best_of<true, false>(copies, rows, references);
  return freedom.mirror ? best_of<false, true>(copies, rows, references)
                        : best_of<false, false>(copies, rows, references);
}

} // namespace mapsort::inline MAPSORT_ISA
