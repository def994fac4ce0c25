#!/usr/bin/env bash
# clang-tidy for one kernel source: ci/tidy.sh FILE. Prints its findings only; .clang-tidy says which.
set -euo pipefail
found=$(clang-tidy --quiet "$1" -- -std=c++20 -Icpp/include -DMAPSORT_ISA=baseline \
  -fopenmp-simd 2>/dev/null) || { echo "$found"; exit 1; }
