#!/usr/bin/env bash
# Prove a repaired wheel and its source distribution: ci/prove_wheel.sh WHEEL SDIST
# Their contents are checked; the wheel is installed in a clean environment whose PATH holds no
# compiler (nor anything else), used and tested there, and what it needs is audited for known
# vulnerabilities (MAPSORT_AUDIT=0 leaves that out where the vulnerability database is out of reach).
set -euo pipefail
wheel=$(realpath "$1")
sdist=$(realpath "$2")
cd "$(dirname "${BASH_SOURCE[0]}")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export PIP_DISABLE_PIP_VERSION_CHECK=1

python3 -m venv "$work/tools"
tools=$work/tools/bin
"$tools/pip" install --quiet -r ci/wheel_tools.txt

echo "== contents"
"$tools/twine" check --strict "$wheel" "$sdist"
# W009, W010: the libraries that auditwheel adds are a directory of their own, without modules.
"$tools/check-wheel-contents" --ignore W009,W010 "$wheel"
"$tools/python" ci/wheel_contents.py "$wheel"

echo "== clean environment, no compiler"
python3 -m venv "$work/clean"
"$work/clean/bin/pip" install --quiet "$wheel"
clean() { # clean COMMAND...: with nothing else on PATH
  (cd "$work" && env -i HOME="$work" TMPDIR="$work" PATH="$work/clean/bin" "$@")
}
clean mapsort build-info
clean mapsort doctor
clean mapsort demo --n 600 --path "$work/demo" --quiet
for isa in $(clean python -c 'from mapsort import _core; print(*_core.available_isas())'); do
  [[ $(MAPSORT_ISA=$isa "$work/clean/bin/mapsort" build-info --json) == *"\"isa_active\": \"$isa\""* ]]
done
# Instruction sets against each other, by the tests of the repository and the wheel's kernels.
"$work/clean/bin/pip" install --quiet pytest hypothesis
mkdir -p "$work/tests/kernels"
cp tests/kernels/test_isa.py "$work/tests/kernels/"
cp tests/test_installed.py "$work/tests/"
clean python -m pytest -q -p no:cacheprovider "$work/tests"

if [[ ${MAPSORT_AUDIT:-1} == 1 ]]; then
  echo "== known vulnerabilities of what the wheel needs"
  "$work/clean/bin/pip" freeze --exclude mapsort --exclude pytest --exclude hypothesis >"$work/needs.txt"
  sed -i '/^mapsort/d' "$work/needs.txt"
  "$tools/pip-audit" --strict --progress-spinner off --disable-pip --no-deps -r "$work/needs.txt"
fi

