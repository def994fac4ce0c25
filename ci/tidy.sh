#!/usr/bin/env bash
# clang-tidy for one kernel source: ci/tidy.sh FILE. Prints its findings only; .clang-tidy says which.
set -euo pipefail
# Without OpenMP: its header is the compiler's, and clang-tidy comes without one.
found=$(clang-tidy --quiet "$1" -- -std=c++20 -Icpp/include -DMAPSORT_ISA=baseline \
  -DMAPSORT_STD_THREADS -Wno-unknown-pragmas 2>/dev/null) || { echo "$found"; exit 1; }
