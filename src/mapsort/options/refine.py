"""Options of ``mapsort refine``: those of ``mapsort multi`` that one map has, and its own."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mapsort.errors import ConfigError
from mapsort.options.fields import (
    ValueKind,
    file_path,
    list_of,
    option,
    real_number,
    refuse,
    text,
    whole_number,
)
from mapsort.options.maps import RECONSTRUCTION
from mapsort.options.multi import MultiOptions
from mapsort.options.refinement import REFINEMENT
from mapsort.options.types import Automask3D, CtfHandling

_MULTI = {item.name: item for item in dataclasses.fields(MultiOptions)}
#: Options of the same name that mean another thing here.
_OWN = ("model", "m3dsetsf", "startres")
#: Comparators whose derivatives the local search knows.
COMPARATORS = ("loglik", "ccc", "sqeuclidean")
AUTO, NONE = "auto", "none"


def _as_in_multi(name: str, **changed: Any) -> Any:
    """Return the option of the same name of ``mapsort multi``, some of its words changed."""
    item = _MULTI[name]
    metadata = dict(item.metadata) | changed
    if item.default is dataclasses.MISSING:
        return field(metadata=metadata)
    return field(default=item.default, metadata=metadata)


def _parse_bfactor(written: str) -> str | float:
    return written if written in (AUTO, NONE) else float(written)


_BFACTOR = ValueKind(
    "auto, none or a number of square Angstrom",
    _parse_bfactor,
    lambda value: value in (AUTO, NONE) or real_number().accepts(value),
)


@dataclass(frozen=True, kw_only=True)
class RefineOptions:
    """Options of ``mapsort refine``; each field's metadata holds its help, group and values."""

    input: Path = _as_in_multi("input")
    passthrough: tuple[Path, ...] = _as_in_multi("passthrough")
    datadir: Path | None = _as_in_multi("datadir")
    model: Path | None = field(
        default=None,
        metadata=option(
            file_path("a map"),
            group=REFINEMENT,
            metavar="FILE",
            help="starting map; both halves of the particles begin with it, low-passed, with "
            "random phases of their own beyond --startres",
        ),
    )
    startres: float | None = field(
        default=None,
        metadata=option(
            real_number(above=0),
            group=REFINEMENT,
            metavar="A",
            help="resolution in Angstrom up to which the starting map is used; by default "
            "auto: from --targetres, else a quarter of the particle's diameter",
        ),
    )
    diameter: float | None = field(
        default=None,
        metadata=option(
            real_number(above=0),
            group=REFINEMENT,
            metavar="A",
            help="diameter in Angstrom of a sphere that holds the particle; by default auto: that "
            "of the starting map, with a margin",
        ),
    )
    iter: int | None = _as_in_multi(
        "iter",
        help="number of iterations; by default auto: until resolution and poses no longer change",
    )
    sym: tuple[str, ...] = field(
        default=("c1",),
        metadata=option(
            list_of(text("a symmetry"), "one symmetry"),
            group=REFINEMENT,
            metavar="SYM",
            help="symmetry c<n>, d<n>, tet, oct, icos, icos2 or h<copies>:1:<turn>:<rise>",
        ),
    )
    breaksym: bool = _as_in_multi("breaksym")
    path: Path | None = _as_in_multi(
        "path", help="run directory; by default the next free refine_XX"
    )
    apix: float | None = _as_in_multi("apix")
    mass: tuple[float, ...] = field(
        default=(),
        metadata=option(
            list_of(real_number(above=0), "one mass in kDa, above 0"),
            group=REFINEMENT,
            metavar="KDA",
            help="mass in kDa that maps are scaled to at threshold 1",
        ),
    )
    targetres: float | None = _as_in_multi("targetres")
    speed: int = _as_in_multi(
        "speed", help="7 is the coarsest and fastest, 1 the finest: step of the grid of views"
    )
    parallel: str = _as_in_multi("parallel")
    randomseed: int | None = _as_in_multi(
        "randomseed",
        help="seed; the same seed gives the same maps with any number of threads",
    )
    ctf: CtfHandling = _as_in_multi("ctf")
    invert: bool = _as_in_multi("invert")
    startiter: int | None = field(
        default=None,
        metadata=option(
            whole_number(1),
            group=REFINEMENT,
            metavar="YY",
            help="with --resume: the iteration to begin with again; later ones are made anew",
        ),
    )
    resume: Path | None = field(
        default=None,
        metadata=option(
            file_path("a run directory"),
            group=REFINEMENT,
            metavar="RUN",
            help="go on with this refine_XX after its last finished iteration, with a larger "
            "--iter also when it had ended; --input and --model are not needed",
        ),
    )
    orientgen: str = _as_in_multi(
        "orientgen",
        help="orientation generator, eman or even, as name:delta=DEG; auto: its step follows the "
        "resolution",
    )
    maxshift: float | None = _as_in_multi("maxshift")
    simcmp: str = _as_in_multi(
        "simcmp", help=f"comparator: {', '.join(COMPARATORS)}, with :minres=A:maxres=A"
    )
    pad: int = _as_in_multi("pad")
    automask3d: Automask3D | None = _as_in_multi("automask3d")
    bfactor: str | float = field(
        default=AUTO,
        metadata=option(
            _BFACTOR,
            group=RECONSTRUCTION,
            metavar="auto|none|B",
            help="sharpening of the final map: auto fits the decay beyond 10 A, where the "
            "resolution allows; a positive number sharpens by exp(B s^2 / 4)",
        ),
    )
    m3dsetsf: Path | None = field(
        default=None,
        metadata=option(
            file_path("a structure factor file"),
            group=RECONSTRUCTION,
            metavar="FILE",
            help="two columns, frequency in 1/A and intensity, that the final map is given in "
            "place of --bfactor",
        ),
    )
    check: bool = _as_in_multi("check")
    verbose: int = _as_in_multi("verbose")
    quiet: bool = _as_in_multi("quiet")
    no_report: bool = _as_in_multi("no_report")

    def validated(self) -> RefineOptions:
        """Return self after the checks that need no files.

        Raises
        ------
        ConfigError
            Naming the option, its value and the values it takes.
        """
        if self.model is None:
            raise ConfigError("--model is missing: give the starting map")
        if len(self.sym) != 1:
            raise refuse("sym", self.sym, "one symmetry: there is one map")
        if len(self.mass) > 1:
            raise refuse("mass", self.mass, "one mass: there is one map")
        if self.simcmp.partition(":")[0] not in COMPARATORS:
            raise refuse("simcmp", self.simcmp, f"one of {', '.join(COMPARATORS)}")
        if self.m3dsetsf is not None and self.bfactor not in (AUTO, NONE):
            raise ConfigError("--m3dsetsf and --bfactor: give one of them")
        if self.startiter is not None and self.resume is None:
            raise ConfigError("--startiter: is for --resume RUN, the run to go on with")
        kinds = {item.name: item for item in dataclasses.fields(self)}
        for name in ("startres", "diameter", "bfactor", "m3dsetsf", "startiter", "resume"):
            value, kind = getattr(self, name), kinds[name].metadata["kind"]
            if value is not kinds[name].default and not kind.accepts(value):
                raise refuse(name, value, kind.words)
        self.as_multi().validated()
        return self

    def as_multi(self) -> MultiOptions:
        """Return the request as one of several maps, of which there is one.

        Opening, checking, planning, matching and masking are those of ``mapsort multi``.
        """
        assert self.model is not None, "validated() refuses a request without a map"
        shared = {
            item.name: getattr(self, item.name)
            for item in dataclasses.fields(self)
            if item.name in _MULTI and item.name not in _OWN
        }
        return MultiOptions(**shared, models=(self.model,))

    @property
    def n_iterations(self) -> int:
        """Number of iterations, at most."""
        return self.as_multi().n_iterations

    def as_record(self) -> dict[str, Any]:
        """Return every option as plain JSON types, in the order of the table."""
        plain = self.as_multi().as_record()
        own = {
            item.name: plain[item.name]
            if item.name in plain and item.name not in _OWN
            else getattr(self, item.name)
            for item in dataclasses.fields(self)
        }
        return own | {"models": [str(self.model)]}
