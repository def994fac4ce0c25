"""``mapsort followup``: everything after a run, in one go."""

from __future__ import annotations

import argparse

from mapsort.cli.interruption import interruptible
from mapsort.cli.option_table import add_options, options_from
from mapsort.cli.output import say
from mapsort.cli.progress import progress_display
from mapsort.options.after_run import FollowupOptions
from mapsort.rundir.wording import counted

NAME = "followup"
HELP = "after a run: split, refine each set alone, measure, cross-validate, report"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `FollowupOptions`."""
    add_options(parser, FollowupOptions)


def run(args: argparse.Namespace) -> int:
    """Do it all; say each set's resolution before and after, and the verdict."""
    options = options_from(FollowupOptions, args).validated()
    # After the options are known to be right: this loads the kernels.
    from mapsort.jobs.followup import followup_run
    from mapsort.report.page import write_report

    with progress_display(quiet=options.quiet) as shown, interruptible(shown) as progress:
        made = followup_run(options, progress=progress)
    for item in made.split.sets:
        say(f"{item.star or item.name}  {counted(len(item), 'particle')}")
    for number, found in made.refined.items():
        say(
            f"{found.path}  set {number}: {found.resolution_ang:.2f} A at FSC 0.143 of independent "
            f"half maps; in the run {made.multi_resolution_ang[number]:.2f} A of halves that "
            "share references"
        )
    if made.crossval is not None:
        for pair in made.crossval.pairs:
            say(pair.words)
        say(f"{made.crossval.path / 'crossval.txt'}  verdict: {made.crossval.verdict}")
    say(str(write_report(made.path)))
    return 0
