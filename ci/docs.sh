#!/usr/bin/env bash
# Build the documentation into a directory, warnings being errors: ci/docs.sh DIRECTORY [--check-links]
# The tutorial is executed, the command reference written from the parsers. Without an environment in
# which mapsort is installed with its "docs" extra, one is made.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
site=$(mkdir -p "$1" && cd "$1" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

if ! python3 -c 'import mapsort, sphinx, myst_nb, numpydoc, furo' 2>/dev/null; then
  python3 -m venv "$work/venv"
  PATH=$work/venv/bin:$PATH
  pip install --quiet ".[docs]"
fi

# The page is executed anew: what is shown is what this very program does.
python3 docs/execute_tutorial.py docs/tutorial.md docs/tutorial_data
read -r seconds rest <docs/tutorial_data/seconds.txt
echo "tutorial: $seconds $rest"
((seconds < 300)) || { echo "the tutorial takes more than five minutes" >&2; exit 1; }

python3 -m sphinx -n -W --keep-going -q -b html -d "$work/doctrees" docs "$work/html"
# Not built in place: the notebook's outputs are left beside the pages.
cp -r "$work/html/." "$site"
if [[ ${2:-} == --check-links ]]; then
  python3 -m sphinx -n -W --keep-going -q -b linkcheck -d "$work/doctrees" docs "$work/links"
fi
echo "docs: clean, $(find "$site" -name '*.html' | wc -l) pages in $site"
