#pragma once
// Reading an image's Fourier window between its grid points.

#include "mapsort/fourier_window.hpp"
#include "mapsort/simd.hpp"

namespace mapsort::inline MAPSORT_ISA {

/// Sampler of 2-D windows at any frequency (in grid points) within their radius. The complex
/// numbers of a grid row that the kernel touches are read as vectors of four and of two.
class ImageSampler {
public:
  explicit ImageSampler(double oversampling) {
    const InterpolationKernel<kKernelWidth> kernel(oversampling);
    for (int d = 0; d <= kDegree; ++d) {
      coefficients_[d] = Floats<8>{};
      for (int j = 0; j < kKernelWidth; ++j)
        coefficients_[d][j] = kernel.coefficient(d, j);
    }
  }

  complex_t operator()(View<const complex_t, 2> window, float x, float y) const {
    const float sign = x < 0.0f ? -1.0f : 1.0f; // half of the frequencies are stored
    x *= sign, y *= sign;
    constexpr float kHalf = 0.5f * kKernelWidth, kMiddle = 0.5f * (kKernelWidth - 1);
    const float x0 = std::ceil(x - kHalf), y0 = std::ceil(y - kHalf);
    const Floats<8> along_x = values((x - x0) - kMiddle);
    alignas(32) float along_y[8];
    store(along_y, values((y - y0) - kMiddle));
    const index_t row = window.shape[1], radius = (window.shape[0] - 1) / 2;
    const complex_t* line = window.data + (index_t(y0) + radius) * row + index_t(x0) + kHalo;
    Floats<8> four{};
    Floats<4> two{};
    for (int j = 0; j < kKernelWidth; ++j, line += row) {
      four += along_y[j] * load<Floats<8>>(line);
      two += along_y[j] * load<Floats<4>>(line + 4);
    }
    // each value for a real and an imaginary part
    four *= __builtin_shufflevector(along_x, along_x, 0, 0, 1, 1, 2, 2, 3, 3);
    two *= __builtin_shufflevector(along_x, along_x, 4, 4, 5, 5);
    two += __builtin_shufflevector(four, four, 0, 1, 2, 3) +
           __builtin_shufflevector(four, four, 4, 5, 6, 7);
    return {two[0] + two[2], sign * (two[1] + two[3])};
  }

private:
  static constexpr int kDegree = InterpolationKernel<kKernelWidth>::kDegree;
  static_assert(kKernelWidth == 6, "the lanes are written out for six grid points");

  /// Kernel at the six grid points touched, a position at t from the middle of them.
  Floats<8> values(float t) const {
    Floats<8> line = coefficients_[kDegree];
    for (int d = kDegree - 1; d >= 0; --d)
      line = line * t + coefficients_[d];
    return line;
  }

  Floats<8> coefficients_[kDegree + 1];
};

} // namespace mapsort::inline MAPSORT_ISA
