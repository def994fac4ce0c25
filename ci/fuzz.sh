#!/usr/bin/env bash
# Fuzz file readers with atheris: ci/fuzz.sh [SECONDS per reader, default 1800] [READER...]
# READER: mrc, star, cs, hdf, lst; all by default. Expects an active environment with mapsort and
# atheris. Inputs that reach new code are kept in tests/fuzz/corpus/READER; one that breaks a reader
# is left beside it as crash-*, and ends the run.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
seconds=${1:-1800}
readers=("${@:2}")
((${#readers[@]})) || readers=(mrc star cs hdf lst)
# Code instrumented by atheris 3.0 never frees the result of a comparison, and one of tables is a
# table: 7 kB for every STAR file read. So the process is made anew now and then, and goes on with
# what the last one found; a reader that really keeps memory still reaches the limit in a slice.
slice=300

for reader in "${readers[@]}"; do
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  mkdir -p "tests/fuzz/corpus/$reader" "$work/new"
  python tests/fuzz/fuzz_readers.py seeds "$work/seeds"
  echo "$reader: $seconds s"
  for ((left = seconds; left > 0; left -= slice)); do
    python tests/fuzz/fuzz_readers.py atheris "$reader" "$work/new" "$work/seeds/$reader" \
      "tests/fuzz/corpus/$reader" -max_total_time=$((left < slice ? left : slice)) -max_len=65536 \
      -timeout=20 -rss_limit_mb=2000 -report_slow_units=20 -print_final_stats=1 -verbosity=0 \
      -artifact_prefix="$PWD/tests/fuzz/corpus/$reader/crash-"
  done
  # Only what adds coverage to what is kept, and stays small.
  python tests/fuzz/fuzz_readers.py atheris "$reader" -merge=1 -verbosity=0 -max_len=16384 \
    "tests/fuzz/corpus/$reader" "$work/new"
  rm -rf "$work"
done
