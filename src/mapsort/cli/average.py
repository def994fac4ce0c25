"""``mapsort average``: one stage of an iteration by hand."""

from __future__ import annotations

import argparse

from mapsort.cli.interruption import interruptible
from mapsort.cli.option_table import add_options, options_from
from mapsort.cli.output import say
from mapsort.cli.progress import progress_display
from mapsort.options.stages import AverageStageOptions
from mapsort.rundir.wording import counted

NAME = "average"
HELP = "average classes: projections, particles and a classification matrix"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `AverageStageOptions`."""
    add_options(parser, AverageStageOptions)


def run(args: argparse.Namespace) -> int:
    """Average, and name the files."""
    options = options_from(AverageStageOptions, args).validated()
    # After the options are known to be right: this loads the kernels.
    from mapsort.jobs.average import class_averages

    with progress_display(quiet=options.quiet) as shown, interruptible(shown) as progress:
        n, m = class_averages(options, progress=progress)
    say(f"{options.out}  {counted(n, 'particle')} in {counted(m, 'class average')}")
    if options.result is not None:
        say(f"{options.result}  who was averaged, and where")
    return 0
