"""Options of ``mapsort abinit``: maps from particles without a starting map."""

from __future__ import annotations

from pathlib import Path

from mapsort.errors import ConfigError
from mapsort.geometry.symmetry import symmetry
from mapsort.options.fields import Options, flag, option, refuse
from mapsort.options.multi import MADE_OF_PARTICLES, MultiOptions, as_in_multi
from mapsort.options.refinement import REFINEMENT, GeneralOptions
from mapsort.options.shared import ParticleImages, Passthrough, Workers
from mapsort.options.types import file_path, list_of, real_number, text, whole_number

#: Options of the same name as one of multi that mean another thing here.
_OWN = ("nmodels", "starts", "targetres")


class RandomStarts(Options):
    """What is sought, from which starts."""

    input: Path | None = option(
        file_path("a particle file"),
        "FILE",
        "particles: RELION .star, cryoSPARC .cs, EMAN2 .hdf or .lst, or a bare .mrcs/.mrc stack",
    )
    nmodels: int = option(whole_number(1, 20), "K", "number of maps", 1)
    sym: tuple[str, ...] = option(
        list_of(text("a symmetry"), "one symmetry"),
        "SYM",
        "symmetry of all maps, imposed from the start: c<n>, d<n>, tet, oct, icos or icos2",
        ("c1",),
        names="geometry.symmetry:symmetry",
    )
    latesym: str | None = option(
        text("a symmetry"),
        "SYM",
        "symmetry of the finished maps, sought without any: its axes are found, maps brought to "
        "the usual ones and averaged over their copies; also with --resume of a finished run",
        names="geometry.symmetry:symmetry",
    )
    starts: int = option(
        whole_number(1, 20),
        "N",
        "random starts side by side; the likeliest for particles that are kept out goes on",
        4,
    )
    targetres: float | None = option(
        real_number(above=0),
        "A",
        "resolution in Angstrom that the maps are made to; by default 12, but no finer than 24 "
        "rings",
    )
    diameter: float | None = option(
        real_number(above=0),
        "A",
        "diameter in Angstrom of a sphere that holds the particle; by default 0.8 of the box",
    )
    maxshift: float | None = option(
        real_number(low=0),
        "PX",
        "largest shift searched, in pixels; by default auto, an eighth of the box",
    )
    hand: bool = flag("maps and poses of the other hand: particles alone do not tell it")
    path: Path | None = option(
        file_path("a directory"), "DIR", "run directory; by default the next free abinit_XX"
    )
    randomseed: int | None = option(
        whole_number(0), "N", "seed; the same seed gives the same maps with any number of threads"
    )
    resume: Path | None = option(
        file_path("a run directory"),
        "RUN",
        "go on with a stopped run, with its options; a finished one is written again, with --hand "
        "of the other hand",
    )


class AbinitOptions(
    RandomStarts, Passthrough, ParticleImages, Workers, GeneralOptions, group=REFINEMENT
):
    """Options of ``mapsort abinit``."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user should know about how the options are taken: nothing."""
        return ()

    def _check(self) -> None:
        super()._check()
        if self.input is None and self.resume is None:
            raise ConfigError("--input is missing: give particles")
        if len(self.sym) != 1:
            raise refuse("sym", self.sym, "one symmetry, that of all maps")
        for name, given in (("sym", self.sym[0]), ("latesym", self.latesym)):
            if given is not None and given.strip().lower().startswith("h"):
                raise refuse(name, given, "a point group: helices are not found from particles")
        if self.latesym is None:
            return
        if symmetry(self.latesym).order == 1:
            raise refuse("latesym", self.latesym, "a symmetry with axes to be found")
        if symmetry(self.sym[0]).order > 1:
            raise refuse("latesym", self.latesym, "no value with --sym: that holds from the start")

    def as_multi(self) -> MultiOptions:
        """Return the request as one of several maps, of which one stands for all."""
        return MultiOptions(**as_in_multi(self, *_OWN), models=(MADE_OF_PARTICLES,), iter=1)
