"""``mapsort build-info``: how this installation was compiled and what it runs on."""

from __future__ import annotations

import argparse
import json

from mapsort.cli.output import say

NAME = "build-info"
HELP = "tell how this installation was compiled and which instruction set it uses"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the output format."""
    parser.add_argument("--json", action="store_true", help="one JSON object")


def run(args: argparse.Namespace) -> int:
    """Print the build's record: one line for each item."""
    # Here and not above: it loads the kernels.
    from mapsort.jobs.build_info import build_config

    config = build_config()
    if args.json:
        say(json.dumps(config, indent=2))
        return 0
    for name, value in config.items():
        text = " ".join(map(str, value)) if isinstance(value, list) else str(value)
        say(f"{name}\t{text}")
    return 0
