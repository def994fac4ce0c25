"""Options of ``mapsort split``: the one table its command line is built from."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from mapsort.errors import ConfigError
from mapsort.options.fields import (
    ValueKind,
    check_values,
    file_path,
    option,
    real_number,
)
from mapsort.options.shared import finished_iteration_field, run_field

WHICH, OUTPUT = "what goes where", "output"
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
    "a number from 0 to 1",
    float,
    lambda value: real_number(low=0).accepts(value) and value <= 1,
)


@dataclass(frozen=True, kw_only=True)
class SplitOptions:
    """Options of ``mapsort split``."""

    run: tuple[Path, ...] = run_field(WHICH)
    iter: int | None = finished_iteration_field(WHICH)
    by: str = field(
        default=BY_MAP,
        metadata=option(
            _BY,
            group=WHICH,
            metavar="map|A-B",
            help="a set per map, or the classes of a range (images of classes_YY.hdf, from 0) and "
            "all others",
        ),
    )
    exclude_rejected: bool = field(
        default=False,
        metadata=option(
            None,
            group=WHICH,
            help="particles kept out of their class average go to a set of their own",
        ),
    )
    min_prob: float | None = field(
        default=None,
        metadata=option(
            _PROBABILITY,
            group=WHICH,
            metavar="P",
            help="particles less sure of their map than this go to a set of their own",
        ),
    )
    stack: bool = field(
        default=False,
        metadata=option(
            None, group=OUTPUT, help="also write each set's images as a new stack (.mrcs)"
        ),
    )
    out: Path | None = field(
        default=None,
        metadata=option(
            file_path("a directory"),
            group=OUTPUT,
            metavar="DIR",
            help="where sets go; by default RUN/sets",
        ),
    )

    def validated(self) -> SplitOptions:
        """Return self after the checks that need no files.

        Raises
        ------
        ConfigError
            Naming the option, its value and the values it takes.
        """
        check_values(self)
        if len(self.run) != 1:
            raise ConfigError(f"one run directory is needed; {len(self.run)} are given")
        return self
