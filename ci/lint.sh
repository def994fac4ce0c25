#!/usr/bin/env bash
# Style, types and spelling, with the tools that the "dev" extra of pyproject.toml pins.
# Expects an active environment in which mapsort's dependencies are installed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

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
find src -name '*.pyx' -print0 | xargs -0 --no-run-if-empty cython-lint
find cpp \( -name '*.cpp' -o -name '*.hpp' -o -name '*.h' \) -print0 |
  xargs -0 --no-run-if-empty clang-format --dry-run --Werror
# The original's 0_refine_parms.json, an in-and-out argument, the journal Magn. Reson. Med.
codespell --ignore-words-list=parms,inout,reson,lod,autofilt src cpp tests ci ./*.md
# The import directions of the rooms are held by tests/test_architecture.py.
echo "lint: clean"
