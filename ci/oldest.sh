#!/usr/bin/env bash
# Build and test with the oldest versions that pyproject.toml allows: ci/oldest.sh [pytest arguments]
# Needs Python 3.11, the oldest. OLDEST_ENV names an environment to keep.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
environment=${OLDEST_ENV:-$work/environment}
export PIP_DISABLE_PIP_VERSION_CHECK=1 OMP_WAIT_POLICY=passive

# "numpy>=2.0" allows, at the least, the last release of the series 2.0.
python3.11 - "$work" <<'PYTHON'
import pathlib, sys, tomllib
with open("pyproject.toml", "rb") as file:
    tables = tomllib.load(file)
project = tables["project"]
needs = {
    "build": tables["build-system"]["requires"],
    "run": project["dependencies"] + project["optional-dependencies"]["test"],
}
for name, lines in needs.items():
    oldest = [line.replace(">=", "==") + ".*" for line in lines]
    (pathlib.Path(sys.argv[1]) / f"{name}.txt").write_text("\n".join(oldest) + "\n")
PYTHON

python3.11 -m venv "$environment"
# shellcheck disable=SC1091
. "$environment/bin/activate"
pip install --quiet ninja cmake -r "$work/build.txt" -r "$work/run.txt"
pip install --quiet --no-build-isolation --no-deps . \
  --config-settings=build-dir="$work/build" --config-settings=cmake.define.MAPSORT_ALL_ISA=OFF
pip check
pip freeze | grep -i -f <(sed 's/==.*/==/' "$work/run.txt")
# Old releases use what newer ones of their own dependencies have deprecated.
pytest -q -p no:cacheprovider -n "$(nproc)" -W ignore::DeprecationWarning "$@"
