// Which angular coefficients are kept, and that the transform puts them where the layout says.

#include "check.hpp"

#include "mapsort/polar_transform.hpp"

#include <complex>   // for std::complex
#include <limits>    // for std::numeric_limits
#include <stdexcept> // for std::invalid_argument

using namespace mapsort;

namespace {

void invariants(const PolarLayout& layout, index_t box, double support_radius) {
  const PolarGrid& grid = layout.grid;
  CHECK(layout.max_order() < grid.n_angles / 2, layout.max_order());
  CHECK(layout.first_entry.size() == layout.first_ring_of.size() + 1, layout.first_entry.size());
  CHECK(layout.first_entry.front() == 0, layout.first_entry.front());
  CHECK(layout.first_ring_of.front() == 0, layout.first_ring_of.front());
  for (int m = 0; m <= layout.max_order(); ++m) {
    const int kept = layout.first_entry[m + 1] - layout.first_entry[m];
    CHECK(kept == grid.n_rings - layout.first_ring_of[m], m);
    CHECK(kept >= 1, m);
    CHECK(m == 0 || layout.first_ring_of[m] >= layout.first_ring_of[m - 1], m);
    // a ring that is left out is one where the Bessel function of this order has vanished
    for (int ring = 0; ring < layout.first_ring_of[m]; ++ring) {
      const double x = 2.0 * kPi * support_radius * double(grid.first_ring + ring) / double(box);
      CHECK(m > x, m);
      const double j = std::abs(std::cyl_bessel_j(double(m), x));
      CHECK(j < 0.02, j);
    }
  }
}

void layouts_of_many_grids() {
  for (index_t box : {16, 33, 96})
    for (index_t first_ring : {1, 3})
      for (index_t n_angles : {16, 60, 300})
        for (double share : {0.2, 0.35, 0.5}) {
          const PolarGrid grid{first_ring, box / 2 - first_ring + 1, n_angles};
          invariants(PolarLayout(grid, box, share * double(box)), box, share * double(box));
        }
}

void more_support_keeps_more() {
  const PolarGrid grid{1, 40, 300};
  int before = 0;
  for (double radius : {10.0, 20.0, 30.0, 48.0}) {
    const int entries = PolarLayout(grid, 96, radius).n_entries();
    CHECK(entries > before, entries);
    before = entries;
  }
}

void grids_that_make_no_sense_are_refused() {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  CHECK_THROWS(PolarLayout(PolarGrid({0, 4, 16}), 16, 5.0), std::invalid_argument);
  CHECK_THROWS(PolarLayout(PolarGrid({1, 0, 16}), 16, 5.0), std::invalid_argument);
  CHECK_THROWS(PolarLayout(PolarGrid({1, 4, 15}), 16, 5.0), std::invalid_argument);
  CHECK_THROWS(PolarLayout(PolarGrid({1, 4, 16}), 16, 0.0), std::invalid_argument);
  CHECK_THROWS(PolarLayout(PolarGrid({1, 4, 16}), 16, nan), std::invalid_argument);
}

/// Rings sum_m a_m exp(i m phi) with the Friedel mates a_-m = (-1)^m conj a_m: the transform
/// returns a_m.
void transform_returns_the_coefficients(index_t n_angles) {
  constexpr int kRings = 21; // more than one block of lanes, the last one partly filled
  const PolarGrid grid{1, kRings, n_angles};
  const PolarLayout layout(grid, 42, 8.0);
  const RingTransform transform(layout);
  auto scratch = transform.make_scratch();
  const auto coefficient = [](int m, int ring) {
    return std::complex<double>(std::cos(1.0 + m + 0.3 * ring),
                                m == 0 ? 0.0 : std::sin(m * 0.7 - ring));
  };
  AlignedVector<VecC> samples(transform.n_blocks() * transform.half(), VecC{});
  for (int ring = 0; ring < kRings; ++ring)
    for (int j = 0; j < transform.half(); ++j) {
      const double phi = 2.0 * kPi * j / double(grid.n_angles);
      std::complex<double> sum = 0.0;
      for (int m = 0; m <= layout.max_order(); ++m) {
        const auto a = coefficient(m, ring);
        sum += a * std::polar(1.0, m * phi);
        if (m > 0)
          sum += (m % 2 ? -1.0 : 1.0) * std::conj(a) * std::polar(1.0, -m * phi);
      }
      VecC& at = samples[ring / kLanes * transform.half() + j];
      at.re[ring % kLanes] = float(sum.real());
      at.im[ring % kLanes] = float(sum.imag());
    }
  std::vector<std::complex<double>> found(layout.n_entries());
  std::vector<int> stored(layout.n_entries(), 0);
  transform.coefficients(samples.data(), scratch, [&](int entry, float re, float im) {
    found[entry] = {re, im};
    ++stored[entry];
  });
  for (int m = 0; m <= layout.max_order(); ++m)
    for (int e = layout.first_entry[m]; e < layout.first_entry[m + 1]; ++e) {
      const int ring = layout.first_ring_of[m] + e - layout.first_entry[m];
      const double error = std::abs(found[e] - coefficient(m, ring));
      CHECK(stored[e] == 1, stored[e]);
      CHECK(error < 3e-6, error);
    }
}

} // namespace

int main() {
  layouts_of_many_grids();
  more_support_keeps_more();
  grids_that_make_no_sense_are_refused();
  // a quarter of the angles is even or odd, a power of two or not
  for (index_t n_angles : {16, 36, 40, 60, 96})
    transform_returns_the_coefficients(n_angles);
  return mapsort_test::failures;
}
