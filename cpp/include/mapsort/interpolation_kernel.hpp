#pragma once
// Kaiser-Bessel interpolation kernel on an oversampled grid, evaluated by piecewise polynomials.
//
// phi(x) = I0(beta sqrt(1 - (2x/W)^2)) / I0(beta) for |x| <= W/2, 0 beyond. Its Fourier transform
// is W sinh(sqrt(beta^2 - (pi W f)^2)) / (I0(beta) sqrt(beta^2 - (pi W f)^2)). beta follows Beatty,
// Nishimura and Pauly, IEEE Trans. Med. Imaging 24 (2005) 799, eq. 5, for the given oversampling.

#include "mapsort/require.hpp"
#include "mapsort/view.hpp"

#include <array>       // for std::array
#include <cmath>       // for std::sqrt, std::floor
#include <numbers>     // for std::numbers::pi
#include <type_traits> // for std::integral_constant

namespace mapsort::inline MAPSORT_ISA {

inline constexpr double kPi = std::numbers::pi;

/// Modified Bessel function I0 by its power series; converges for every argument used here (x <
/// 60).
inline double bessel_i0(double x) {
  double term = 1.0, sum = 1.0;
  for (int k = 1; k < 200; ++k) {
    term *= (x / (2.0 * k)) * (x / (2.0 * k));
    sum += term;
    if (term < 1e-17 * sum)
      break;
  }
  return sum;
}

inline double kernel_beta(int width, double oversampling) {
  const double a = width / oversampling * (oversampling - 0.5);
  return kPi * std::sqrt(std::max(a * a - 0.8, 0.25));
}

/// Fourier transform of the kernel at frequency f (cycles per grid point).
inline double kernel_transform(int width, double beta, double f) {
  const double a = kPi * width * f;
  const double d = beta * beta - a * a;
  const double norm = width / bessel_i0(beta);
  if (d > 1e-12) {
    const double r = std::sqrt(d);
    return norm * std::sinh(r) / r;
  }
  if (d < -1e-12) {
    const double r = std::sqrt(-d);
    return norm * std::sin(r) / r;
  }
  return norm;
}

/// The W kernel values at the grid points around a position, as polynomials in the position's
/// fraction: branch-free, and at degree W + 1 closer to the kernel (3e-5 for W = 4, 1e-6 for 5,
/// 1e-7 from 6 on) than the kernel's own aliasing error.
template <int W> class InterpolationKernel {
public:
  static constexpr int kDegree = W + 1;

  explicit InterpolationKernel(double oversampling) : beta_(kernel_beta(W, oversampling)) {
    for (int j = 0; j < W; ++j)
      fit(j);
  }

  double beta() const { return beta_; }

  /// Coefficient of t^degree of the kernel at the j-th grid point, t the position less the middle
  /// of the grid points touched.
  float coefficient(int degree, int j) const { return coefficients_[degree][j]; }

  /// First grid point touched by position x, and the kernel at it and the W-1 following ones.
  int values(float x, float* __restrict w) const {
    const float first = std::ceil(x - 0.5f * W);
    const float t = (x - first) - 0.5f * (W - 1);
    for (int j = 0; j < W; ++j)
      w[j] = coefficients_[kDegree][j];
    for (int d = kDegree - 1; d >= 0; --d)
      for (int j = 0; j < W; ++j)
        w[j] = w[j] * t + coefficients_[d][j];
    return static_cast<int>(first);
  }

private:
  double exact(double x) const {
    const double u = 1.0 - (2.0 * x / W) * (2.0 * x / W);
    return u <= 0.0 ? (u > -1e-9 ? 1.0 / bessel_i0(beta_) : 0.0)
                    : bessel_i0(beta_ * std::sqrt(u)) / bessel_i0(beta_);
  }

  /// Newton interpolation at Chebyshev nodes of t in [-1/2, 1/2], expanded to monomials.
  void fit(int j) {
    constexpr int n = kDegree + 1;
    std::array<double, n> node{}, divided{};
    for (int i = 0; i < n; ++i) {
      node[i] = 0.5 * std::cos(kPi * (i + 0.5) / n);
      const double x = std::min(std::max(node[i] + 0.5 * (W - 1) - j, -0.5 * W), 0.5 * W);
      divided[i] = exact(x);
    }
    for (int order = 1; order < n; ++order)
      for (int i = n - 1; i >= order; --i)
        divided[i] = (divided[i] - divided[i - 1]) / (node[i] - node[i - order]);
    std::array<double, n> monomial{};
    monomial[0] = divided[n - 1];
    for (int i = n - 2, degree = 0; i >= 0; --i, ++degree) {
      for (int d = degree + 1; d > 0; --d)
        monomial[d] = monomial[d - 1] - node[i] * monomial[d];
      monomial[0] = divided[i] - node[i] * monomial[0];
    }
    for (int d = 0; d < n; ++d)
      coefficients_[d][j] = static_cast<float>(monomial[d]);
  }

  double beta_;
  float coefficients_[kDegree + 1][W];
};

/// Kernel width of images; at twofold oversampling its error is about 1e-5 (tests measure it). Maps
/// are sliced with the width that the tolerance asks for.
inline constexpr int kKernelWidth = 6;
/// Kernel width of reconstruction, in grids of 2.5 times the box.
inline constexpr int kInsertionWidth = 5;
/// Widths that slicing is compiled for.
inline constexpr int kMinWidth = 4, kMaxWidth = 8;

/// Call body(std::integral_constant<int, width>) for a width known only at run time.
template <class Body> void with_kernel_width(int width, Body body) {
  switch (width) {
  case 4:
    return body(std::integral_constant<int, 4>{});
  case 5:
    return body(std::integral_constant<int, 5>{});
  case 6:
    return body(std::integral_constant<int, 6>{});
  case 7:
    return body(std::integral_constant<int, 7>{});
  case 8:
    return body(std::integral_constant<int, 8>{});
  default:
    require(false, "width: expected a kernel width from 4 to 8");
  }
}

/// Every padded grid is twice the box (or as the caller says, but never below this).
inline constexpr double kMinOversampling = 1.25;

} // namespace mapsort::inline MAPSORT_ISA
