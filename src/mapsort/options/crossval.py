"""Options of ``mapsort crossval`` and ``mapsort followup``: the tables of their command lines."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from mapsort.errors import ConfigError
from mapsort.options.fields import (
    ValueKind,
    check_values,
    file_path,
    list_of,
    option,
    whole_number,
)
from mapsort.options.parallel import parse_parallel

_GROUP = "after the run"
_PARALLEL = ValueKind("thread:N with N from 1", str, lambda value: isinstance(value, str))


@dataclass(frozen=True, kw_only=True)
class CrossvalOptions:
    """Options of ``mapsort crossval``."""

    run: tuple[Path, ...] = field(
        default=(),
        metadata=option(
            list_of(file_path("a run directory"), "a run directory"),
            group=_GROUP,
            metavar="RUN",
            positional=True,
            help="run directory (multi_XX)",
        ),
    )
    iter: int | None = field(
        default=None,
        metadata=option(
            whole_number(1), group=_GROUP, metavar="YY", help="iteration; by default the last"
        ),
    )
    refineiter: int | None = field(
        default=None,
        metadata=option(
            whole_number(1),
            group=_GROUP,
            metavar="N",
            help="iterations of each single refinement; by default until nothing moves",
        ),
    )
    parallel: str = field(
        default="",
        metadata=option(
            _PARALLEL,
            group=_GROUP,
            flags=("-P",),
            metavar="thread:N",
            help="number of threads; by default all that this process may use",
        ),
    )
    quiet: bool = field(
        default=False,
        metadata=option(None, group=_GROUP, flags=("-q",), help="no progress display"),
    )

    def validated(self) -> Self:
        """Return self after the checks that need no files.

        Raises
        ------
        ConfigError
            Naming the option, its value and the values it takes.
        """
        check_values(self)
        parse_parallel(self.parallel)
        if len(self.run) != 1:
            raise ConfigError(f"one run directory is needed; {len(self.run)} are given")
        return self


@dataclass(frozen=True, kw_only=True)
class FollowupOptions(CrossvalOptions):
    """Options of ``mapsort followup``."""

    no_crossval: bool = field(
        default=False,
        metadata=option(None, group=_GROUP, help="split, refine and measure only"),
    )
