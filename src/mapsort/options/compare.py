"""Options of ``mapsort compare``."""

from __future__ import annotations

from pathlib import Path

from mapsort.errors import ConfigError
from mapsort.options.fields import flag, option, refuse
from mapsort.options.shared import Apix, Quiet, Workers
from mapsort.options.types import ValueKind, file_path, list_of, real_number, whole_number, words_of

_RATE = ValueKind(
    "a number between 0 and 1",
    float,
    lambda value: real_number(above=0).accepts(value) and value < 1,
)


class CompareOptions(
    Apix,
    Workers,
    Quiet,
    group="comparison",
    words={"apix": "pixel size of the maps in Angstrom; by default as their files say"},
):
    """Options of ``mapsort compare``."""

    run: tuple[Path, ...] = option(
        words_of(file_path("a map or run directory")),
        "MAP",
        "the directory of a run, all of whose maps are compared; or two maps",
        (),
        positional=True,
    )
    halves: tuple[Path, ...] = option(
        list_of(file_path("a map"), "four half maps, unfiltered and not masked"),
        "A1,A2,B1,B2",
        "unfiltered half maps of both maps, which tell the noise of each voxel; by default those "
        "that lie beside the maps under the names that mapsort or RELION gives them. Those of a "
        "run are made by classifying each half of the particles again",
        (),
    )
    iter: int | None = option(whole_number(1), "YY", "iteration of a run; by default the last")
    mask: Path | None = option(
        file_path("a map"), "MASK", "look here only; by default about the molecule"
    )
    fdr: float = option(
        _RATE, "Q", "part of the voxels called different that may be false, on average", 0.01
    )
    resolution: float | None = option(
        real_number(above=0),
        "A",
        "compare down to this resolution; by default as far as the halves of both maps agree",
    )
    asis: bool = flag("leave the maps as they lie: no turn, no shift, no other hand")
    out: Path | None = option(
        file_path("a directory"),
        "DIR",
        "where results go; by default the run's directory, or that of the second map",
        group="output",
    )

    def _check(self) -> None:
        super()._check()
        if len(self.run) not in (1, 2):
            raise ConfigError("compare: give two maps, or the directory of a run")
        if self.halves and len(self.halves) != 4:
            raise refuse("halves", self.halves, "four maps A1,A2,B1,B2")
        if len(self.run) == 1:
            if self.halves:
                raise refuse("halves", self.halves, "none with a run, which has its own")
            if self.apix is not None:
                raise refuse("apix", self.apix, "none with a run, which knows it")
        elif self.iter is not None:
            raise refuse("iter", self.iter, "none with maps: it is of a run")
