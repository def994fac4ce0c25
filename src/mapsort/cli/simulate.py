"""``mapsort simulate``: realistic particles with known truth."""

from __future__ import annotations

import argparse

from mapsort.cli.interruption import interruptible
from mapsort.cli.option_table import add_options, options_from
from mapsort.cli.output import say
from mapsort.cli.progress import progress_display
from mapsort.options.simulate import SimulateOptions
from mapsort.rundir.wording import counted

NAME = "simulate"
HELP = "make realistic particles with known truth from maps or a built-in phantom"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `SimulateOptions`, and the display's."""
    add_options(parser, SimulateOptions)
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress display")


def run(args: argparse.Namespace) -> int:
    """Simulate, and name the files."""
    options = options_from(SimulateOptions, args).validated()
    # After the options are known to be right: this loads the kernels.
    from mapsort.jobs.simulate import simulate

    with progress_display(quiet=args.quiet) as shown, interruptible(shown) as progress:
        made = simulate(options, progress=progress)
    say(f"{made.particles}  {counted(options.n, 'particle')}")
    say(f"{made.truth}  the same with class, pose and shift")
    for path in made.maps:
        say(f"{path}  true map")
    for path in made.seeds:
        say(f"{path}  low-passed map to start from")
    return 0
