"""Options of the commands that work on a finished run: ``split``, ``eotest``, ``report`` ..."""

from __future__ import annotations

import re
from pathlib import Path

from mapsort.errors import ConfigError
from mapsort.options.fields import Options, flag, option
from mapsort.options.shared import FinishedRun, Parallel, Quiet, Workers
from mapsort.options.types import ValueKind, file_path, real_number, whole_number, words_of

BY_MAP = "map"

_RANGE = re.compile(r"(\d+)(?:-(\d+))?")


def parse_ranges(written: str) -> tuple[tuple[int, int], ...]:
    """Return the ranges of ``3-17,40`` as ((3, 17), (40, 40)), ends included.

    Raises
    ------
    ValueError
        It is not of this form, or a range ends before it begins.
    """
    ranges = []
    for part in written.split(","):
        match = _RANGE.fullmatch(part.strip())
        if match is None:
            raise ValueError(f"not a range: {part!r}")
        first = int(match[1])
        last = int(match[2]) if match[2] else first
        if last < first:
            raise ValueError(f"ends before it begins: {part!r}")
        ranges.append((first, last))
    return tuple(ranges)


def _parse_by(written: str) -> str:
    # "class-range 3-17" says the same as "3-17".
    asked = written.strip().removeprefix("class-range").lstrip(" :=")
    if asked != BY_MAP:
        parse_ranges(asked)
    return asked


def _accepts_by(value: object) -> bool:
    if not isinstance(value, str):
        return False
    try:
        return _parse_by(value) == value
    except ValueError:
        return False


_BY = ValueKind('map, or classes as "a-b" or "a-b,c,d-e" from 0', _parse_by, _accepts_by)
_PROBABILITY = ValueKind(
    "a number from 0 to 1", float, lambda value: real_number(low=0).accepts(value) and value <= 1
)


class SplitOptions(FinishedRun, group="what goes where"):
    """Options of ``mapsort split``."""

    by: str = option(
        _BY,
        "map|A-B",
        "a set per map, or the classes of a range (images of classes_YY.hdf, from 0) and "
        "all others",
        BY_MAP,
    )
    exclude_rejected: bool = flag(
        "particles kept out of their class average go to a set of their own"
    )
    min_prob: float | None = option(
        _PROBABILITY, "P", "particles less sure of their map than this go to a set of their own"
    )
    unique: bool = flag(
        "of the copies of an image (symmetry expansion) only the one surest of its map is written"
    )
    stack: bool = flag("also write each set's images as a new stack (.mrcs)", group="output")
    out: Path | None = option(
        file_path("a directory"), "DIR", "where sets go; by default RUN/sets", group="output"
    )


class EotestOptions(FinishedRun, Parallel, Quiet, group="even/odd test"):
    """Options of ``mapsort eotest``."""

    local: bool = flag(
        "also the local resolution of each map: locres_YY_ZZ.mrc, shown in the report"
    )


class CrossvalOptions(
    FinishedRun, Workers, Quiet, group="after the run", words={"run": "run directory (multi_XX)"}
):
    """Options of ``mapsort crossval``."""

    refineiter: int | None = option(
        whole_number(1), "N", "iterations of each single refinement; by default until nothing moves"
    )


class FollowupOptions(CrossvalOptions, group="after the run"):
    """Options of ``mapsort followup``."""

    no_crossval: bool = flag("split, refine and measure only")


class DepositOptions(FinishedRun, group="deposition"):
    """Options of ``mapsort deposit``."""

    map: int | None = option(
        whole_number(1), "N", "which map of a run of several; by default each in a directory"
    )
    out: Path | None = option(
        file_path("a directory"),
        "DIR",
        "where it goes; by default RUN/deposit",
        group="output",
    )


class ReportOptions(Options):
    """Options of ``mapsort report``."""

    runs: tuple[Path, ...] = option(
        words_of(file_path("a run directory")),
        "RUN",
        "run directory (multi_XX)",
        (),
        positional=True,
    )

    def _check(self) -> None:
        if not self.runs:
            raise ConfigError("RUN is missing; name a run directory, for example multi_00")
