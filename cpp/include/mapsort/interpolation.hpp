#pragma once
// Reading an image's Fourier window between its grid points.

#include "mapsort/fourier_window.hpp"

namespace mapsort::inline MAPSORT_ISA {

/// Sampler of a 2-D window at any frequency (in grid points) within its radius.
class ImageSampler {
public:
  ImageSampler(View<const complex_t, 2> window, const InterpolationKernel<kKernelWidth>& kernel)
      : window_(window), kernel_(kernel), radius_((window.shape[0] - 1) / 2) {}

  complex_t operator()(float x, float y) const {
    const bool mate = x < 0.0f;
    if (mate)
      x = -x, y = -y;
    float wx[kKernelWidth], wy[kKernelWidth];
    const index_t x0 = kernel_.values(x, wx) + kHalo;
    const index_t y0 = kernel_.values(y, wy) + radius_;
    const index_t row = window_.shape[1];
    const float* base = reinterpret_cast<const float*>(window_.data + y0 * row + x0);
    float sum[2 * kKernelWidth] = {};
    for (int j = 0; j < kKernelWidth; ++j)
      for (int k = 0; k < 2 * kKernelWidth; ++k)
        sum[k] += wy[j] * base[2 * j * row + k];
    float re = 0.0f, im = 0.0f;
    for (int k = 0; k < kKernelWidth; ++k) {
      re += wx[k] * sum[2 * k];
      im += wx[k] * sum[2 * k + 1];
    }
    return {re, mate ? -im : im};
  }

private:
  View<const complex_t, 2> window_;
  const InterpolationKernel<kKernelWidth>& kernel_;
  index_t radius_;
};

} // namespace mapsort::inline MAPSORT_ISA
