#!/usr/bin/env bash
# Before anything is published: ci/release_check.sh DIRECTORY TAG
# The tag is the version, the changelog tells of it, and the files are good and of this version.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
dist=$1
version=${2#v}
grep -q "__version__ = \"$version\"" src/mapsort/_version.py ||
  { echo "the tag is $2, src/mapsort/_version.py says otherwise" >&2; exit 1; }
grep -q "^## \[$version\]" CHANGELOG.md ||
  { echo "CHANGELOG.md has no section [$version]" >&2; exit 1; }
for file in "$dist"/*; do
  [[ $(basename "$file") == mapsort-"$version"[-.]* ]] ||
    { echo "$file is not of version $version" >&2; exit 1; }
done
python3 -m pip install --quiet twine==7.0.0
python3 -m twine check --strict "$dist"/*
