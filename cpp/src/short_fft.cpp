#include "mapsort/short_fft.hpp"

#include "mapsort/require.hpp"

#include <algorithm> // for std::max
#include <utility>   // for std::swap

namespace mapsort::inline MAPSORT_ISA {

namespace {

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
        y[q + stride * (R * p + k)] = times(a[k], {w[2 * (k - 1)], w[2 * (k - 1) + 1]});
    }
  }
}

/// Radices whose product is n, as few as there are: every stage is a pass over memory.
std::vector<int> factorise(int n) {
  std::vector<int> best;
  for (int radix : {8, 6, 5, 4, 3, 2}) {
    if (n % radix != 0)
      continue;
    std::vector<int> rest;
    if (n > radix) {
      rest = factorise(n / radix);
      if (rest.empty())
        continue;
    }
    if (best.empty() || rest.size() + 1 < best.size()) {
      best.assign(1, radix);
      best.insert(best.end(), rest.begin(), rest.end());
    }
  }
  return best;
}

} // namespace

ShortFft::ShortFft(int n) : n_(n) {
  int length = n, stride = 1;
  const std::vector<int> radices = factorise(n);
  require(!radices.empty(), "n_angles: expected a product of 2, 3 and 5");
  for (int radix : radices) {
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
}

VecC* ShortFft::run_stages(VecC* data, VecC* work, std::size_t n_left) const {
  for (std::size_t s = 0; s + n_left < stages_.size(); ++s) {
    const Stage& stage = stages_[s];
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
    case 5:
      run_stage<5>(stage.length, stage.stride, w, data, work);
      break;
    case 6:
      run_stage<6>(stage.length, stage.stride, w, data, work);
      break;
    default:
      run_stage<8>(stage.length, stage.stride, w, data, work);
    }
    std::swap(data, work);
  }
  return data;
}

VecC* ShortFft::forward(VecC* data, VecC* work) const { return run_stages(data, work, 0); }

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
