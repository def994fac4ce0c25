#!/usr/bin/env bash
# Open what is written for other programs with these programs: ci/interop.sh [pytest arguments]
# Needs RELION's programs (Debian, Ubuntu: apt-get install relion). INTEROP_ENV names an environment
# to use as it is; otherwise one is made with the extra "interop".
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

command -v relion_star_handler >/dev/null || { echo "RELION is not installed" >&2; exit 1; }
if [[ -n "${INTEROP_ENV:-}" ]]; then
  # shellcheck disable=SC1091
  . "$INTEROP_ENV/bin/activate"
else
  python3 -m venv "$work/environment"
  # shellcheck disable=SC1091
  . "$work/environment/bin/activate"
  pip install --quiet ".[interop]"
fi
pytest -q -p no:cacheprovider -m interop tests/interop "$@"
