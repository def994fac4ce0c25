// Insertion is the adjoint of projection: <project(x), y> = <x, insert(y)>, as finufft tests types
// 1 and 2, for one kernel and any window x and slices y.

#include "check.hpp"

#include "mapsort/fourier_plane.hpp"
#include "mapsort/gridding.hpp"
#include "mapsort/projection.hpp"

#include <random> // for std::mt19937
#include <vector> // for std::vector

using namespace mapsort;

namespace {

using Numbers = std::vector<float>;

Numbers noise(std::size_t n, unsigned seed) {
  std::mt19937 engine(seed);
  std::normal_distribution<float> normal;
  Numbers values(n);
  for (float& value : values)
    value = normal(engine);
  return values;
}

/// n rotations by quaternions of noise.
std::vector<double> rotations(std::size_t n, unsigned seed) {
  std::vector<double> matrices;
  const Numbers values = noise(4 * n, seed);
  for (std::size_t i = 0; i < n; ++i) {
    double q[4], norm = 0.0;
    for (std::size_t k = 0; k < 4; ++k) {
      q[k] = values[4 * i + k];
      norm += q[k] * q[k];
    }
    for (double& part : q)
      part /= std::sqrt(norm);
    const auto [w, x, y, z] = q;
    for (double element : {1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y),
                           2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x),
                           2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)})
      matrices.push_back(element);
  }
  return matrices;
}

complex_t* complexes(Numbers& values) { return reinterpret_cast<complex_t*>(values.data()); }

/// Relative difference of the two products, for slices of this box with two symmetry copies each.
double difference(index_t box, double scale, double max_radius, int n_threads) {
  constexpr index_t kSlices = 3;
  const double identity_and_turn[18] = {1, 0, 0, 0, 1, 0, 0, 0, 1, -1, 0, 0, 0, -1, 0, 0, 0, 1};
  const std::vector<double> turns = rotations(kSlices, 1);
  const index_t halo = halo_of(kInsertionWidth);
  const auto shape = window_shape3(window_radius(max_radius * scale, halo), halo);
  const index_t voxels = shape[0] * shape[1] * shape[2], half = box * (box / 2 + 1);

  Numbers x = noise(std::size_t(2 * voxels), 2), y = noise(std::size_t(2 * kSlices * half), 3);
  const View<const complex_t, 3> slices{complexes(y), {kSlices, box, box / 2 + 1}};
  const Numbers weights(std::size_t(kSlices * half), 1.0f);
  Numbers sums(std::size_t(voxels * kSampleParts), 0.0f);
  const SliceGeometry geometry{.rotations = {turns.data(), {kSlices, 3, 3}},
                               .symmetry = {identity_and_turn, {2, 3, 3}},
                               .scale = scale,
                               .max_radius = max_radius};
  insert_slices(slices, {weights.data(), slices.shape}, geometry,
                {sums.data(), {shape[0], shape[1], shape[2], kSampleParts}}, n_threads);
  double of_windows = 0.0;
  for (index_t i = 0; i < voxels; ++i)
    for (index_t part = 0; part < 2; ++part)
      of_windows += double(x[std::size_t(2 * i + part)]) * sums[std::size_t(3 * i + part)];

  const WindowView window{.data = {complexes(x), shape},
                          .width = kInsertionWidth,
                          .scale = scale,
                          .oversampling = 0.5 * scale};
  double of_slices = 0.0, square_x = 0.0, square_y = 0.0;
  for (int op = 0; op < 2; ++op) {
    std::vector<double> turned;
    for (index_t i = 0; i < kSlices; ++i)
      for (int r = 0; r < 3; ++r)
        for (int c = 0; c < 3; ++c) // the turn about z changes the signs of x and y
          turned.push_back(turns[std::size_t(9 * i + 3 * r + c)] * (op == 1 && c < 2 ? -1.0 : 1.0));
    Numbers read(std::size_t(2 * kSlices * half));
    project_cartesian(window, {turned.data(), {kSlices, 3, 3}}, max_radius, box,
                      {complexes(read), slices.shape}, n_threads);
    for (index_t i = 0; i < kSlices; ++i)
      each_frequency(box, [&](index_t kx, index_t ky, index_t offset) {
        if (kx == 0 && ky < 0)
          return;
        const complex_t p = complexes(read)[i * half + offset], q = slices.item(i)[offset];
        const double share = kx == 0 && ky == 0 ? 0.5 : 1.0;
        of_slices += share * (double(p.real()) * q.real() + double(p.imag()) * q.imag());
        square_x += std::norm(p);
        square_y += std::norm(q);
      });
  }
  return std::abs(of_slices - of_windows) / std::sqrt(square_x * square_y);
}

void insertion_is_the_adjoint() {
  for (index_t box : {16, 17, 24})
    for (double scale : {2.2, 2.5, 3.0})
      for (int n_threads : {1, 3}) {
        const double error = difference(box, scale, double(box / 2), n_threads);
        CHECK(error < 2e-6, error);
      }
}

void below_the_nyquist_frequency_too() {
  const double error = difference(20, 2.5, 6.3, 2);
  CHECK(error < 2e-6, error);
}

} // namespace

int main() {
  insertion_is_the_adjoint();
  below_the_nyquist_frequency_too();
  return mapsort_test::failures;
}
