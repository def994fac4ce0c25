#!/usr/bin/env bash
# Do the tests notice small faults? ci/mutation.sh ROOM [N, default 60] [SEED, default 1]
# ROOM is geometry, io or stages. cosmic-ray puts N faults, drawn at random from all it knows for the
# room, into an installed copy of mapsort, one at a time, and the room's tests run until one fails.
# Ends with the share of faults that were noticed; fails below 80 %. A fault that is noticed takes
# seconds, one that is not takes all of the room's tests.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
room=$1
n=${2:-60}
seed=${3:-1}
[[ -d src/mapsort/$room && -d tests/$room ]] || { echo "no room $room with tests" >&2; exit 2; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
if [[ -z "${MAPSORT_SHARED:-}" && -d ../shared ]]; then
  MAPSORT_SHARED=$(cd ../shared && pwd)
  export MAPSORT_SHARED
fi

# A copy in which things may be broken; MAPSORT_WHEEL names a wheel of this tree, if there is one.
python3 -m venv "$work/venv"
export PATH=$work/venv/bin:$PATH PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONDONTWRITEBYTECODE=1
pip install --quiet "${MAPSORT_WHEEL:-.}[test]" cosmic-ray==8.7.0
installed=$(cd "$work" && python -c 'import mapsort, pathlib; print(pathlib.Path(mapsort.__file__).parent)')
cp -r tests pyproject.toml "$work/"
cd "$work"

cat >mutation.toml <<TOML
[cosmic-ray]
module-path = "$installed/$room"
timeout = 120.0
excluded-modules = []
test-command = "ci/mutation_run.py runs them"
[cosmic-ray.distributor]
name = "local"
TOML
cosmic-ray init mutation.toml session.sqlite
python "$OLDPWD/ci/mutation_sample.py" session.sqlite "$n" "$seed"
python "$OLDPWD/ci/mutation_run.py" session.sqlite "tests/$room"
cr-report session.sqlite | grep -B3 -A18 SURVIVED || true
cr-rate --fail-over 20 session.sqlite
