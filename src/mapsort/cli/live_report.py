"""Keep a run's report in step with what commands add to the run."""

from __future__ import annotations

from pathlib import Path

from mapsort.rundir.layout import RunDirectory


def refresh_report(run: Path) -> None:
    """Write a run's report anew, if it has one: a run without asked for none."""
    if not RunDirectory(run).report.exists():
        return
    # Here and not above: it loads the plotting library.
    from mapsort.report.page import write_report

    write_report(run)
