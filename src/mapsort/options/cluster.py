"""Options of the cluster command: the one table its command line is built from."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from mapsort.errors import ConfigError
from mapsort.options.fields import ValueKind, check_values, file_path, list_of, option
from mapsort.options.parallel import parse_parallel

CLUSTER = "cluster"


@dataclass(frozen=True, kw_only=True)
class ClusterOptions:
    """Options of ``mapsort cluster``."""

    action: tuple[str, ...] = field(
        default=(),
        metadata=option(
            ValueKind("check", lambda word: (word,), lambda value: value == ("check",)),
            group=CLUSTER,
            metavar="check",
            positional=True,
            help="check: look at every worker, and measure the way there",
        ),
    )
    parallel: str = field(
        metadata=option(
            ValueKind("dask:HOST:PORT or dask:local=N", str, lambda value: isinstance(value, str)),
            group=CLUSTER,
            flags=("-P",),
            metavar="WHERE",
            help="the workers, as for mapsort multi: dask:HOST:PORT or dask:local=N",
        )
    )
    files: tuple[Path, ...] = field(
        default=(),
        metadata=option(
            list_of(file_path("a file"), "files, none empty"),
            group=CLUSTER,
            metavar="A,B,...",
            help="files that every worker must see, for example a particle stack",
        ),
    )

    def validated(self) -> ClusterOptions:
        """Return self after the checks that need no cluster.

        Raises
        ------
        ConfigError
            Naming the option, its value and the values it takes.
        """
        check_values(self)
        if self.action != ("check",):
            raise ConfigError("say what to do: mapsort cluster check --parallel dask:HOST:PORT")
        if not parse_parallel(self.parallel, dask=True).on_dask:
            raise ConfigError(
                f"--parallel={self.parallel}: expected dask:HOST:PORT or dask:local=N"
            )
        return self
