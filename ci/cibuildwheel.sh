#!/usr/bin/env bash
# All wheels of this machine's system and processor, by cibuildwheel: ci/cibuildwheel.sh DIRECTORY
# What is built and how it is tested stands in pyproject.toml. Needs Docker on Linux.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
export SOURCE_DATE_EPOCH
python3 -m pip install --quiet cibuildwheel==4.3.5
python3 -m cibuildwheel --output-dir "$1"
for wheel in "$1"/*.whl; do
  python3 ci/wheel_contents.py "$wheel"
done
