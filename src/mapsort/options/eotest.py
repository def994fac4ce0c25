"""Options of ``mapsort eotest``: the one table its command line is built from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mapsort.errors import ConfigError
from mapsort.options.fields import (
    check_values,
)
from mapsort.options.parallel import parse_parallel
from mapsort.options.shared import (
    finished_iteration_field,
    parallel_field,
    quiet_field,
    run_field,
)

_GROUP = "even/odd test"


@dataclass(frozen=True, kw_only=True)
class EotestOptions:
    """Options of ``mapsort eotest``."""

    run: tuple[Path, ...] = run_field(_GROUP)
    iter: int | None = finished_iteration_field(_GROUP)
    parallel: str = parallel_field(_GROUP)
    quiet: bool = quiet_field(_GROUP)

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
