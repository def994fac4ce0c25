"""Options of ``mapsort refine``: those of ``mapsort multi`` that one map has, and its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mapsort.errors import ConfigError
from mapsort.options.fields import Options, option, refuse
from mapsort.options.maps import RECONSTRUCTION, Automask
from mapsort.options.multi import POSE_COMPARATORS, MultiOptions, as_in_multi
from mapsort.options.refinement import REFINEMENT, Course, GeneralOptions, RefinementInput
from mapsort.options.search import OrientationStep, PoseSearch
from mapsort.options.shared import Pad
from mapsort.options.types import ValueKind, file_path, list_of, real_number, text, whole_number

#: Options of the same name as one of multi that mean another thing here.
_OWN = ("model", "m3dsetsf", "startres")
AUTO, NONE = "auto", "none"


def _parse_bfactor(written: str) -> str | float:
    return written if written in (AUTO, NONE) else float(written)


_BFACTOR = ValueKind(
    "auto, none or a number of square Angstrom",
    _parse_bfactor,
    lambda value: value in (AUTO, NONE) or real_number().accepts(value),
)


class SingleMap(Options):
    """Where one map begins, and what is known of it."""

    model: Path | None = option(
        file_path("a map"),
        "FILE",
        "starting map; both halves of the particles begin with it, low-passed, with "
        "random phases of their own beyond --startres",
    )
    startres: float | None = option(
        real_number(above=0),
        "A",
        "resolution in Angstrom up to which the starting map is used; by default "
        "auto: from --targetres, else a quarter of the particle's diameter",
    )
    diameter: float | None = option(
        real_number(above=0),
        "A",
        "diameter in Angstrom of a sphere that holds the particle; by default auto: that "
        "of the starting map, with a margin",
    )
    sym: tuple[str, ...] = option(
        list_of(text("a symmetry"), "one symmetry"),
        "SYM",
        "symmetry c<n>, d<n>, tet, oct, icos, icos2 or h<copies>:1:<turn>:<rise>",
        ("c1",),
        names="geometry.symmetry:symmetry",
    )
    mass: tuple[float, ...] = option(
        list_of(real_number(above=0), "one mass in kDa, above 0"),
        "KDA",
        "mass in kDa that maps are scaled to at threshold 1",
        (),
    )
    startiter: int | None = option(
        whole_number(1),
        "YY",
        "with --resume: the iteration to begin with again; later ones are made anew",
    )
    resume: Path | None = option(
        file_path("a run directory"),
        "RUN",
        "go on with this refine_XX after its last finished iteration, with a larger "
        "--iter also when it had ended; --input and --model are not needed",
    )


class FinalMap(Options, group=RECONSTRUCTION):
    """How the final map is sharpened."""

    bfactor: str | float = option(
        _BFACTOR,
        "auto|none|B",
        "sharpening of the final map: auto fits the decay beyond 10 A, where the "
        "resolution allows; a positive number sharpens by exp(B s^2 / 4)",
        AUTO,
    )
    m3dsetsf: Path | None = option(
        file_path("a structure factor file"),
        "FILE",
        "two columns, frequency in 1/A and intensity, that the final map is given in "
        "place of --bfactor",
    )


class RefineOptions(
    RefinementInput,
    SingleMap,
    Course,
    OrientationStep,
    PoseSearch,
    Pad,
    Automask,
    FinalMap,
    GeneralOptions,
    group=REFINEMENT,
    words={
        "iter": "number of iterations; by default auto: until resolution and poses no longer "
        "change",
        "path": "run directory; by default the next free refine_XX",
        "speed": "7 is the coarsest and fastest, 1 the finest: step of the grid of views",
        "randomseed": "seed; the same seed gives the same maps with any number of threads",
        "orientgen": "orientation generator, eman or even, as name:delta=DEG; auto: its step "
        "follows the resolution",
        "simcmp": f"comparator: {', '.join(POSE_COMPARATORS)}, with :minres=A:maxres=A",
    },
):
    """Options of ``mapsort refine``."""

    def _check(self) -> None:
        super()._check()
        if self.model is None:
            raise ConfigError("--model is missing: give the starting map")
        if len(self.sym) != 1:
            raise refuse("sym", self.sym, "one symmetry: there is one map")
        if len(self.mass) > 1:
            raise refuse("mass", self.mass, "one mass: there is one map")
        if self.simcmp.partition(":")[0] not in POSE_COMPARATORS:
            raise refuse("simcmp", self.simcmp, f"one of {', '.join(POSE_COMPARATORS)}")
        if self.m3dsetsf is not None and self.bfactor not in (AUTO, NONE):
            raise ConfigError("--m3dsetsf and --bfactor: give one of them")
        if self.startiter is not None and self.resume is None:
            raise ConfigError("--startiter: is for --resume RUN, the run to go on with")
        self.as_multi().validated()

    def as_multi(self) -> MultiOptions:
        """Return the request as one of several maps, of which there is one.

        Opening, checking, planning, matching and masking are those of ``mapsort multi``.
        """
        assert self.model is not None, "validated() refuses a request without a map"
        shared = as_in_multi(self, *_OWN)
        return MultiOptions(**shared, models=(self.model,))

    def as_record(self) -> dict[str, Any]:
        """Return every option as plain JSON types, in the order of the table."""
        return super().as_record() | {"models": [str(self.model)]}
