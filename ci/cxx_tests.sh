#!/usr/bin/env bash
# Kernel tests without Python, built by CMake in a temporary directory and run with ctest.
# Expects an active environment; installs the build tools into it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

pip install --quiet cmake ninja pybind11 cython numpy
build=$(mktemp -d)
trap 'rm -rf "$build"' EXIT
cmake -S . -B "$build" -G Ninja \
  -DMAPSORT_CXX_TESTS=ON -DMAPSORT_ALL_ISA=OFF -DMAPSORT_WARNINGS_AS_ERRORS=ON \
  -DSKBUILD_PROJECT_VERSION=0 -DPython_EXECUTABLE="$(command -v python)" \
  -Dpybind11_DIR="$(python -m pybind11 --cmakedir)" >"$build/configure.log" || {
  cat "$build/configure.log"
  exit 1
}
cmake --build "$build" --target test_adjointness test_interpolation_kernel test_linear_slices \
  test_newton_step test_parallel test_polar_layout test_short_fft
ctest --test-dir "$build" --output-on-failure
