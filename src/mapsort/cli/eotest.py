"""``mapsort eotest``: even/odd resolution of every map of a finished run."""

from __future__ import annotations

import argparse

from mapsort.cli.interruption import interruptible
from mapsort.cli.option_table import add_options, options_from
from mapsort.cli.output import say
from mapsort.cli.progress import progress_display
from mapsort.options.after_run import EotestOptions

NAME = "eotest"
HELP = "even/odd resolution test of every map of a finished run"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `EotestOptions`."""
    add_options(parser, EotestOptions)


def run(args: argparse.Namespace) -> int:
    """Test, and say each map's resolution and where its curve is."""
    options = options_from(EotestOptions, args).validated()
    # After the options are known to be right: this loads the kernels.
    from mapsort.cli.live_report import refresh_report
    from mapsort.jobs.eotest import eotest_run

    with progress_display(quiet=options.quiet) as shown, interruptible(shown) as progress:
        made = eotest_run(options, progress=progress)
    for item in made.maps:
        say(
            f"{item.curve_file}  map {item.number}: {item.n_even} even and {item.n_odd} odd "
            f"particles used for it, {item.resolution_0143_ang:.2f} A at FSC 0.143, "
            f"{item.resolution_05_ang:.2f} A at 0.5"
        )
    for number in made.without_halves:
        say(f"map {number}: no particles in one of the halves")
    refresh_report(options.run[0])
    return 0
