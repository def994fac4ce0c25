#!/usr/bin/env bash
# What the tests run of Python and of the C++ kernels:
#   ci/coverage.sh DIRECTORY [python|kernels|all, default all] [pytest arguments]
# Reports go to DIRECTORY. Fails below 92 % of Python's and 90 % of the kernels' lines; with pytest
# arguments, that is of some tests only, it just reports. Needs gcc with gcov.
# Two passes, because counting makes kernels many times slower and Python's lines do not need it:
# all tests with the kernels as users have them, then the tests next to the kernels, with kernels
# built for counting.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
reports=$(mkdir -p "$1" && cd "$1" && pwd)
what=all
case ${2:-} in
  python | kernels | all) what=$2; shift ;;
esac
shift
least_python=92 least_kernels=90
(($# == 0)) || least_python=0 least_kernels=0
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
if [[ -z "${MAPSORT_SHARED:-}" && -d ../shared ]]; then
  MAPSORT_SHARED=$(cd ../shared && pwd)
  export MAPSORT_SHARED
fi
export PIP_DISABLE_PIP_VERSION_CHECK=1
# Test processes share the cores: threads that wait must not spin.
export OMP_WAIT_POLICY=passive

install() { # install NAME [pip arguments]: mapsort in an environment of its own
  python3 -m venv "$work/$1"
  "$work/$1/bin/pip" install --quiet ".[coverage]" --config-settings=build-dir="$work/$1.build" "${@:2}"
}

# Away from the source tree: the installed package is what is counted.
tested() { # tested NAME [pytest arguments]
  PATH=$work/$1/bin:$PATH "$work/$1/bin/pytest" -q -p no:cacheprovider -n "$(nproc)" --rootdir=. "${@:2}"
}

python_lines() {
  install plain
  export COVERAGE_FILE=$work/coverage
  tested plain --cov=mapsort --cov-report= "$@"
  local coverage=$work/plain/bin/coverage
  "$coverage" html --quiet --directory "$reports/python"
  "$coverage" report --sort=cover | tee "$reports/python.txt"
  "$coverage" report --fail-under="$least_python" >/dev/null ||
    { echo "Python: less than $least_python % of the lines are tested" >&2; return 1; }
}

kernel_lines() {
  install counted --config-settings=cmake.define.MAPSORT_COVERAGE=ON \
    --config-settings=cmake.define.MAPSORT_ALL_ISA=OFF
  (($# > 0)) || set -- tests/kernels tests/modules/test_projector.py
  # Threads that count into the same places wait for each other; tests of threads make their own.
  OMP_NUM_THREADS=1 tested counted "$@"
  "$work/counted/bin/gcovr" --root . --object-directory "$work/counted.build" \
    --filter cpp/src --filter cpp/include --gcov-ignore-parse-errors=all --merge-lines \
    --html-details "$reports/kernels.html" --txt "$reports/kernels.txt" \
    --fail-under-line "$least_kernels" "$work/counted.build" || {
    cat "$reports/kernels.txt"
    echo "kernels: less than $least_kernels % of the lines are tested" >&2
    return 1
  }
  cat "$reports/kernels.txt"
}

[[ $what == kernels ]] || python_lines "$@"
[[ $what == python ]] || kernel_lines "$@"
