#!/usr/bin/env bash
# A pinned LLVM OpenMP run time from conda-forge, built for an old macOS: ci/macos_openmp.sh PREFIX
# Homebrew's is built for the system it stands on, and would ask for that system of every user.
set -euo pipefail
prefix=$1
case "$(uname -m)" in
  arm64) platform=osx-arm64 ;;
  x86_64) platform=osx-64 ;;
  *) echo "no OpenMP run time for $(uname -m)" >&2; exit 1 ;;
esac
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
curl -fsSL "https://micro.mamba.pm/api/micromamba/$platform/2.0.5" | tar -xj -C "$work" bin/micromamba
"$work/bin/micromamba" create --yes --quiet --root-prefix "$work/root" --prefix "$prefix" \
  --channel conda-forge --override-channels "llvm-openmp=19.1.7"
