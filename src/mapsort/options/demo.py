"""Options of the demonstration: the one table its command line is built from."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from mapsort.options.fields import check_values, file_path, option, whole_number
from mapsort.options.parallel import parse_parallel
from mapsort.options.shared import parallel_field, seed_field


@dataclass(frozen=True, kw_only=True)
class DemoOptions:
    """Options of ``mapsort demo``."""

    path: Path = field(
        default=Path("mapsort_demo"),
        metadata=option(
            file_path("a directory"), group="demo", metavar="DIR", help="where everything is put"
        ),
    )
    n: int = field(
        default=2000,
        metadata=option(
            whole_number(10), group="demo", metavar="N", help="number of particles, 64 pixels each"
        ),
    )
    iter: int = field(
        default=3,
        metadata=option(
            whole_number(1), group="demo", metavar="N", help="number of iterations of multi"
        ),
    )
    seed: int = seed_field("demo", "seed of all random numbers", default=1)
    parallel: str = parallel_field("demo")

    def validated(self) -> DemoOptions:
        """Return self after the checks of the values.

        Raises
        ------
        ConfigError
            Naming the option, its value and the values it takes.
        """
        check_values(self)
        parse_parallel(self.parallel)
        return self
