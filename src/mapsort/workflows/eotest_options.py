"""Options of ``mapsort eotest``: the one table its command line is built from."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from mapsort.errors import ConfigError
from mapsort.workflows.option_fields import (
    ValueKind,
    check_values,
    file_path,
    list_of,
    option,
    whole_number,
)
from mapsort.workflows.parallel import parse_parallel

_GROUP = "even/odd test"
_PARALLEL = ValueKind("thread:N with N from 1", str, lambda value: isinstance(value, str))


@dataclass(frozen=True, kw_only=True)
class EotestOptions:
    """Options of ``mapsort eotest``."""

    run: tuple[Path, ...] = field(
        default=(),
        metadata=option(
            list_of(file_path("a run directory"), "a run directory"),
            group=_GROUP,
            metavar="RUN",
            positional=True,
            help="run directory (multi_XX or refine_XX)",
        ),
    )
    iter: int | None = field(
        default=None,
        metadata=option(
            whole_number(1), group=_GROUP, metavar="YY", help="iteration; by default the last"
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

    def validated(self) -> EotestOptions:
        """Return self after the checks that need no files.

        Raises
        ------
        ConfigError
            Naming the option, its value and the values it takes.
        """
        check_values(self)
        if len(self.run) != 1:
            raise ConfigError(f"one run directory is needed; {len(self.run)} are given")
        parse_parallel(self.parallel)
        return self
