"""``mapsort report``: build the HTML report of a run."""

from __future__ import annotations

import argparse
from pathlib import Path

from mapsort.cli.output import say
from mapsort.errors import ConfigError

NAME = "report"
HELP = "build the HTML report of a run from its directory"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the run directories."""
    parser.add_argument("runs", nargs="*", metavar="RUN", help="run directory (multi_XX)")


def run(args: argparse.Namespace) -> int:
    """Write the report of each run, and name it."""
    if not args.runs:
        raise ConfigError("RUN is missing; name a run directory, for example multi_00")
    # After the request is known to be right: this loads the plotting library.
    from mapsort.report.page import write_report

    for run_directory in args.runs:
        say(str(write_report(Path(run_directory))))
    return 0
