#!/usr/bin/env bash
# Whether this tree writes what another revision writes, byte for byte: ci/same_outputs.sh REVISION
# Both are built into environments of their own; a dozen small runs of each are compared (ci/outputs.py).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
work=$(mktemp -d)
trap 'git worktree remove --force "$work/tree" 2>/dev/null || true; rm -rf "$work"' EXIT
export OMP_WAIT_POLICY=passive

git worktree add --quiet --detach "$work/tree" "$1"
for name in old new; do
  tree=.
  [[ $name == old ]] && tree=$work/tree
  python3 -m venv "$work/$name"
  "$work/$name/bin/pip" install --quiet "$tree[dask]" --config-settings=build-dir="$work/$name.build"
  PATH=$work/$name/bin:$PATH "$work/$name/bin/python" ci/outputs.py "$work/$name.runs" "$work/$name.json" \
    >"$work/$name.log" 2>&1 || { tail "$work/$name.log"; exit 1; }
done
python3 ci/outputs.py --compare "$work/old.json" "$work/new.json"
