"""Run a command of the table: its options, its job under a progress display, its words."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mapsort.cli.commands import COMMANDS, Command, load
from mapsort.cli.display import check_display, progress_display
from mapsort.cli.interruption import interruptible
from mapsort.cli.output import say, warn
from mapsort.cli.parser import given_values
from mapsort.options.fields import typed_options, typed_values


def run(name: str, args: argparse.Namespace) -> int:
    """Do a command's work and say what came of it.

    Parameters
    ----------
    name : str
        One of `COMMANDS`.
    args : Namespace
        As its parser parsed it.

    Returns
    -------
    int
        Exit status.
    """
    command = COMMANDS[name]

    told: Callable[..., Iterator[str]] = load("cli", f"results.{name.replace('-', '_')}")
    with requested(command, given_values(command.options_type(), args)) as options:
        if command.plan and options.check:
            _say_plan(command.plan, options)
            return 0
        # The parser gives a --quiet to commands whose options have none.
        quiet = bool(getattr(options, "quiet", getattr(args, "quiet", False)))
        made = _done(command, options, quiet=quiet) if command.job else ()
        status = _said(told(options, *made))
    if command.refreshes:
        refresh_report(options.run[0])
    return status


@contextmanager
def requested(command: Command, given: Mapping[str, Any]) -> Iterator[Any]:
    """Give the options, validated; with ``--resume``, those of the run, where it was begun."""
    kind = command.options_type()
    if not command.plan or given.get("resume") is None:
        yield typed_options(kind, given).validated()
        return
    # Here and not above, as in what follows: it loads the kernels.
    from mapsort.jobs.resume import going_on

    with going_on(kind, typed_values(kind, given)) as options:
        yield options


def _say_plan(plan: str, options: Any) -> None:
    for note in options.notes:
        warn(note)
    with check_display(quiet=options.quiet) as shown:
        text = load("jobs", plan)(options, progress=shown)
    say(text)


def _done(command: Command, options: Any, *, quiet: bool) -> tuple[Any]:
    """Do the job, and return what it made, which may be nothing."""
    job = load("jobs", command.job)
    if not command.shows_progress:
        return (job(options),)
    kept = {"watcher": report_watcher(options)} if command.is_watched else {}
    shows = progress_display(quiet=quiet, verbosity=getattr(options, "verbose", 0))
    with shows as shown, interruptible(shown) as progress:
        for note in options.notes:
            progress.warning(note)
        return (job(options, progress=progress, **kept),)


def _said(lines: Iterator[str]) -> int:
    """Print lines as they come; what their generator returns is the status."""
    while True:
        try:
            say(next(lines))
        except StopIteration as end:
            return end.value or 0


def report_watcher(options: Any) -> Callable[[Path], None] | None:
    """Return what keeps a run's report up to date, or None where the options want no report."""
    if getattr(options, "no_report", False):
        return None
    # Here and not above, as below: it loads the plotting library.
    from mapsort.report.page import report_keeper

    return report_keeper()


def refresh_report(run: Path) -> None:
    """Write a run's report anew, if it has one: a run without asked for none."""
    from mapsort.report.page import write_report
    from mapsort.rundir.layout import RunDirectory

    if RunDirectory(run).report.exists():
        write_report(run)
