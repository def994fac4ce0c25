// Cholesky's factor solves what it was made of, and refuses what has none.

#include "check.hpp"

#include "mapsort/newton_step.hpp"

using namespace mapsort;

namespace {

constexpr double kMatrix[3][3] = {{4.0, 2.0, -1.0}, {2.0, 5.0, 0.5}, {-1.0, 0.5, 3.0}};

void it_solves() {
  Cholesky<3> factor;
  for (int i = 0; i < 3; ++i)
    for (int j = 0; j <= i; ++j)
      CHECK(factor.add(i, j, kMatrix[i][j], 0.0), i);
  const double wanted[3] = {0.7, -1.3, 2.1};
  double x[3]{};
  for (int i = 0; i < 3; ++i)
    for (int j = 0; j < 3; ++j)
      x[i] += kMatrix[i][j] * wanted[j];
  factor.solve_lower(x);
  factor.solve_upper(x);
  for (int i = 0; i < 3; ++i)
    CHECK(std::abs(x[i] - wanted[i]) < 1e-14, x[i]);
}

void no_pivot_no_factor() {
  Cholesky<2> indefinite;
  CHECK(indefinite.add(0, 0, 1.0, 0.0), 0);
  CHECK(indefinite.add(1, 0, 2.0, 0.0), 0);
  CHECK(!indefinite.add(1, 1, 3.0, 0.0), 0); // 3 - 2^2 < 0
  Cholesky<1> little, not_a_number;
  CHECK(!little.add(0, 0, 1e-13, 1e-12), 0);
  CHECK(!not_a_number.add(0, 0, std::nan(""), 0.0), 0);
}

} // namespace

int main() {
  it_solves();
  no_pivot_no_factor();
  return mapsort_test::failures;
}
