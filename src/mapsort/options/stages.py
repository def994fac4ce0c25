"""Options of single stages done by hand: ``mapsort similarity``, ``classify``, ``average``."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import ClassVar

from mapsort.errors import ConfigError
from mapsort.options.fields import Options, option, refuse, required
from mapsort.options.maps import AverageOptions
from mapsort.options.multi import MultiOptions
from mapsort.options.search import ComparisonOptions
from mapsort.options.shared import Parallel, ParticleImages, Quiet
from mapsort.options.types import file_path, list_of, whole_number
from mapsort.rundir.wording import counted

FILES = "files"
PARTICLES = "particles"


class StageParticles(ParticleImages, Parallel, Quiet, group=PARTICLES):
    """How particles are read by a single stage."""


class StageFiles(Options, group=FILES):
    """What a single stage reads and writes."""

    files: tuple[Path, ...] = option(
        list_of(file_path("a file"), "files"), "FILE", "files", (), positional=True
    )
    out: Path = required(file_path("an .hdf file"), "FILE", "file to write", flags=("-o",))
    _names: ClassVar[tuple[str, ...]] = ()

    def _check(self) -> None:
        super()._check()
        require_files(self.files, self._names)
        _check_hdf("out", self.out)


class StageOfRun(StageFiles, StageParticles):
    """A stage that compares the particles of one file with the projections of another."""

    #: The options of a run that the stage has.
    _of_run: ClassVar[type[Options]]

    def _check(self) -> None:
        super()._check()
        self.as_multi(1)

    def as_multi(self, n_maps: int) -> MultiOptions:
        """Return the same request as options of a whole run."""
        taken = {
            item.name: getattr(self, item.name)
            for kind in (self._of_run, StageParticles)
            for item in dataclasses.fields(kind)
        }
        # no map is read: projections stand for them
        projections, particles = self.files[:2]
        return MultiOptions(input=particles, models=(projections,) * n_maps, **taken).validated()


class SimilarityOptions(
    StageOfRun,
    ComparisonOptions,
    group=FILES,
    words={
        "files": "PROJECTIONS (.hdf with xform.projection and model_id) and PARTICLES",
        "out": "similarity matrix to write, as simmx_YY.hdf",
    },
):
    """Options of ``mapsort similarity``."""

    _names = ("PROJECTIONS", "PARTICLES")
    _of_run = ComparisonOptions

    def _check(self) -> None:
        super()._check()
        if self.twostage:
            raise refuse("twostage", self.twostage, "0: a matrix by hand is made in one stage")


class ClassifyOptions(
    StageFiles, group=FILES, words={"out": "classification matrix to write, as classify_YY.hdf"}
):
    """Options of ``mapsort classify``."""

    files: tuple[Path, ...] = option(
        list_of(file_path("a file"), "files"),
        "SIMMX",
        "similarity matrix: simmx_YY.hdf or .h5",
        (),
        positional=True,
    )
    _names = ("SIMMX",)
    sep: int = option(whole_number(1), "N", "number of references each particle goes to", 1)


class AverageStageOptions(
    StageOfRun,
    AverageOptions,
    group=FILES,
    words={
        "files": "PROJECTIONS (.hdf), PARTICLES and CLASSIFY (as classify_YY.hdf)",
        "out": "class averages to write, as classes_YY.hdf",
    },
):
    """Options of ``mapsort average``."""

    _names = ("PROJECTIONS", "PARTICLES", "CLASSIFY")
    _of_run = AverageOptions
    result: Path | None = option(
        file_path("an .hdf file"),
        "FILE",
        "also write who was averaged, and where, as cls_result_YY.hdf",
    )

    def _check(self) -> None:
        super()._check()
        if self.result is not None:
            _check_hdf("result", self.result)


def require_files(files: tuple[Path, ...], names: tuple[str, ...]) -> None:
    """Refuse another number of files than there are names."""
    if len(files) != len(names):
        raise ConfigError(f"give {' '.join(names)}; given: {counted(len(files), 'file')}")


def _check_hdf(name: str, path: Path) -> None:
    if path.suffix.lower() != ".hdf":
        raise refuse(name, path, "a file ending in .hdf")
