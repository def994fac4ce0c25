"""Options of single stages done by hand: ``mapsort similarity``, ``classify``, ``average``."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mapsort.errors import ConfigError
from mapsort.options.fields import (
    check_values,
    file_path,
    list_of,
    option,
    refuse,
    whole_number,
)
from mapsort.options.maps import AverageOptions
from mapsort.options.multi import MultiOptions
from mapsort.options.search import ComparisonOptions
from mapsort.options.shared import (
    apix_field,
    ctf_field,
    datadir_field,
    invert_field,
    parallel_field,
    quiet_field,
)
from mapsort.options.types import CtfHandling

FILES = "files"
PARTICLES = "particles"


def _files_field(metavar: str, words: str) -> tuple[Path, ...]:
    value: tuple[Path, ...] = field(
        default=(),
        metadata=option(
            list_of(file_path("a file"), "files"),
            group=FILES,
            metavar=metavar,
            positional=True,
            help=words,
        ),
    )
    return value


def _out_field(words: str) -> Path:
    value: Path = field(
        metadata=option(
            file_path("an .hdf file"), group=FILES, flags=("-o",), metavar="FILE", help=words
        )
    )
    return value


@dataclass(frozen=True, kw_only=True)
class StageParticles:
    """How particles are read by a single stage."""

    ctf: CtfHandling = ctf_field(PARTICLES, "applied when the particles have CTF parameters")
    invert: bool = invert_field(PARTICLES, "particles are dark on bright: invert them")
    apix: float | None = apix_field(PARTICLES, "the particles", "their file says")
    datadir: Path | None = datadir_field(PARTICLES, "the input")
    parallel: str = parallel_field(PARTICLES)
    quiet: bool = quiet_field(PARTICLES)


@dataclass(frozen=True, kw_only=True)
class SimilarityOptions(StageParticles, ComparisonOptions):
    """Options of ``mapsort similarity``."""

    files: tuple[Path, ...] = _files_field(
        "FILE", "PROJECTIONS (.hdf with xform.projection and model_id) and PARTICLES"
    )
    out: Path = _out_field("similarity matrix to write, as simmx_YY.hdf")

    def validated(self) -> SimilarityOptions:
        """Return self after the checks that need no files.

        Raises
        ------
        ConfigError
            Naming the option, its value and the values it takes.
        """
        check_values(self)
        require_files(self.files, ("PROJECTIONS", "PARTICLES"))
        _check_hdf("out", self.out)
        if self.twostage:
            raise refuse("twostage", self.twostage, "0: a matrix by hand is made in one stage")
        self.as_multi(1)
        return self

    def as_multi(self, n_maps: int) -> MultiOptions:
        """Return the same request as options of a whole run."""
        return _as_multi(self, ComparisonOptions, self.files[1], self.files[0], n_maps)


@dataclass(frozen=True, kw_only=True)
class ClassifyOptions:
    """Options of ``mapsort classify``."""

    files: tuple[Path, ...] = _files_field("SIMMX", "similarity matrix: simmx_YY.hdf or .h5")
    out: Path = _out_field("classification matrix to write, as classify_YY.hdf")
    sep: int = field(
        default=1,
        metadata=option(
            whole_number(1),
            group=FILES,
            metavar="N",
            help="number of references each particle goes to",
        ),
    )

    def validated(self) -> ClassifyOptions:
        """Return self after the checks that need no files.

        Raises
        ------
        ConfigError
            Naming the option, its value and the values it takes.
        """
        check_values(self)
        require_files(self.files, ("SIMMX",))
        _check_hdf("out", self.out)
        return self


@dataclass(frozen=True, kw_only=True)
class AverageStageOptions(StageParticles, AverageOptions):
    """Options of ``mapsort average``."""

    files: tuple[Path, ...] = _files_field(
        "FILE", "PROJECTIONS (.hdf), PARTICLES and CLASSIFY (as classify_YY.hdf)"
    )
    out: Path = _out_field("class averages to write, as classes_YY.hdf")
    result: Path | None = field(
        default=None,
        metadata=option(
            file_path("an .hdf file"),
            group=FILES,
            metavar="FILE",
            help="also write who was averaged, and where, as cls_result_YY.hdf",
        ),
    )

    def validated(self) -> AverageStageOptions:
        """Return self after the checks that need no files.

        Raises
        ------
        ConfigError
            Naming the option, its value and the values it takes.
        """
        check_values(self)
        require_files(self.files, ("PROJECTIONS", "PARTICLES", "CLASSIFY"))
        _check_hdf("out", self.out)
        if self.result is not None:
            _check_hdf("result", self.result)
        self.as_multi(1)
        return self

    def as_multi(self, n_maps: int) -> MultiOptions:
        """Return the same request as options of a whole run."""
        return _as_multi(self, AverageOptions, self.files[1], self.files[0], n_maps)


def require_files(files: tuple[Path, ...], names: tuple[str, ...]) -> None:
    """Refuse another number of files than there are names.

    Raises
    ------
    ConfigError
        Naming what is expected.
    """
    if len(files) != len(names):
        raise ConfigError(f"give {len(names)} file(s), {' '.join(names)}; there are {len(files)}")


def _check_hdf(name: str, path: Path) -> None:
    if path.suffix.lower() != ".hdf":
        raise refuse(name, path, "a file ending in .hdf")


def _as_multi(
    stage: StageParticles, group: type[Any], particles: Path, projections: Path, n_maps: int
) -> MultiOptions:
    """Return a run's options with those of one group and of the particles as given here."""
    taken = {
        item.name: getattr(stage, item.name)
        for kind in (group, StageParticles)
        for item in dataclasses.fields(kind)
    }
    # no map is read: projections stand for them
    models = (projections,) * n_maps
    return MultiOptions(input=particles, models=models, **taken).validated()
