"""Write ``report/index.html``: one file that holds everything it shows."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from mapsort._version import __version__
from mapsort.report.chart_frame import chart_style
from mapsort.report.chimerax import write_view
from mapsort.report.file_cache import FileCache
from mapsort.report.sections import all_sections
from mapsort.report.summary import figures_of_merit, map_cards
from mapsort.rundir.atomic import write_text
from mapsort.rundir.run_record import RunState, read_run
from mapsort.rundir.verdict_record import read_verdict
from mapsort.rundir.wording import readable_time

LOGGER = logging.getLogger(__name__)

#: A live page loads itself anew after this many seconds.
REFRESH_SECONDS = 20


def write_report(run: str | Path, *, cache: FileCache | None = None) -> Path:
    """Write the report of a run, finished or not, and its view in ChimeraX; return its path.

    Parameters
    ----------
    run : str or Path
        The run directory.
    cache : FileCache, optional
        What earlier reports of the same run made of files that have not changed.

    Raises
    ------
    FormatError
        It is not a run directory, or a file in it is damaged.
    """
    record = read_run(run)
    kept = cache if cache is not None else FileCache()
    with chart_style():
        sections = all_sections(record, kept)
        cards = map_cards(record, kept)
    text = (
        _environment()
        .get_template("page.html.jinja")
        .render(
            record=record,
            running=record.state is RunState.RUNNING,
            refresh_seconds=REFRESH_SECONDS,
            written=datetime.now().astimezone(),
            elapsed=readable_time(record.elapsed_seconds),
            left=None if record.seconds_left is None else readable_time(record.seconds_left),
            verdict=read_verdict(record.directory, record.last),
            merits=figures_of_merit(record),
            cards=cards,
            sections=sections,
            version=__version__,
        )
    )
    path = record.directory.report
    path.parent.mkdir(exist_ok=True)
    write_text(path, text)
    write_view(record, kept)
    return path


def report_keeper() -> Callable[[Path], None]:
    """Return a watcher for a run that keeps its report up to date.

    A report that cannot be written is a warning in the log: it must not end a run of days.
    """
    cache = FileCache()

    def keep(run: Path) -> None:
        try:
            write_report(run, cache=cache)
        except Exception as error:
            LOGGER.warning("the report was not written: %s: %s", type(error).__name__, error)

    return keep


def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(Path(__file__).parent / "template"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
