#!/usr/bin/env bash
# Style, types and spelling, with the tools that the "dev" extra of pyproject.toml pins.
# Expects an active environment in which mapsort's dependencies are installed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# The extra without mapsort itself, which is installed already: no second build.
python -c '
import tomllib
with open("pyproject.toml", "rb") as file:
    extras = tomllib.load(file)["project"]["optional-dependencies"]
print(*(need for need in extras["dev"] if not need.startswith("mapsort")), sep="\n")
' | xargs pip install --quiet

ruff check .
ruff format --check .
mypy
# Stubs of compiled modules; tests/kernels/test_stub.py compares the signatures that this cannot read.
stubtest --allowlist ci/stubtest_allowed.txt mapsort._core mapsort._membership mapsort._processor
validate-pyproject pyproject.toml >/dev/null
# The import directions of the rooms; tests/test_architecture.py holds them, too.
lint-imports --no-cache >"$work/imports.log" || { cat "$work/imports.log"; exit 1; }
find src -name '*.py' -print0 | xargs -0 python -m numpydoc lint
find src -name '*.pyx' -print0 | xargs -0 --no-run-if-empty cython-lint
find cpp \( -name '*.cpp' -o -name '*.hpp' -o -name '*.h' \) -print0 |
  xargs -0 --no-run-if-empty clang-format --dry-run --Werror
# The original's 0_refine_parms.json, an in-and-out argument, the journal Magn. Reson. Med.
# The kernels as a compiler other than the wheels' sees them: clang reads all of them on the way.
find cpp/src -name '*.cpp' -print0 |
  xargs -0 --max-args=1 --max-procs="$(nproc)" ci/tidy.sh
codespell --ignore-words-list=parms,inout,reson,lod,autofilt src cpp tests ci docs/*.md docs/*/*.md ./*.md
echo "lint: clean"
