#!/usr/bin/env bash
# Build this machine's wheel and the source distribution into dist/, and prove them:
#   ci/wheels.sh [DIRECTORY, default dist]
# The wheel is built from the unpacked source distribution, offline, twice: the bytes must be the
# same. It is repaired (auditwheel) and proved (ci/prove_wheel.sh). Needs Linux, Python with venv, a
# C++ compiler, and a package index.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
dist=$(mkdir -p "${1:-dist}" && cd "${1:-dist}" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Time stamps inside the archives: the last commit's, not today's.
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
export SOURCE_DATE_EPOCH

# A fixed mode and a fixed locale are part of "the same bytes" as well.
umask 022
export LC_ALL=C PIP_DISABLE_PIP_VERSION_CHECK=1

python3 -m venv "$work/tools"
tools=$work/tools/bin
needs=$("$tools/python" -c '
import tomllib
with open("pyproject.toml", "rb") as file:
    print(*tomllib.load(file)["build-system"]["requires"], sep="\n")
')
echo "$needs" | xargs "$tools/pip" install --quiet -r ci/wheel_tools.txt cmake ninja

echo "== source distribution"
# From a copy of what is under version control: what lies about in the tree stays out.
git ls-files -z | tar --create --null --files-from=- | (mkdir "$work/tree" && tar -x -C "$work/tree")
PATH=$tools:$PATH "$tools/python" -m build --no-isolation --sdist --outdir "$work" "$work/tree" >/dev/null
sdist=$(ls "$work"/mapsort-*.tar.gz)

build() { # build DIRECTORY: a wheel from the source distribution, without the network
  mkdir "$1"
  tar -x -z -f "$sdist" -C "$1" --strip-components=1
  (
    cd "$1"
    PATH=$tools:$PATH PIP_NO_INDEX=1 PIP_CONFIG_FILE=/dev/null "$tools/python" -m build \
      --no-isolation --wheel --outdir "$1/made" >"$1/build.log" || { cat "$1/build.log"; exit 1; }
    PATH=$tools:$PATH "$tools/auditwheel" repair --wheel-dir "$1/repaired" "$1"/made/*.whl >>"$1/build.log" 2>&1 || { cat "$1/build.log"; exit 1; }
  )
}

echo "== wheel, offline, twice"
build "$work/first"
build "$work/second-elsewhere"
wheel=$(ls "$work"/first/repaired/*.whl)
cmp "$wheel" "$work/second-elsewhere/repaired/$(basename "$wheel")"
echo "the same bytes: $(sha256sum "$wheel" | cut -c1-16) $(basename "$wheel")"

ci/prove_wheel.sh "$wheel" "$sdist"

cp "$wheel" "$sdist" "$dist/"
ls -l "$dist"
