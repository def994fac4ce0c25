"""``run.log``: one line for each stage with its time; plain text that only grows."""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from mapsort.errors import Interrupted

LOGGER = logging.getLogger("mapsort")
_FORMAT = "%(asctime)s %(levelname)s %(message)s"
_DATE = "%Y-%m-%d %H:%M:%S"


@contextmanager
def run_log(
    path: str | Path, *, json_path: str | Path | None = None, level: int = logging.INFO
) -> Iterator[None]:
    """Send what is logged under ``mapsort`` to a file while the block lasts.

    Parameters
    ----------
    path : str or Path
        ``run.log``; lines are added, so that a resumed run keeps its history.
    json_path : str or Path, optional
        The same lines as one JSON object each (``--log-json``).
    level : int, optional
        Lowest level to write.
    """
    handlers: list[logging.Handler] = [_LogFile(path, encoding="utf-8")]
    handlers[0].setFormatter(_OneLine(_FORMAT, _DATE))
    if json_path is not None:
        handlers.append(_LogFile(json_path, encoding="utf-8"))
        handlers[1].setFormatter(_JsonLine())
    old_level = LOGGER.level
    # The logger must let through what the file wants; other handlers keep their own levels.
    LOGGER.setLevel(min(level, LOGGER.getEffectiveLevel()))
    for handler in handlers:
        handler.setLevel(level)
        LOGGER.addHandler(handler)
    try:
        yield
    finally:
        LOGGER.setLevel(old_level)
        for handler in handlers:
            LOGGER.removeHandler(handler)
            handler.close()


@contextmanager
def stage(
    name: str, *, iteration: int | None = None, model: int | None = None
) -> Iterator[dict[str, object]]:
    """Time a stage and log one line when it ends, whether it was done, failed or interrupted.

    Parameters
    ----------
    name : str
        The stage: project, match, classify, average, reconstruct, postprocess.
    iteration, model : int, optional
        Where in the run.

    Yields
    ------
    dict
        Facts to add to the line, for example ``facts["particles"] = 5000``; when the block is
        left it also holds ``seconds``.

    Examples
    --------
    >>> with stage("match", iteration=1) as facts:
    ...     facts["particles"] = 5000
    """
    facts: dict[str, object] = {}
    place = {"iteration": iteration, "map": model}
    outcome = "failed"
    begin = time.perf_counter()
    try:
        yield facts
        outcome = "done"
    except (Interrupted, KeyboardInterrupt):
        outcome = "interrupted"
        raise
    finally:
        seconds = time.perf_counter() - begin
        shown = {key: value for key, value in (place | facts).items() if value is not None}
        words = [name, *(f"{key}={value}" for key, value in shown.items())]
        LOGGER.log(
            logging.ERROR if outcome == "failed" else logging.INFO,
            "%s %s %.2f s",
            " ".join(words),
            outcome,
            seconds,
            extra={"stage": name, "outcome": outcome, "seconds": seconds, "facts": shown},
        )
        facts["seconds"] = seconds


@contextmanager
def timed(
    seconds: dict[str, float], name: str, *, iteration: int, key: str | None = None
) -> Iterator[dict[str, object]]:
    """As `stage`; then ``seconds`` hold what it took, by the stage's name or ``key``."""
    with stage(name, iteration=iteration) as facts:
        yield facts
    seconds[key or name] = round(float(str(facts["seconds"])), 3)


class _LogFile(logging.FileHandler):
    """A log that cannot be written (disk full) tells so, and ends no run by itself."""

    def handleError(self, record: logging.LogRecord) -> None:
        self._tell(sys.exc_info()[1])
        sys.stderr.write(f"mapsort: not logged: {record.getMessage()}\n")

    def close(self) -> None:
        try:
            super().close()
        except OSError as error:
            self._tell(error)

    def _tell(self, error: BaseException | None) -> None:
        sys.stderr.write(f"mapsort: {self.baseFilename}: {error}\n")


class _OneLine(logging.Formatter):
    """One record, one line: line ends inside a message would break tools that read the log."""

    def format(self, record: logging.LogRecord) -> str:
        return super().format(record).replace("\r", "").replace("\n", " | ")


class _JsonLine(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        content: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "message": record.getMessage(),
        }
        if hasattr(record, "stage"):
            content |= {
                key: getattr(record, key) for key in ("stage", "outcome", "seconds", "facts")
            }
        return json.dumps(content, default=str)
