"""``mapsort multi``: multi-map refinement, the main job."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from mapsort.cli.interruption import interruptible
from mapsort.cli.option_table import add_options, given_values, options_from
from mapsort.cli.output import say, warn
from mapsort.cli.progress import check_display, progress_display
from mapsort.options.multi import MultiOptions
from mapsort.rundir.wording import counted

if TYPE_CHECKING:
    from mapsort.jobs.multi import MultiRun, Watcher

NAME = "multi"
HELP = "classify particles against several references and refine these together"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `MultiOptions`."""
    add_options(parser, MultiOptions)


def run(args: argparse.Namespace) -> int:
    """Check the request, refine, and say where the results are."""
    if args.resume is None:
        return _carried_out(options_from(MultiOptions, args).validated())
    # Here and not above, as in what follows: they load the kernels.
    from mapsort.jobs.resume import resumed_options
    from mapsort.jobs.run_place import at_home

    given = given_values(MultiOptions, args)
    with at_home(given["resume"]) as resume:
        return _carried_out(resumed_options(given | {"resume": resume}))


def _carried_out(options: MultiOptions) -> int:
    from mapsort.jobs.multi import plan_text, refine_multi_run

    if options.check:
        for note in options.notes:
            warn(note)
        with check_display(quiet=options.quiet) as shown:
            text = plan_text(options, progress=shown)
        say(text)
        return 0
    with progress_display(quiet=options.quiet) as shown, interruptible(shown) as progress:
        for note in options.notes:
            progress.warning(note)
        finished = refine_multi_run(
            options, progress=progress, watcher=report_watcher(no_report=options.no_report)
        )
    for line in summary(finished, options):
        say(line)
    return 0


def report_watcher(*, no_report: bool) -> Watcher | None:
    """Return what keeps a run's report up to date, unless none is wanted."""
    if no_report:
        return None
    # Here and not above: it loads the plotting library.
    from mapsort.report.page import report_keeper

    return report_keeper()


def summary(finished: MultiRun, options: MultiOptions) -> list[str]:
    """Return the closing lines: each map with its occupancy, and the particle table."""
    from mapsort.rundir.layout import RunDirectory
    from mapsort.rundir.set_counts import SetCounts

    directory = RunDirectory(finished.path, map_suffix=options.map_suffix)
    last = len(finished.convergence)
    counts = SetCounts.of_entry(finished.convergence[-1])
    places = [
        *(str(directory.maps(last, number + 1)) for number in range(len(counts.maps))),
        *counts.junk_names,
    ]
    lines = [
        f"{place}  {counted(n, 'particle')} ({share:.1f}%)"
        for place, n, share in zip(places, counts.all, counts.shares, strict=True)
    ]
    return [*lines, f"{directory.particles(last)}  class and pose of every particle"]
