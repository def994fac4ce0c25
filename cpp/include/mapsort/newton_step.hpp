#pragma once
// What the continuous searches for poses share.

#include "mapsort/view.hpp"

#include <cmath> // for std::sqrt

namespace mapsort::inline MAPSORT_ISA {

/// Longest step of the origin, in pixels: what a search lattice leaves open.
inline constexpr double kMaxOriginStep = 1.0;

/// Cholesky's factor L of a small matrix L L^T, made element by element of its lower triangle.
template <int N> class Cholesky {
public:
  /// The next element, row by row. False for a diagonal one that leaves no pivot above `least`.
  bool add(int i, int j, double element, double least) {
    for (int k = 0; k < j; ++k)
      element -= l_[i][k] * l_[j][k];
    if (i != j) {
      l_[i][j] = element / l_[j][j];
      return true;
    }
    if (!(element > least))
      return false;
    l_[i][i] = std::sqrt(element);
    return true;
  }

  /// x -> L^-1 x
  void solve_lower(double* x) const {
    for (int i = 0; i < N; ++i) {
      for (int k = 0; k < i; ++k)
        x[i] -= l_[i][k] * x[k];
      x[i] /= l_[i][i];
    }
  }

  /// x -> L^-T x
  void solve_upper(double* x) const {
    for (int i = N - 1; i >= 0; --i) {
      for (int k = i + 1; k < N; ++k)
        x[i] -= l_[k][i] * x[k];
      x[i] /= l_[i][i];
    }
  }

private:
  double l_[N][N]{};
};

} // namespace mapsort::inline MAPSORT_ISA
