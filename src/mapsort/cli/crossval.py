"""``mapsort crossval``: whether a run's split is real."""

from __future__ import annotations

import argparse

from mapsort.cli.interruption import interruptible
from mapsort.cli.option_table import add_options, options_from
from mapsort.cli.output import say
from mapsort.cli.progress import progress_display
from mapsort.options.after_run import CrossvalOptions

NAME = "crossval"
HELP = "refine each set from each other set's map, judge by unseen particles: is the split real?"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `CrossvalOptions`."""
    add_options(parser, CrossvalOptions)


def run(args: argparse.Namespace) -> int:
    """Cross-validate, and say the verdict on every two maps and on the run."""
    options = options_from(CrossvalOptions, args).validated()
    # After the options are known to be right: this loads the kernels.
    from mapsort.cli.live_report import refresh_report
    from mapsort.jobs.crossval.job import crossval_run

    with progress_display(quiet=options.quiet) as shown, interruptible(shown) as progress:
        made = crossval_run(options, progress=progress)
    for pair in made.pairs:
        say(pair.words)
    say(f"{made.path / 'crossval.txt'}  verdict: {made.verdict}")
    refresh_report(options.run[0])
    return 0
