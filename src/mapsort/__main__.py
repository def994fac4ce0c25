"""``python -m mapsort``: the same as the console script."""

from __future__ import annotations

import sys

from mapsort.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
