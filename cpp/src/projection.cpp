#include "mapsort/projection.hpp"

#include "mapsort/parallel.hpp"
#include "mapsort/require.hpp"
#include "mapsort/slice_sampler.hpp"

#include <algorithm> // for std::sort
#include <cstdint>   // for std::uint32_t
#include <tuple>     // for std::tuple
#include <vector>    // for std::vector

namespace mapsort::inline MAPSORT_ISA {

namespace {

/// Edge of a tile of the slicing plane, in Fourier pixels: its grid points fit the first-level
/// cache.
constexpr double kTile = 8.0;
/// Tiles of many slices that lie in one brick of the window, of this many grid points, are read
/// one after the other, so that the brick comes from memory once for all of them.
constexpr double kBrick = 16.0;
/// Tiles that are put in order together; bounds the memory of the order to 2 MiB.
constexpr index_t kTilesAtOnce = index_t{1} << 18;

struct Tile {
  index_t begin, end;
  double kx, ky; // centre
};

/// The points of a slice, the same for every slice, tile by tile.
struct TiledPlane {
  std::vector<PlanePosition> points;
  std::vector<Tile> tiles;
};

TiledPlane tiled(std::vector<PlanePosition> points) {
  const auto tile_of = [](const PlanePosition& p) {
    return std::tuple(std::floor(p.ky / kTile), std::floor(p.kx / kTile));
  };
  std::stable_sort(points.begin(), points.end(),
                   [&](const auto& a, const auto& b) { return tile_of(a) < tile_of(b); });
  TiledPlane plane{std::move(points), {}};
  const index_t n = index_t(plane.points.size());
  for (index_t begin = 0, end = 0; begin < n; begin = end) {
    const auto place = tile_of(plane.points[begin]);
    while (end < n && tile_of(plane.points[end]) == place)
      ++end;
    const auto [ty, tx] = place;
    plane.tiles.push_back({begin, end, (tx + 0.5) * kTile, (ty + 0.5) * kTile});
  }
  return plane;
}

TiledPlane cartesian_plane(index_t box, double max_radius) {
  std::vector<PlanePosition> points;
  each_frequency(box, [&](index_t kx, index_t ky, index_t offset) {
    if (static_cast<double>(kx * kx + ky * ky) <= max_radius * max_radius)
      points.push_back({double(kx), double(ky), offset});
  });
  return tiled(std::move(points));
}

TiledPlane polar_plane(PolarGrid grid) {
  std::vector<PlanePosition> points;
  const index_t half = grid.n_angles / 2;
  for (index_t ring = 0; ring < grid.n_rings; ++ring)
    for (index_t j = 0; j < half; ++j) {
      const double k = double(grid.first_ring + ring);
      const double angle = 2.0 * kPi * double(j) / double(grid.n_angles);
      points.push_back({k * std::cos(angle), k * std::sin(angle), ring * half + j});
    }
  return tiled(std::move(points));
}

/// Every third bit of the result is a bit of v < 2^10.
std::uint32_t spread_bits(std::uint32_t v) {
  v = (v | (v << 16)) & 0x030000FFu;
  v = (v | (v << 8)) & 0x0300F00Fu;
  v = (v | (v << 4)) & 0x030C30C3u;
  return (v | (v << 2)) & 0x09249249u;
}

/// One tile of one slice: its brick in the upper half, for sorting, and its number below.
using Job = std::uint64_t;

/// Number of the brick on a Morton curve, along which neighbours in space are mostly neighbours.
std::uint32_t brick_of(const PlaneAxes& axes, const Tile& tile, double radius) {
  double position[3];
  const double sign = tile.kx * axes.x[0] + tile.ky * axes.y[0] < 0.0 ? -1.0 : 1.0;
  std::uint32_t code = 0;
  for (int i = 0; i < 3; ++i) {
    position[i] = sign * (tile.kx * axes.x[i] + tile.ky * axes.y[i]) + radius;
    const double brick = std::clamp(position[i] / kBrick, 0.0, 1023.0);
    code |= spread_bits(static_cast<std::uint32_t>(brick)) << i;
  }
  return code;
}

template <int W>
void read_tiles(const SliceSampler<W>& sampler, const TiledPlane& plane,
                const std::vector<PlaneAxes>& axes, double radius, View<complex_t, 3> slices,
                int n_threads) {
  const index_t n_tiles = index_t(plane.tiles.size()), n = slices.shape[0];
  const index_t at_once = std::max<index_t>(1, kTilesAtOnce / std::max<index_t>(1, n_tiles));
  std::vector<Job> jobs;
  for (index_t first = 0; first < n; first += at_once) {
    jobs.resize((std::min(first + at_once, n) - first) * n_tiles);
    const index_t n_jobs = index_t(jobs.size());
    for (index_t j = 0; j < n_jobs; ++j) {
      const Job brick = brick_of(axes[first + j / n_tiles], plane.tiles[j % n_tiles], radius);
      jobs[j] = brick << 32 | Job(j);
    }
    std::sort(jobs.begin(), jobs.end());
    // a thread stays in one region of the window for a while, but not so long that others wait
    const index_t share = std::max<index_t>(16, n_jobs / (16 * std::max(1, n_threads)));
    parallel_for((n_jobs + share - 1) / share, n_threads, [&](index_t part) {
      for (index_t j = part * share; j < std::min((part + 1) * share, n_jobs); ++j) {
        const index_t number = index_t(jobs[j] & 0xFFFFFFFFu);
        const index_t slice = first + number / n_tiles;
        const Tile& tile = plane.tiles[number % n_tiles];
        sampler.sample(axes[slice], plane.points.data() + tile.begin, tile.end - tile.begin,
                       slices.item(slice));
      }
    });
  }
}

/// Read every slice at the same points of its plane; other elements of `slices` become zero.
void read_slices(const WindowView& window, View<const double, 3> rotations, double max_frequency,
                 const TiledPlane& plane, View<complex_t, 3> slices, int n_threads) {
  const index_t halo = halo_of(window.width), radius = (window.data.shape[0] - 1) / 2;
  require(window_radius(max_frequency, halo) <= radius,
          "window: too small for the frequencies asked for");
  require(window.data.shape == window_shape3(radius, halo), "window: not a window's shape");
  const index_t n_elements = slices.shape[1] * slices.shape[2];
  if (index_t(plane.points.size()) < n_elements)
    parallel_for(slices.shape[0], n_threads,
                 [&](index_t i) { std::fill_n(slices.item(i), n_elements, complex_t{}); });
  std::vector<PlaneAxes> axes;
  axes.reserve(std::size_t(rotations.shape[0]));
  for (index_t i = 0; i < rotations.shape[0]; ++i)
    axes.emplace_back(rotations.item(i), window.scale);
  with_kernel_width(window.width, [&](auto width) {
    const SliceSampler<width> sampler(window.data, window.oversampling);
    read_tiles(sampler, plane, axes, double(radius), slices, n_threads);
  });
}

} // namespace

void project_cartesian(const WindowView& window, View<const double, 3> rotations, double max_radius,
                       index_t box, View<complex_t, 3> slices, int n_threads) {
  read_slices(window, rotations, max_radius * window.scale, cartesian_plane(box, max_radius),
              slices, n_threads);
}

void project_polar(const WindowView& window, View<const double, 3> rotations, PolarGrid grid,
                   View<complex_t, 3> slices, int n_threads) {
  const double max_radius = double(grid.first_ring + grid.n_rings - 1);
  read_slices(window, rotations, max_radius * window.scale, polar_plane(grid), slices, n_threads);
}

} // namespace mapsort::inline MAPSORT_ISA
