#!/usr/bin/env bash
# Print the N-th bash block of the README's "Quick start", exactly as it stands there.
set -euo pipefail
awk -v wanted="$1" '
  /^## / { inside = ($0 == "## Quick start") }
  inside && /^```bash$/ { count++; printing = (count == wanted); next }
  /^```$/ { printing = 0 }
  printing
' "$(dirname "${BASH_SOURCE[0]}")/../README.md"
