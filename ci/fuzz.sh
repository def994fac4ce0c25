#!/usr/bin/env bash
# Fuzz every file reader with atheris: ci/fuzz.sh [SECONDS per reader, default 1800]
# Expects an active environment with mapsort and atheris. Inputs that reach new code are kept in
# tests/fuzz/corpus/READER; one that breaks a reader is left beside it as crash-*, and ends the run.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
seconds=${1:-1800}

for reader in mrc star cs hdf lst; do
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  mkdir -p "tests/fuzz/corpus/$reader" "$work/new"
  python tests/fuzz/fuzz_readers.py seeds "$work/seeds"
  echo "$reader: $seconds s"
  python tests/fuzz/fuzz_readers.py atheris "$reader" "$work/new" "$work/seeds/$reader" \
    "tests/fuzz/corpus/$reader" -max_total_time="$seconds" -max_len=65536 -timeout=20 \
    -rss_limit_mb=3000 -print_final_stats=1 -verbosity=0 \
    -artifact_prefix="$PWD/tests/fuzz/corpus/$reader/crash-"
  # Only what adds coverage to what is kept, and stays small.
  python tests/fuzz/fuzz_readers.py atheris "$reader" -merge=1 -verbosity=0 -max_len=16384 \
    "tests/fuzz/corpus/$reader" "$work/new" || true
done
