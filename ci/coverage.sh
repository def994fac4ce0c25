#!/usr/bin/env bash
# What the tests run of Python and of the C++ kernels: ci/coverage.sh DIRECTORY [pytest arguments]
# Reports go to DIRECTORY. Fails below 92 % of Python's and 90 % of the kernels' lines; with pytest
# arguments, that is of some tests only, it just reports. Needs gcc with gcov. The kernels are built
# for one instruction set without optimisation: an hour on two cores.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
reports=$(mkdir -p "$1" && cd "$1" && pwd)
shift
least_python=92 least_kernels=90
(($# == 0)) || least_python=0 least_kernels=0
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
if [[ -z "${MAPSORT_SHARED:-}" && -d ../shared ]]; then
  MAPSORT_SHARED=$(cd ../shared && pwd)
  export MAPSORT_SHARED
fi

python3 -m venv "$work/venv"
export PATH=$work/venv/bin:$PATH PIP_DISABLE_PIP_VERSION_CHECK=1
pip install --quiet ".[coverage]" --config-settings=build-dir="$work/build" \
  --config-settings=cmake.define.MAPSORT_COVERAGE=ON --config-settings=cmake.define.MAPSORT_ALL_ISA=OFF

export COVERAGE_FILE=$work/coverage
# Away from the source tree: the installed package is what is counted.
pytest -q -p no:cacheprovider -n "$(nproc)" --rootdir=. --cov=mapsort --cov-report= "$@"
coverage html --quiet --directory "$reports/python"
coverage report --sort=cover | tee "$reports/python.txt"

gcovr --root . --object-directory "$work/build" --filter cpp/src --filter cpp/include \
  --exclude-throw-branches --exclude-unreachable-branches --gcov-ignore-parse-errors=all \
  --html-details "$reports/kernels.html" --txt "$reports/kernels.txt" "$work/build"
cat "$reports/kernels.txt"

coverage report --fail-under="$least_python" >/dev/null ||
  { echo "Python: less than $least_python % of the lines are tested" >&2; exit 1; }
gcovr --root . --object-directory "$work/build" --filter cpp/src --filter cpp/include \
  --gcov-ignore-parse-errors=all --fail-under-line "$least_kernels" "$work/build" >/dev/null ||
  { echo "kernels: less than $least_kernels % of the lines are tested" >&2; exit 1; }
