"""``mapsort reconstruct``: one map from particles with poses, or from class averages."""

from __future__ import annotations

import argparse

from mapsort.cli.interruption import interruptible
from mapsort.cli.option_table import add_options, options_from
from mapsort.cli.output import say
from mapsort.cli.progress import progress_display
from mapsort.options.reconstruct import ReconstructOptions
from mapsort.rundir.wording import counted

NAME = "reconstruct"
HELP = "reconstruct a map from particles with poses, or from a run's class averages"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `ReconstructOptions`, and the display's."""
    add_options(parser, ReconstructOptions)
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress display")


def run(args: argparse.Namespace) -> int:
    """Reconstruct, and name the files."""
    options = options_from(ReconstructOptions, args).validated()
    # After the options are known to be right: this loads the kernels.
    from mapsort.jobs.reconstruct import reconstruct_map

    with progress_display(quiet=args.quiet) as shown, interruptible(shown) as progress:
        made = reconstruct_map(options, progress=progress)
    say(f"{made.path}  map of {counted(made.n_slices, 'image')}")
    for number, path in enumerate(made.half_paths, start=1):
        say(f"{path}  map of half {number}")
    if made.fsc_path is not None:
        say(f"{made.fsc_path}  FSC of the halves: 0.143 at {made.resolution_ang:.2f} A")
    return 0
