#!/usr/bin/env bash
# C++ tests and the Python kernel tests under the sanitisers: ci/sanitizers.sh [PRESET...]
# Presets of CMakePresets.json: asan (address and undefined behaviour), ubsan, tsan; default asan
# and tsan. Expects an active environment in which mapsort's test dependencies are installed; needs
# GCC with its sanitiser libraries. Takes some minutes. SANITIZED_BUILD names a directory to keep.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
[[ $# -gt 0 ]] || set -- asan tsan

pip install --quiet cmake ninja pybind11 cython numpy
work=${SANITIZED_BUILD:-$(mktemp -d)}
[[ -n "${SANITIZED_BUILD:-}" ]] || trap 'rm -rf "$work"' EXIT

# An editable installation puts its own mapsort before every path: without it here.
mkdir -p "$work/site"
cat >"$work/site/sitecustomize.py" <<'PYTHON'
import sys

sys.meta_path[:] = [f for f in sys.meta_path if "ScikitBuildRedirecting" not in type(f).__name__]
PYTHON

for preset in "$@"; do
  echo "== $preset: build"
  build="$work/$preset"
  cmake --preset "$preset" -B "$build" -DPython_EXECUTABLE="$(command -v python)" \
    -Dpybind11_DIR="$(python -m pybind11 --cmakedir)" >"$work/$preset.configure.log" || {
    cat "$work/$preset.configure.log"
    exit 1
  }
  cmake --build "$build" >"$work/$preset.build.log" || {
    tail -n 50 "$work/$preset.build.log"
    exit 1
  }

  echo "== $preset: C++ tests"
  export ASAN_OPTIONS=detect_leaks=1 UBSAN_OPTIONS=print_stacktrace=1
  export TSAN_OPTIONS="halt_on_error=1 suppressions=$PWD/ci/tsan_suppressions.txt"
  ctest --test-dir "$build" --output-on-failure

  echo "== $preset: Python kernel tests"
  rm -rf "$work/site/mapsort"
  cp -r src/mapsort "$work/site/mapsort"
  cp "$build"/_core_baseline.*.so "$build"/_membership.*.so \
    "$build"/_processor.*.so "$work/site/mapsort"
  library=$(gcc -print-file-name="lib${preset%san}san.so")
  preload=$library
  chosen="not isa and not worker_threads"
  case $preset in
    asan) preload+=" $(gcc -print-file-name=libubsan.so)" ;;
    # The oracles' libraries use OpenMP, which this sanitiser cannot see into: only the tests that
    # run our kernels in several threads, which need no such oracle; and no limit of memory or fork,
    # which the sanitiser does not live through.
    tsan) chosen="thread and not worker_threads" ;;
  esac
  # The interpreter and its libraries leak on purpose. libstdc++ is there from the start so that
  # exceptions of the extension are seen.
  LD_PRELOAD="$preload $(gcc -print-file-name=libstdc++.so)" ASAN_OPTIONS=detect_leaks=0 \
    PYTHONPATH="$work/site" PYTHONMALLOC=malloc MAPSORT_ISA=baseline OPENBLAS_NUM_THREADS=1 \
    python -m pytest -q -p no:cacheprovider -p no:benchmark -p no:xdist --confcutdir=tests \
    -o faulthandler_timeout=0 -k "$chosen" tests/kernels
done
echo "sanitizers: clean"
