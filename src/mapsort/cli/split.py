"""``mapsort split``: the particles of a finished run as sets."""

from __future__ import annotations

import argparse

from mapsort.cli.option_table import add_options, options_from
from mapsort.cli.output import say
from mapsort.options.after_run import SplitOptions
from mapsort.rundir.wording import counted

NAME = "split"
HELP = "particles of a finished run as one set per map (.star, .lst)"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `SplitOptions`."""
    add_options(parser, SplitOptions)


def run(args: argparse.Namespace) -> int:
    """Write the sets; name them, their sizes and the rule."""
    options = options_from(SplitOptions, args).validated()
    # After the options are known to be right: this loads the kernels.
    from mapsort.cli.live_report import refresh_report
    from mapsort.jobs.split import split_run

    made = split_run(options)
    for item in made.sets:
        say(f"{item.star or item.name}  {counted(len(item), 'particle')}")
    say(f"all sets together: {made.n_particles:,} particles, all of iteration {made.iteration}")
    say(f"rule: {made.rule}")
    refresh_report(options.run[0])
    return 0
