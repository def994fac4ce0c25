#!/usr/bin/env bash
# Run the README's test command, verbatim, in a fresh copy of the tree: ci/test.sh EMPTY_DIRECTORY
# The copy, with the virtual environment that the command makes in it, stays for ci/lint.sh.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
copy=$1

# Reference material beside the checkout is not beside the copy.
if [[ -z "${MAPSORT_SHARED:-}" && -d ../shared ]]; then
  MAPSORT_SHARED=$(cd ../shared && pwd)
  export MAPSORT_SHARED
fi

git ls-files -z --cached --others --exclude-standard --deduplicate |
  tar --create --null --ignore-failed-read --files-from=- |
  tar --extract --directory="$copy"

command=$(ci/readme_block.sh 2)
[[ -n "$command" ]] || { echo "README.md: no second bash block under '## Quick start'" >&2; exit 1; }

cd "$copy"
# Test processes share the cores: threads that wait must not spin.
export OMP_WAIT_POLICY=passive
export SKBUILD_CMAKE_DEFINE=MAPSORT_WARNINGS_AS_ERRORS=ON
bash -euo pipefail -c "$command"
