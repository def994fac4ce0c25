#pragma once
// Central slices of several maps at once by linear interpolation, and the adjoint.
//
// Maps are columns of one array over a Fourier grid: a point of a slice is located once, and the
// columns of its eight neighbours lie side by side. The grid (side, side, side/2 + 1) is centred
// along z and y and begins at the origin along x; what lies at x < 0 is read, and added, at its
// Friedel mate.

#include "mapsort/fourier_window.hpp"

#include <cstdint> // for std::int32_t
#include <vector>  // for std::vector

namespace mapsort::inline MAPSORT_ISA {

/// What slices are inserted with: column c of the maps gets data * data_weights[c] over
/// density * density_weights[c], the weights being each slice's own.
struct WeightedSlices {
  View<const complex_t, 2> data;        // (n, m)
  View<const float, 2> data_weights;    // (n, a)
  View<const float, 2> density;         // (n, m)
  View<const float, 2> density_weights; // (n, b)
};

/// Points of a half plane, then views, then work on the points as the views see them.
class LinearSlices {
public:
  /// points (m, 2): kx and ky in grid points; side: edge of the grid, odd.
  LinearSlices(View<const float, 2> points, index_t side);

  /// Take rotations (n, 3, 3), object -> view.
  void set_views(View<const double, 3> rotations);

  /// slices (n, m, q) of maps (voxels, q).
  void read(View<const complex_t, 2> maps, View<complex_t, 3> slices, int n_threads) const;

  /// numerator (voxels, a) and denominator (voxels, b) += slices, in the order of the slices: the
  /// adjoint of `read`, but for the plane x = 0, where it lacks what mates add.
  void insert(const WeightedSlices& slices, View<complex_t, 2> numerator,
              View<float, 2> denominator, int n_threads) const;

  index_t n_views() const { return index_t(axes_.size()); }
  index_t n_points() const { return index_t(points_.size()) / 2; }
  index_t voxels() const { return side_ * side_ * (side_ / 2 + 1); }

private:
  /// A view's x and y in the object's axes.
  struct Axes {
    float x[3], y[3];
  };

  /// First of a point's eight neighbours, the point's distance from it, and -1 for a mate.
  struct Located {
    std::int32_t voxel;
    float x, y, z, sign;
  };

  Located located(const Axes& view, index_t point) const;

  template <class Count>
  void read_columns(Count n, View<const complex_t, 2> maps, View<complex_t, 3> slices,
                    int n_threads) const;

  /// `insert` of so many floats of sums and of densities, which may be constants.
  template <class Above, class Below>
  void insert_columns(Above n_above, Below n_below, const WeightedSlices& slices,
                      View<complex_t, 2> numerator, View<float, 2> denominator,
                      int n_threads) const;

  std::vector<float> points_;
  std::vector<Axes> axes_;
  index_t side_;
};

} // namespace mapsort::inline MAPSORT_ISA
