"""``mapsort project``: projections of maps."""

from __future__ import annotations

import argparse

from mapsort.cli.interruption import interruptible
from mapsort.cli.option_table import add_options, options_from
from mapsort.cli.output import say
from mapsort.cli.progress import progress_display
from mapsort.options.project import ProjectOptions

NAME = "project"
HELP = "project maps along the directions of a generator or of a .star file"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `ProjectOptions`, and the display's."""
    add_options(parser, ProjectOptions)
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress display")


def run(args: argparse.Namespace) -> int:
    """Project, and name the files."""
    options = options_from(ProjectOptions, args).validated()
    # After the options are known to be right: this loads the kernels.
    from mapsort.jobs.project import project_maps

    with progress_display(quiet=args.quiet) as shown, interruptible(shown) as progress:
        made = project_maps(options, progress=progress)
    say(f"{made.images}  {made.count} projections")
    if made.table is not None:
        say(f"{made.table}  their orientations")
    return 0
