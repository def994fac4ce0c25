#include "mapsort/linear_slices.hpp"

#include "mapsort/parallel.hpp"
#include "mapsort/require.hpp"

#include <cmath>       // for std::floor, std::hypot
#include <type_traits> // for std::integral_constant

namespace mapsort::inline MAPSORT_ISA {

namespace {

/// Weights of a point's neighbours: pairs along x, for each of four rows.
struct RowWeights {
  float first[4], second[4];

  RowWeights(float x, float y, float z) {
    for (int row = 0; row < 4; ++row) {
      const float across = (row & 1 ? y : 1.0f - y) * (row & 2 ? z : 1.0f - z);
      first[row] = across * (1.0f - x);
      second[row] = across * x;
    }
  }
};

/// Where the rows of a point's neighbours begin, relative to the first.
struct RowOffsets {
  index_t offset[4];

  explicit RowOffsets(index_t side) {
    const index_t row = side / 2 + 1;
    for (int i = 0; i < 4; ++i)
      offset[i] = (i & 1 ? row : 0) + (i & 2 ? side * row : 0);
  }
};

/// to[0..n) = weighted sum of the eight neighbours' columns, n floats each.
void gather(const float* from, const RowOffsets& rows, const RowWeights& weights, index_t n,
            float* to) {
  const float *r0 = from + rows.offset[0] * n, *r1 = from + rows.offset[1] * n,
              *r2 = from + rows.offset[2] * n, *r3 = from + rows.offset[3] * n;
  const float *w = weights.first, *v = weights.second;
  for (index_t c = 0; c < n; ++c)
    to[c] = (w[0] * r0[c] + v[0] * r0[c + n]) + (w[1] * r1[c] + v[1] * r1[c + n]) +
            ((w[2] * r2[c] + v[2] * r2[c + n]) + (w[3] * r3[c] + v[3] * r3[c + n]));
}

/// The eight neighbours' columns += values times their weights: the adjoint of `gather`. The number
/// of columns may be a constant, which leaves no loop.
template <class Count>
void scatter(const float* values, const RowOffsets& rows, const RowWeights& weights, Count n,
             float* to) {
  for (int i = 0; i < 4; ++i) {
    float* row = to + rows.offset[i] * n;
    const float w = weights.first[i], v = weights.second[i];
    for (index_t c = 0; c < n; ++c)
      row[c] += w * values[c];
    for (index_t c = 0; c < n; ++c)
      row[n + c] += v * values[c];
  }
}

} // namespace

LinearSlices::LinearSlices(View<const float, 2> points, index_t side)
    : points_(points.data, points.data + points.size()), side_(side) {
  require(side >= 3 && side % 2 == 1, "side: expected an odd number from 3");
  const index_t half = side / 2;
  for (index_t p = 0; p < n_points(); ++p)
    // a rotation may be off by 1e-4; NaN does not hold, either
    require(std::hypot(points(p, 0), points(p, 1)) * 1.001f < float(half),
            "points: expected less than side / 2 from the origin");
}

LinearSlices::Located LinearSlices::located(const double* rotation, index_t point) const {
  const float kx = points_[std::size_t(2 * point)], ky = points_[std::size_t(2 * point + 1)];
  float at[3];
  for (int axis = 0; axis < 3; ++axis)
    at[axis] = kx * float(rotation[axis]) + ky * float(rotation[3 + axis]);
  const float sign = at[0] < 0.0f ? -1.0f : 1.0f;
  index_t base[3];
  for (int axis = 0; axis < 3; ++axis) {
    at[axis] *= sign;
    const float below = std::floor(at[axis]);
    base[axis] = index_t(below);
    at[axis] -= below;
  }
  const index_t half = side_ / 2;
  const index_t voxel = ((base[2] + half) * side_ + base[1] + half) * (half + 1) + base[0];
  return {std::int32_t(voxel), at[0], at[1], at[2], sign};
}

void LinearSlices::set_views(View<const double, 3> rotations, int n_threads) {
  n_views_ = rotations.shape[0];
  located_.resize(std::size_t(n_views_ * n_points()));
  parallel_for(n_views_, n_threads, [&](index_t i) {
    for (index_t p = 0; p < n_points(); ++p)
      located_[std::size_t(i * n_points() + p)] = located(rotations.item(i), p);
  });
}

void LinearSlices::read(View<const complex_t, 2> maps, View<complex_t, 3> slices,
                        int n_threads) const {
  const index_t n = 2 * maps.shape[1];
  const RowOffsets rows(side_);
  const float* from = reinterpret_cast<const float*>(maps.data);
  parallel_for(n_views_, n_threads, [&](index_t i) {
    float* to = reinterpret_cast<float*>(slices.item(i));
    const Located* point = located_.data() + i * n_points();
    for (index_t p = 0; p < n_points(); ++p, ++point, to += n) {
      gather(from + point->voxel * n, rows, {point->x, point->y, point->z}, n, to);
      if (point->sign < 0.0f)
        for (index_t c = 1; c < n; c += 2)
          to[c] = -to[c];
    }
  });
}

void LinearSlices::insert(const WeightedSlices& slices, View<complex_t, 2> numerator,
                          View<float, 2> denominator, int n_threads) const {
  const index_t a = numerator.shape[1], b = denominator.shape[1];
  if (a == 1 && b == 1)
    insert_columns(std::integral_constant<index_t, 2>{}, std::integral_constant<index_t, 1>{},
                   slices, numerator, denominator, n_threads);
  else
    insert_columns(2 * a, b, slices, numerator, denominator, n_threads);
}

template <class Above, class Below>
void LinearSlices::insert_columns(Above n_above, Below n_below, const WeightedSlices& slices,
                                  View<complex_t, 2> numerator, View<float, 2> denominator,
                                  int n_threads) const {
  const index_t plane = side_ * (side_ / 2 + 1), m = n_points();
  const RowOffsets rows(side_);
  float* above = reinterpret_cast<float*>(numerator.data);

  // points by the plane they begin in, in their own order: a plane's sums stay close at hand
  std::vector<index_t> begin(std::size_t(side_) + 1);
  for (const Located& point : located_)
    ++begin[std::size_t(point.voxel / plane) + 1];
  for (std::size_t z = 1; z < begin.size(); ++z)
    begin[z] += begin[z - 1];
  struct Place {
    std::int32_t view, point;
  };
  std::vector<Place> order(located_.size());
  std::vector<index_t> next(begin.begin(), begin.end() - 1);
  for (index_t i = 0; i < n_views_; ++i)
    for (index_t p = 0; p < m; ++p)
      order[std::size_t(next[std::size_t(located_[std::size_t(i * m + p)].voxel / plane)]++)] = {
          std::int32_t(i), std::int32_t(p)};

  const auto add = [&](Place place, float* line) {
    const index_t i = place.view, p = place.point;
    const Located& point = located_[std::size_t(i * m + p)];
    const complex_t value = slices.data(i, p);
    const float real = value.real(), imag = point.sign * value.imag();
    const float *u = slices.data_weights.item(i), *v = slices.density_weights.item(i);
    const float density = slices.density(i, p);
    for (index_t c = 0; 2 * c < n_above; ++c) {
      line[2 * c] = real * u[c];
      line[2 * c + 1] = imag * u[c];
    }
    float* below = line + n_above;
    for (index_t c = 0; c < n_below; ++c)
      below[c] = density * v[c];
    const RowWeights weights(point.x, point.y, point.z);
    scatter(line, rows, weights, n_above, above + index_t(point.voxel) * n_above);
    scatter(below, rows, weights, n_below, denominator.data + index_t(point.voxel) * n_below);
  };
  // what begins in a plane touches the next one, too: every other plane at the same time
  for (index_t parity = 0; parity < 2; ++parity)
    parallel_for((side_ + 1 - parity) / 2, n_threads,
                 [&] { return std::vector<float>(std::size_t(n_above + n_below)); },
                 [&](index_t task, std::vector<float>& line) {
                   const auto z = std::size_t(2 * task + parity);
                   for (index_t k = begin[z]; k < begin[z + 1]; ++k)
                     add(order[std::size_t(k)], line.data());
                 });
}

} // namespace mapsort::inline MAPSORT_ISA
