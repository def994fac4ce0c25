// The short FFT against the direct sum, in double precision, for every size up to 384 that it
// takes.

#include "check.hpp"

#include "mapsort/short_fft.hpp"

#include <complex>   // for std::complex
#include <random>    // for std::mt19937
#include <stdexcept> // for std::invalid_argument

using namespace mapsort;
using Complex = std::complex<double>;

namespace {

/// Largest error over all lanes and outputs, relative to the root mean square of the outputs.
double fft_error(int n) {
  std::mt19937 random(static_cast<unsigned>(n));
  std::uniform_real_distribution<float> uniform(-1.0f, 1.0f);
  AlignedVector<VecC> data(n), work(n);
  std::vector<std::vector<Complex>> input(kLanes, std::vector<Complex>(n));
  for (int j = 0; j < n; ++j)
    for (int lane = 0; lane < kLanes; ++lane) {
      data[j].re[lane] = uniform(random);
      data[j].im[lane] = uniform(random);
      input[lane][j] = {data[j].re[lane], data[j].im[lane]};
    }
  const ShortFft fft(n);
  const VecC* found = fft.forward(data.data(), work.data());
  double worst = 0.0, power = 0.0;
  for (int k = 0; k < n; ++k)
    for (int lane = 0; lane < kLanes; ++lane) {
      Complex sum = 0.0;
      for (int j = 0; j < n; ++j)
        sum += input[lane][j] * std::polar(1.0, -2.0 * kPi * double(j * k % n) / n);
      worst = std::max(worst, std::abs(sum - Complex(found[k].re[lane], found[k].im[lane])));
      power += std::norm(sum);
    }
  return worst / std::sqrt(power / (double(n) * kLanes));
}

void every_good_size_transforms() {
  int sizes = 0;
  for (int n = good_fft_size(1); n <= 384; n = good_fft_size(n + 1)) {
    const double error = fft_error(n);
    CHECK(error < 2e-6, error);
    CHECK(n % 4 == 0, n);
    ++sizes;
  }
  CHECK(sizes == 33, sizes); // 4 times the 33 products of 2, 3 and 5 up to 96
}

void sizes_that_are_no_multiple_of_4_transform_too() {
  for (int n : {2, 3, 5, 6, 9, 10, 15, 18, 25, 30, 45, 50, 75, 90, 125, 250}) {
    const double error = fft_error(n);
    CHECK(error < 2e-6, error);
  }
}

void other_sizes_are_refused() {
  for (int n : {7, 11, 14, 22, 49, 97})
    CHECK_THROWS(ShortFft{n}, std::invalid_argument);
}

void a_good_size_is_the_next_one() {
  CHECK(good_fft_size(1) == 4, good_fft_size(1));
  CHECK(good_fft_size(4) == 4, good_fft_size(4));
  CHECK(good_fft_size(49) == 60, good_fft_size(49));
  CHECK(good_fft_size(61) == 64, good_fft_size(61));
}

} // namespace

int main() {
  every_good_size_transforms();
  sizes_that_are_no_multiple_of_4_transform_too();
  other_sizes_are_refused();
  a_good_size_is_the_next_one();
  return mapsort_test::failures;
}
