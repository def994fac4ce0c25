"""Options of ``mapsort pca``: those of ``mapsort multi`` that one map without classes has."""

from __future__ import annotations

from pathlib import Path

from mapsort.errors import ConfigError
from mapsort.options.fields import Options, flag, option, refuse
from mapsort.options.multi import MultiOptions, as_in_multi
from mapsort.options.refinement import REFINEMENT, Course, GeneralOptions, RefinementInput
from mapsort.options.search import OrientationStep, PoseSearch
from mapsort.options.shared import Symmetries
from mapsort.options.types import CONSENSUS_ITERATIONS, file_path, whole_number

#: Options of the same name as one of multi that mean another thing here.
_OWN = ("model", "iter")


class Variation(Options):
    """What varies, and how much of it is asked for."""

    model: Path | None = option(
        file_path("a map"), "FILE", "map that all particles are brought to: the consensus"
    )
    components: int | None = option(
        whole_number(1, 99),
        "N",
        "principal components to write; by default auto: those that explain particles which had "
        "no part in them, beyond chance",
    )
    skipalign: bool = flag(
        "no search: take the poses of the input (rlnAngleRot and so on), which may be off by a few "
        "degrees"
    )
    resume: Path | None = option(
        file_path("a run directory"),
        "RUN",
        "go on with a stopped run, with its options; --input and --model are not needed",
    )


class PcaOptions(
    RefinementInput,
    Variation,
    Symmetries,
    Course,
    OrientationStep,
    PoseSearch,
    GeneralOptions,
    group=REFINEMENT,
    words={
        "iter": "iterations that bring the particles to the map, unless --skipalign is given; by "
        f"default auto: {CONSENSUS_ITERATIONS}",
        "path": "run directory; by default the next free pca_XX",
        "randomseed": "seed; the same seed gives the same components with any number of threads",
        "sym": "symmetry that the map and all components have: c<n>, d<n>, tet, oct, icos or icos2",
    },
):
    """Options of ``mapsort pca``."""

    def _check(self) -> None:
        super()._check()
        if self.model is None:
            raise ConfigError("--model is missing: give the map that particles are brought to")
        if len(self.sym) != 1:
            raise refuse("sym", self.sym, "one symmetry: there is one map")
        if self.skipalign and self.relax:
            raise ConfigError(
                "--relax: says where poses are searched, and --skipalign searches none"
            )
        if self.sym[0].strip().lower().startswith("h") and not self.breaksym:
            raise refuse("sym", self.sym, "a point group: components of helices are not found")
        self.as_multi().validated()

    def as_multi(self) -> MultiOptions:
        """Return the request as one of several maps, of which there is one."""
        assert self.model is not None, "validated() refuses a request without a map"
        shared = as_in_multi(self, *_OWN)
        return MultiOptions(**shared, models=(self.model,), iter=self.iter or CONSENSUS_ITERATIONS)
