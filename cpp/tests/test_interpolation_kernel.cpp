// The kernel's polynomials against the exact Kaiser-Bessel function, and its transform.

#include "check.hpp"

#include "mapsort/interpolation_kernel.hpp"

#include <algorithm> // for std::max

using namespace mapsort;

namespace {

double exact(int width, double x, double beta) {
  const double u = 1.0 - 4.0 * x * x / (double(width) * width);
  return u < 0.0 ? 0.0 : bessel_i0(beta * std::sqrt(u)) / bessel_i0(beta);
}

void bessel_function_at_tabulated_points() {
  // Abramowitz & Stegun, table 9.8: exp(-x) I0(x)
  CHECK(std::abs(std::exp(-1.0) * bessel_i0(1.0) - 0.4657596076) < 1e-10, bessel_i0(1.0));
  CHECK(std::abs(std::exp(-5.0) * bessel_i0(5.0) - 0.1835408126) < 1e-10, bessel_i0(5.0));
  CHECK(std::abs(std::exp(-10.0) * bessel_i0(10.0) - 0.1278333372) < 1e-10, bessel_i0(10.0));
  CHECK(bessel_i0(0.0) == 1.0, bessel_i0(0.0));
}

/// Far below the aliasing error of each width at twofold oversampling: 7e-4, 8e-5, 8e-6, ...
template <int W> void polynomials_follow_the_kernel(double bound) {
  for (double oversampling : {1.25, 1.5, 2.0, 3.0}) {
    const InterpolationKernel<W> kernel(oversampling);
    double worst = 0.0;
    float w[W];
    for (int i = -4000; i <= 4000; ++i) {
      const float x = 0.00137f * float(i);
      const int first = kernel.values(x, w);
      CHECK(first >= x - 0.5f * W && first < x - 0.5f * W + 1.0f, x);
      for (int j = 0; j < W; ++j)
        worst = std::max(worst,
                         std::abs(w[j] - exact(W, double(first + j) - double(x), kernel.beta())));
    }
    CHECK(worst <= bound, worst);
  }
}

/// The transform by the trapezoidal rule on a grid fine enough to be exact to 1e-6.
void transform_is_that_of_the_kernel() {
  for (double oversampling : {1.25, 2.0}) {
    const double beta = kernel_beta(kKernelWidth, oversampling);
    for (double f : {0.0, 0.1, 0.25, 0.4, 0.5, 0.7}) {
      constexpr int kSteps = 60000;
      const double step = double(kKernelWidth) / kSteps;
      double sum = 0.0;
      for (int i = 0; i <= kSteps; ++i) {
        const double x = -0.5 * kKernelWidth + step * i;
        const double ends = i == 0 || i == kSteps ? 0.5 : 1.0;
        sum += ends * step * exact(kKernelWidth, x, beta) * std::cos(2.0 * kPi * f * x);
      }
      const double error = std::abs(sum - kernel_transform(kKernelWidth, beta, f));
      CHECK(error < 1e-7, error);
    }
  }
}

void transform_is_smooth_where_its_formula_changes() {
  const double beta = kernel_beta(kKernelWidth, 2.0);
  const double edge = beta / (kPi * kKernelWidth);
  const double middle = kernel_transform(kKernelWidth, beta, edge);
  for (double away : {-1e-9, 1e-9}) {
    const double error = std::abs(kernel_transform(kKernelWidth, beta, edge + away) - middle);
    CHECK(error < 1e-6 * middle, error);
  }
}

} // namespace

int main() {
  bessel_function_at_tabulated_points();
  polynomials_follow_the_kernel<4>(5e-5);
  polynomials_follow_the_kernel<5>(3e-6);
  polynomials_follow_the_kernel<6>(3e-7);
  polynomials_follow_the_kernel<7>(3e-7);
  polynomials_follow_the_kernel<8>(3e-7);
  transform_is_that_of_the_kernel();
  transform_is_smooth_where_its_formula_changes();
  return mapsort_test::failures;
}
