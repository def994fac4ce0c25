#include "mapsort/short_fft.hpp"

#include "mapsort/require.hpp"

#include <utility> // for std::swap

namespace mapsort::inline MAPSORT_ISA {

namespace {

/// r-point DFTs, in place on an array of r values.
template <int R> void butterfly(VecC* a);

template <> inline void butterfly<2>(VecC* a) {
  const VecC t = a[0] - a[1];
  a[0] = a[0] + a[1];
  a[1] = t;
}

template <> inline void butterfly<3>(VecC* a) {
  constexpr float kSin = 0.86602540378443865f;
  const VecC sum = a[1] + a[2], turned = times_minus_i(kSin * (a[1] - a[2]));
  const VecC middle = a[0] - 0.5f * sum;
  a[0] = a[0] + sum;
  a[1] = middle + turned;
  a[2] = middle - turned;
}

template <> inline void butterfly<4>(VecC* a) {
  const VecC s02 = a[0] + a[2], d02 = a[0] - a[2];
  const VecC s13 = a[1] + a[3], d13 = times_minus_i(a[1] - a[3]);
  a[0] = s02 + s13;
  a[1] = d02 + d13;
  a[2] = s02 - s13;
  a[3] = d02 - d13;
}

template <> inline void butterfly<5>(VecC* a) {
  constexpr float c1 = 0.30901699437494742f, c2 = -0.80901699437494742f;
  constexpr float s1 = 0.95105651629515357f, s2 = 0.58778525229247313f;
  const VecC p1 = a[1] + a[4], m1 = a[1] - a[4], p2 = a[2] + a[3], m2 = a[2] - a[3];
  const VecC e1 = a[0] + c1 * p1 + c2 * p2, e2 = a[0] + c2 * p1 + c1 * p2;
  const VecC o1 = times_minus_i(s1 * m1 + s2 * m2), o2 = times_minus_i(s2 * m1 - s1 * m2);
  a[0] = a[0] + p1 + p2;
  a[1] = e1 + o1;
  a[4] = e1 - o1;
  a[2] = e2 + o2;
  a[3] = e2 - o2;
}

template <int R>
void run_stage(int length, int stride, const float* twiddles, const VecC* __restrict x,
               VecC* __restrict y) {
  const int m = length / R;
  for (int p = 0; p < m; ++p) {
    const float* w = twiddles + 2 * (R - 1) * p;
    for (int q = 0; q < stride; ++q) {
      VecC a[R];
      for (int k = 0; k < R; ++k)
        a[k] = x[q + stride * (p + m * k)];
      butterfly<R>(a);
      y[q + stride * R * p] = a[0];
      for (int k = 1; k < R; ++k)
        y[q + stride * (R * p + k)] = times(a[k], w[2 * (k - 1)], w[2 * (k - 1) + 1]);
    }
  }
}

} // namespace

ShortFft::ShortFft(int n) : n_(n) {
  int length = n, stride = 1;
  for (int radix : {4, 2, 3, 5})
    while (length % radix == 0 && length > 1) {
      stages_.push_back({radix, length, stride, twiddles_.size()});
      for (int p = 0; p < length / radix; ++p)
        for (int k = 1; k < radix; ++k) {
          const double angle = -2.0 * kPi * p * k / length;
          twiddles_.push_back(static_cast<float>(std::cos(angle)));
          twiddles_.push_back(static_cast<float>(std::sin(angle)));
        }
      length /= radix;
      stride *= radix;
    }
  require(length == 1, "n_angles: expected a product of 2, 3 and 5");
}

VecC* ShortFft::forward(VecC* data, VecC* work) const {
  for (const Stage& stage : stages_) {
    const float* w = twiddles_.data() + stage.twiddles;
    switch (stage.radix) {
    case 2:
      run_stage<2>(stage.length, stage.stride, w, data, work);
      break;
    case 3:
      run_stage<3>(stage.length, stage.stride, w, data, work);
      break;
    case 4:
      run_stage<4>(stage.length, stage.stride, w, data, work);
      break;
    default:
      run_stage<5>(stage.length, stage.stride, w, data, work);
    }
    std::swap(data, work);
  }
  return data;
}

int good_fft_size(int n) {
  for (int size = std::max(4, (n + 3) / 4 * 4);; size += 4) {
    int rest = size;
    for (int radix : {2, 3, 5})
      while (rest % radix == 0)
        rest /= radix;
    if (rest == 1)
      return size;
  }
}

} // namespace mapsort::inline MAPSORT_ISA
