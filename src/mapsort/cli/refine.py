"""``mapsort refine``: single-map refinement by independent half-sets."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from mapsort.cli.interruption import interruptible
from mapsort.cli.multi import report_watcher
from mapsort.cli.option_table import add_options, given_values, options_from
from mapsort.cli.output import say
from mapsort.cli.progress import check_display, progress_display
from mapsort.options.refine import RefineOptions

if TYPE_CHECKING:
    from mapsort.jobs.refine_result import RefinedMap

NAME = "refine"
HELP = "refine one map by half-sets that are kept apart from the start"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `RefineOptions`."""
    add_options(parser, RefineOptions)


def run(args: argparse.Namespace) -> int:
    """Check the request, refine, and say where the results are."""
    if args.resume is None:
        return _carried_out(options_from(RefineOptions, args).validated())
    from mapsort.jobs.refine_resume import resumed_options
    from mapsort.jobs.run_place import at_home

    given = given_values(RefineOptions, args)
    with at_home(given["resume"]) as resume:
        return _carried_out(resumed_options(given | {"resume": resume}))


def _carried_out(options: RefineOptions) -> int:
    # After the options are known to be right: this loads the kernels.
    from mapsort.jobs.refine import refine_plan_text, refine_run

    if options.check:
        with check_display(quiet=options.quiet) as shown:
            text = refine_plan_text(options, progress=shown)
        say(text)
        return 0
    with progress_display(quiet=options.quiet) as shown, interruptible(shown) as progress:
        finished = refine_run(
            options, progress=progress, watcher=report_watcher(no_report=options.no_report)
        )
    for line in summary(finished):
        say(line)
    return 0


def summary(finished: RefinedMap) -> list[str]:
    """Return the closing lines: maps, resolution, particle table."""
    from mapsort.rundir.layout import RunDirectory

    directory = RunDirectory(finished.path)
    last = int(finished.convergence[-1]["iteration"])
    return [
        f"{directory.maps(last, 1)}  {finished.resolution_ang:.2f} A at FSC 0.143 of independent "
        "half maps",
        f"{directory.threed_filt(last, 1)}  the same, sharpened",
        f"{directory.threed_even(last, 1)}  {directory.threed_odd(last, 1)}  half maps, unfiltered",
        f"{directory.fsc_eo(last, 1)}  FSC: corrected, masked, unmasked, random phases",
        f"{directory.particles(last)}  half-set and pose of every particle",
    ]
