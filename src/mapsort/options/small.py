"""Options of ``mapsort demo`` and of the commands that are about the program itself."""

from __future__ import annotations

from pathlib import Path

from mapsort.errors import ConfigError
from mapsort.options.fields import Options, flag, option, required
from mapsort.options.parallel import parse_parallel
from mapsort.options.shared import Parallel
from mapsort.options.types import ValueKind, file_path, list_of, text, whole_number, words_of


class DemoOptions(Parallel, group="demo"):
    """Options of ``mapsort demo``."""

    path: Path = option(
        file_path("a directory"), "DIR", "where everything is put", Path("mapsort_demo")
    )
    n: int = option(whole_number(10), "N", "number of particles, 64 pixels each", 2000)
    iter: int = option(whole_number(1), "N", "number of iterations of multi", 3)
    seed: int = option(whole_number(0), "N", "seed of all random numbers", 1)
    abinit: bool = flag("without starting maps: they are made of the particles first")


class ClusterOptions(Options, group="cluster"):
    """Options of ``mapsort cluster``."""

    action: tuple[str, ...] = option(
        ValueKind("check", lambda word: (word,), lambda value: value == ("check",)),
        "check",
        "check: look at every worker, and measure the way there",
        (),
        positional=True,
    )
    parallel: str = required(
        ValueKind("dask:HOST:PORT or dask:local=N", str, lambda value: isinstance(value, str)),
        "WHERE",
        "the workers, as for mapsort multi: dask:HOST:PORT or dask:local=N",
        flags=("-P",),
    )
    files: tuple[Path, ...] = option(
        list_of(file_path("a file"), "files, none empty"),
        "A,B,...",
        "files that every worker must see, for example a particle stack",
        (),
    )

    def _check(self) -> None:
        if self.action != ("check",):
            raise ConfigError("say what to do: mapsort cluster check --parallel dask:HOST:PORT")
        if not parse_parallel(self.parallel, dask=True).on_dask:
            raise ConfigError(
                f"--parallel={self.parallel}: expected dask:HOST:PORT or dask:local=N"
            )


class ModulesOptions(Options):
    """Options of ``mapsort modules``."""

    kind: tuple[str, ...] = option(
        words_of(text("a kind of module")),
        "KIND",
        "aligners, averagers, comparators, orientation-generators, processors, projectors, "
        "reconstructors or symmetries; all by default",
        (),
        positional=True,
    )
    verbose: bool = flag("also the parameters of each module", "-v")


class DoctorOptions(Options):
    """Options of ``mapsort doctor``: none."""


class BuildInfoOptions(Options):
    """Options of ``mapsort build-info``."""

    json: bool = flag("one JSON object")
