// Insertion is the adjoint of reading, column by column, and the same for any number of threads.

#include "check.hpp"

#include "mapsort/linear_slices.hpp"

#include <cmath>     // for std::abs, std::cos
#include <random>    // for std::mt19937
#include <stdexcept> // for std::invalid_argument
#include <vector>    // for std::vector

using namespace mapsort;

namespace {

constexpr index_t kSide = 15, kViews = 5, kColumns = 3;
constexpr index_t kVoxels = kSide * kSide * (kSide / 2 + 1);

std::vector<float> noise(index_t n, unsigned seed) {
  std::mt19937 engine(seed);
  std::normal_distribution<float> normal;
  std::vector<float> values(static_cast<std::size_t>(n));
  for (float& value : values)
    value = normal(engine);
  return values;
}

complex_t* complexes(std::vector<float>& values) {
  return reinterpret_cast<complex_t*>(values.data());
}

/// Half a plane of grid points up to a radius.
std::vector<float> half_plane(float radius) {
  std::vector<float> points;
  for (int y = -int(radius); y <= int(radius); ++y)
    for (int x = 0; x <= int(radius); ++x)
      if (float(x * x + y * y) <= radius * radius && (x > 0 || y > 0))
        points.insert(points.end(), {float(x) + 0.3f, float(y) - 0.4f});
  return points;
}

/// Turns about z, then x.
std::vector<double> rotations() {
  std::vector<double> matrices;
  for (index_t i = 0; i < kViews; ++i) {
    const double a = 0.7 * double(i), b = 1.1 + double(i);
    for (double element :
         {std::cos(a), -std::sin(a), 0.0, std::sin(a) * std::cos(b), std::cos(a) * std::cos(b),
          -std::sin(b), std::sin(a) * std::sin(b), std::cos(a) * std::sin(b), std::cos(b)})
      matrices.push_back(element);
  }
  return matrices;
}

LinearSlices plan() {
  std::vector<float> points = half_plane(5.0f);
  LinearSlices made({points.data(), {index_t(points.size()) / 2, 2}}, kSide);
  const std::vector<double> turns = rotations();
  made.set_views({turns.data(), {kViews, 3, 3}});
  return made;
}

/// Sums of data with the weight 1 for the first column, 2 for the second ...
std::vector<float> inserted(const LinearSlices& slices, std::vector<float>& data, int n_threads) {
  const index_t m = slices.n_points();
  std::vector<float> weights, density(std::size_t(kViews * m), 1.0f), one(kViews, 1.0f);
  for (index_t i = 0; i < kViews; ++i)
    for (index_t c = 0; c < kColumns; ++c)
      weights.push_back(float(c + 1));
  std::vector<float> above(std::size_t(2 * kVoxels * kColumns)), below(std::size_t(kVoxels), 0.0f);
  const WeightedSlices weighted{.data = {complexes(data), {kViews, m}},
                                .data_weights = {weights.data(), {kViews, kColumns}},
                                .density = {density.data(), {kViews, m}},
                                .density_weights = {one.data(), {kViews, 1}}};
  slices.insert(weighted, {complexes(above), {kVoxels, kColumns}}, {below.data(), {kVoxels, 1}},
                n_threads);
  return above;
}

/// <read(x), y> = <x, insert(y)>: without mates in the plane x = 0, real parts over all stored.
void insertion_is_the_adjoint_of_reading() {
  const LinearSlices slices = plan();
  const index_t m = slices.n_points();
  std::vector<float> maps = noise(2 * kVoxels * kColumns, 1), data = noise(2 * kViews * m, 2);
  std::vector<float> read(std::size_t(2 * kViews * m * kColumns));
  slices.read({complexes(maps), {kVoxels, kColumns}}, {complexes(read), {kViews, m, kColumns}}, 3);
  const std::vector<float> sums = inserted(slices, data, 1);
  for (index_t c = 0; c < kColumns; ++c) {
    double of_maps = 0.0, of_slices = 0.0, size = 0.0;
    for (index_t v = 0; v < kVoxels; ++v)
      for (index_t part = 0; part < 2; ++part) {
        const auto at = std::size_t(2 * (v * kColumns + c) + part);
        of_maps += double(maps[at]) * sums[at];
      }
    for (index_t s = 0; s < kViews * m; ++s)
      for (index_t part = 0; part < 2; ++part) {
        const double value = read[std::size_t(2 * (s * kColumns + c) + part)];
        of_slices += double(c + 1) * value * data[std::size_t(2 * s + part)];
        size += value * value;
      }
    const double error = std::abs(of_maps - of_slices) / (double(c + 1) * size);
    CHECK(error < 1e-6, error);
  }
}

void threads_change_nothing() {
  const LinearSlices slices = plan();
  std::vector<float> data = noise(2 * kViews * slices.n_points(), 3);
  const std::vector<float> one = inserted(slices, data, 1);
  for (int n_threads : {2, 7})
    CHECK(one == inserted(slices, data, n_threads), n_threads);
}

void points_outside_are_refused() {
  const float far[2] = {7.5f, 0.0f};
  CHECK_THROWS(LinearSlices({far, {1, 2}}, kSide), std::invalid_argument);
  CHECK_THROWS(LinearSlices({far, {0, 2}}, 4), std::invalid_argument);
}

} // namespace

int main() {
  insertion_is_the_adjoint_of_reading();
  threads_change_nothing();
  points_outside_are_refused();
  return mapsort_test::failures;
}
