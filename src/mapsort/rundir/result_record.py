"""``result_*.json``: what a job after the run found, in a form the report can show as it is.

Every job that works on a finished run (split, even/odd test, single refinements, cross-validation)
leaves one such file. The report knows nothing of the jobs: it shows words, tables, curves and
matrices in the order of the files' names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike

from mapsort.errors import FormatError
from mapsort.physics.fsc import GOLD_STANDARD, ONE_HALF
from mapsort.rundir.text import read_json, write_json

T = TypeVar("T")
Cell = str | int | float | None

_PATTERN = "result_*.json"


@dataclass(frozen=True)
class ResultTable:
    """A table; numbers stay numbers, so that it can be sorted."""

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]

    @classmethod
    def of(
        cls, caption: str, items: Iterable[T], columns: Mapping[str, Callable[[T], Cell]]
    ) -> ResultTable:
        """Return a table with a row for each item, whose cells are functions of it."""
        rows = (tuple(cell(item) for cell in columns.values()) for item in items)
        return cls(caption, tuple(columns), tuple(rows))


@dataclass(frozen=True)
class ResultCurves:
    """Curves over a common axis, each (n,); ``thresholds`` are horizontal lines.

    Where the label of ``x`` is 1/A it is a spatial frequency, as for FSC curves; ``errors`` are
    standard errors of some of the curves, the first ones, each (n,).
    """

    caption: str
    x_label: str
    y_label: str
    x: tuple[float, ...]
    names: tuple[str, ...]
    curves: tuple[tuple[float, ...], ...]
    thresholds: tuple[float, ...] = ()
    errors: tuple[tuple[float, ...], ...] = ()

    @classmethod
    def of_fsc(
        cls, caption: str, frequency: ArrayLike, curves: Mapping[str, ArrayLike]
    ) -> ResultCurves:
        """Return FSC curves by name, over the frequency [1/A]."""
        return cls(
            caption=caption,
            x_label="1/A",
            y_label="FSC",
            x=tuple(np.asarray(frequency).tolist()),
            names=tuple(curves),
            curves=tuple(tuple(np.asarray(curve).tolist()) for curve in curves.values()),
            thresholds=(ONE_HALF, GOLD_STANDARD),
        )


@dataclass(frozen=True)
class ResultMatrix:
    """A matrix shown as a heat map; None where there is no value."""

    caption: str
    row_names: tuple[str, ...]
    column_names: tuple[str, ...]
    values: tuple[tuple[float | None, ...], ...]


@dataclass(frozen=True)
class ResultRecord:
    """What one job found."""

    #: Heading of its section in the report.
    title: str
    #: One sentence each; the verdict first.
    summary: tuple[str, ...]
    tables: tuple[ResultTable, ...] = ()
    curves: tuple[ResultCurves, ...] = ()
    matrices: tuple[ResultMatrix, ...] = ()


def write_result(run: str | Path, name: str, record: ResultRecord) -> Path:
    """Write ``result_NAME.json`` into a run directory, whole or not at all; return its path."""
    path = Path(run) / _PATTERN.replace("*", name)
    write_json(path, asdict(record))
    return path


def read_results(run: str | Path) -> list[ResultRecord]:
    """Read all results of a run directory in the order of their names."""
    return [_read(path) for path in sorted(Path(run).glob(_PATTERN))]


def _read(path: Path) -> ResultRecord:
    content = frozen(read_json(path))
    kinds = {"tables": ResultTable, "curves": ResultCurves, "matrices": ResultMatrix}
    try:
        parts = {
            name: tuple(kind(**item) for item in content[name]) for name, kind in kinds.items()
        }
        return ResultRecord(**content | parts)
    except (KeyError, TypeError) as error:
        raise FormatError(f"{path}: not a result of mapsort: {error}.") from error


def frozen(value: Any) -> Any:
    """Return JSON with tuples for lists."""
    if isinstance(value, dict):
        return {key: frozen(item) for key, item in value.items()}
    return tuple(map(frozen, value)) if isinstance(value, list) else value
