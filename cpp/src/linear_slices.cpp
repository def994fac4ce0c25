#include "mapsort/linear_slices.hpp"

#include "mapsort/parallel.hpp"
#include "mapsort/require.hpp"

#include <algorithm>   // for std::any_of, std::min
#include <cmath>       // for std::floor, std::hypot
#include <memory>      // for std::make_unique_for_overwrite
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

/// Points that are located, and whose neighbours are asked for, before the first is read: grids do
/// not fit the nearest memory.
constexpr index_t kAhead = 16;

template <int kCount> using Constant = std::integral_constant<index_t, kCount>;

/// Ask for the eight neighbours' columns, n floats each.
void prefetch(const float* from, const RowOffsets& rows, index_t n) {
  for (const index_t offset : rows.offset) {
    __builtin_prefetch(from + offset * n);
    __builtin_prefetch(from + offset * n + 2 * n - 1);
  }
}

/// to[0..n) = weighted sum of the eight neighbours' columns, n floats each. The number of columns
/// may be a constant, here and below, which leaves no loop.
template <class Count>
void gather(const float* from, const RowOffsets& rows, const RowWeights& weights, Count n,
            float* __restrict to) {
  const float *r0 = from + rows.offset[0] * n, *r1 = from + rows.offset[1] * n,
              *r2 = from + rows.offset[2] * n, *r3 = from + rows.offset[3] * n;
  const float *w = weights.first, *v = weights.second;
  for (index_t c = 0; c < n; ++c)
    to[c] = (w[0] * r0[c] + v[0] * r0[c + n]) + (w[1] * r1[c] + v[1] * r1[c + n]) +
            ((w[2] * r2[c] + v[2] * r2[c + n]) + (w[3] * r3[c] + v[3] * r3[c + n]));
}

/// The eight neighbours' columns += values times their weights: the adjoint of `gather`.
template <class Count>
void scatter(const float* __restrict values, const RowOffsets& rows, const RowWeights& weights,
             Count n, float* to) {
  for (int i = 0; i < 4; ++i) {
    float* __restrict row = to + rows.offset[i] * n;
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

LinearSlices::Located LinearSlices::located(const Axes& view, index_t point) const {
  const float kx = points_[std::size_t(2 * point)], ky = points_[std::size_t(2 * point + 1)];
  float at[3];
  for (int axis = 0; axis < 3; ++axis)
    at[axis] = kx * view.x[axis] + ky * view.y[axis];
  const float sign = at[0] < 0.0f ? -1.0f : 1.0f;
  std::int32_t base[3];
  for (int axis = 0; axis < 3; ++axis) {
    at[axis] *= sign;
    const float below = std::floor(at[axis]);
    base[axis] = std::int32_t(below);
    at[axis] -= below;
  }
  const auto side = std::int32_t(side_), half = side / 2;
  return {((base[2] + half) * side + base[1] + half) * (half + 1) + base[0], at[0], at[1], at[2],
          sign};
}

void LinearSlices::set_views(View<const double, 3> rotations) {
  axes_.resize(std::size_t(rotations.shape[0]));
  for (std::size_t i = 0; i < axes_.size(); ++i)
    for (int axis = 0; axis < 3; ++axis) {
      axes_[i].x[axis] = float(rotations(index_t(i), 0, axis));
      axes_[i].y[axis] = float(rotations(index_t(i), 1, axis));
    }
}

void LinearSlices::read(View<const complex_t, 2> maps, View<complex_t, 3> slices,
                        int n_threads) const {
  switch (maps.shape[1]) {
  case 1:
    return read_columns(Constant<2>{}, maps, slices, n_threads);
  case 2:
    return read_columns(Constant<4>{}, maps, slices, n_threads);
  case 4:
    return read_columns(Constant<8>{}, maps, slices, n_threads);
  default:
    return read_columns(2 * maps.shape[1], maps, slices, n_threads);
  }
}

template <class Count>
void LinearSlices::read_columns(Count n, View<const complex_t, 2> maps, View<complex_t, 3> slices,
                                int n_threads) const {
  const RowOffsets rows(side_);
  const float* from = reinterpret_cast<const float*>(maps.data);
  parallel_for(n_views(), n_threads, [&](index_t i) {
    float* to = reinterpret_cast<float*>(slices.item(i));
    Located block[kAhead];
    for (index_t begin = 0; begin < n_points(); begin += kAhead) {
      const index_t count = std::min(kAhead, n_points() - begin);
      for (index_t p = 0; p < count; ++p) {
        block[p] = located(axes_[std::size_t(i)], begin + p);
        prefetch(from + block[p].voxel * n, rows, n);
      }
      for (index_t p = 0; p < count; ++p, to += n) {
        const Located& point = block[p];
        gather(from + point.voxel * n, rows, {point.x, point.y, point.z}, n, to);
        if (point.sign < 0.0f)
          for (index_t c = 1; c < n; c += 2)
            to[c] = -to[c];
      }
    }
  });
}

void LinearSlices::insert(const WeightedSlices& slices, View<complex_t, 2> numerator,
                          View<float, 2> denominator, int n_threads) const {
  const index_t a = numerator.shape[1], b = denominator.shape[1];
  const auto with = [&](auto above, auto below) {
    insert_columns(above, below, slices, numerator, denominator, n_threads);
  };
  if (a == 1 && b == 1)
    with(Constant<2>{}, Constant<1>{});
  else if (a == 2 && b == 2)
    with(Constant<4>{}, Constant<2>{});
  else if (a == 4 && b == 4)
    with(Constant<8>{}, Constant<4>{});
  else
    with(2 * a, b);
}

template <class Above, class Below>
void LinearSlices::insert_columns(Above n_above, Below n_below, const WeightedSlices& slices,
                                  View<complex_t, 2> numerator, View<float, 2> denominator,
                                  int n_threads) const {
  const index_t m = n_points(), n = n_views();
  const auto plane = std::uint32_t(side_ * (side_ / 2 + 1));
  const RowOffsets rows(side_);
  float* above = reinterpret_cast<float*>(numerator.data);

  // slices that count for nothing are left out
  const auto some = [](View<const float, 2> weights, index_t i) {
    return std::any_of(weights.item(i), weights.item(i) + weights.shape[1],
                       [](float w) { return w != 0.0f; });
  };
  std::vector<index_t> counted;
  for (index_t i = 0; i < n; ++i)
    if (some(slices.data_weights, i) || some(slices.density_weights, i))
      counted.push_back(i);

  // points by the plane they begin in, in their own order: a plane's sums stay close at hand
  struct Place {
    std::int32_t view;
    std::uint32_t point; // of all slices
  };
  const auto points = std::make_unique_for_overwrite<Located[]>(std::size_t(n * m));
  const auto order = std::make_unique_for_overwrite<Place[]>(counted.size() * std::size_t(m));
  parallel_for(index_t(counted.size()), n_threads, [&](index_t k) {
    const index_t i = counted[std::size_t(k)];
    for (index_t p = 0; p < m; ++p)
      points[std::size_t(i * m + p)] = located(axes_[std::size_t(i)], p);
  });
  const auto plane_of = [&](index_t point) {
    return std::uint32_t(points[std::size_t(point)].voxel) / plane;
  };
  std::vector<index_t> begin(std::size_t(side_) + 1);
  for (const index_t i : counted)
    for (index_t p = i * m; p < (i + 1) * m; ++p)
      ++begin[plane_of(p) + 1];
  for (std::size_t z = 1; z < begin.size(); ++z)
    begin[z] += begin[z - 1];
  std::vector<index_t> next(begin.begin(), begin.end() - 1);
  for (const index_t i : counted)
    for (index_t p = i * m; p < (i + 1) * m; ++p)
      order[std::size_t(next[plane_of(p)]++)] = {std::int32_t(i), std::uint32_t(p)};

  const auto ask_for = [&](Place place) {
    __builtin_prefetch(&points[place.point]);
    __builtin_prefetch(slices.data.data + place.point);
    __builtin_prefetch(slices.density.data + place.point);
  };
  const auto add = [&](Place place, float* line) {
    const Located& point = points[place.point];
    const complex_t value = slices.data.data[place.point];
    const float real = value.real(), imag = point.sign * value.imag();
    const float *u = slices.data_weights.item(place.view),
                *v = slices.density_weights.item(place.view);
    const float density = slices.density.data[place.point];
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
                   for (index_t k = begin[z]; k < begin[z + 1]; ++k) {
                     ask_for(order[std::size_t(std::min(k + kAhead, begin[z + 1] - 1))]);
                     add(order[std::size_t(k)], line.data());
                   }
                 });
}

} // namespace mapsort::inline MAPSORT_ISA
