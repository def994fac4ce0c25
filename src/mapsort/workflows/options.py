"""Every option of a multi-map refinement: the one table the command line is built from."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, StrEnum
from pathlib import Path
from typing import Any, NamedTuple

from mapsort.engines.threads import available_threads
from mapsort.errors import ConfigError
from mapsort.workflows.option_fields import (
    ValueKind,
    check_values,
    file_path,
    list_of,
    one_of,
    option,
    per_map,
    real_number,
    refuse,
    text,
    whole_number,
)
from mapsort.workflows.parallel import TAKES, ParallelRequest, parse_parallel

GENERAL = "general"
REFINEMENT = "whole refinement"
PROJECTION = "projection"
COMPARISON = "comparison"
CLASSIFICATION = "classification"
AVERAGES = "class averages"
RECONSTRUCTION = "reconstruction"


class CtfHandling(StrEnum):
    """How the particles' contrast transfer is treated."""

    AUTO = "auto"
    APPLY = "apply"
    FLIPPED = "flipped"
    NONE = "none"


class SearchMethod(StrEnum):
    """How particles are aligned with projections in the comparison."""

    COARSE_TO_FINE = "rotate_translate_flip"
    EXHAUSTIVE = "rtf_exhaustive"


class Assignment(StrEnum):
    """How particles are shared among classes."""

    HARD = "hard"
    SOFT = "soft"


class SeedMethod(StrEnum):
    """How several starting maps are made from one."""

    NOISE = "noise"
    RANDOM_PHASES = "randphase"
    RANDOM_CLASSES = "randclassify"
    FRAGMENTS = "mapfragment"


class Automask3D(NamedTuple):
    """The five numbers of ``--automask3d``.

    Attributes
    ----------
    threshold : float
        Density from which a voxel belongs to the mask.
    radius : float
        Radius of the seed sphere [voxels].
    nshells, nshellsgauss : int
        Hard and soft shells added around it [voxels].
    nmaxseed : int
        Number of densest voxels that are seeds as well.
    """

    threshold: float
    radius: float
    nshells: int
    nshellsgauss: int
    nmaxseed: int


def _parse_automask(written: str) -> Automask3D:
    threshold, radius, nshells, nshellsgauss, nmaxseed = written.split(",")
    return Automask3D(
        float(threshold), float(radius), int(nshells), int(nshellsgauss), int(nmaxseed)
    )


def _accepts_automask(value: Any) -> bool:
    if not isinstance(value, Automask3D):
        return False
    threshold, radius, *counts = value
    return (
        real_number().accepts(threshold)
        and real_number(low=0).accepts(radius)
        and all(map(whole_number(0).accepts, counts))
        # Without either there is no voxel to start from.
        and (radius > 0 or value.nmaxseed > 0)
    )


_AUTOMASK = ValueKind(
    "five numbers threshold,radius,nshells,nshellsgauss,nmaxseed: two numbers, the radius not "
    "negative, and three whole numbers from 0; radius or nmaxseed must be above 0",
    _parse_automask,
    _accepts_automask,
)


#: Where ``--iter auto`` ends at the latest.
MOST_ITERATIONS = 25


def _parse_iterations(written: str) -> int | None:
    if written == "auto":
        return None
    value: int = whole_number(1).parse(written)
    return value


_ITERATIONS = dataclasses.replace(
    whole_number(1), parse=_parse_iterations, words="a whole number from 1, or auto"
)
_PARALLEL = ValueKind(TAKES, str, lambda value: isinstance(value, str))


@dataclass(frozen=True, kw_only=True)
class MultiOptions:
    """Options of ``mapsort multi``; each field's metadata holds its help, group and values."""

    input: Path = field(
        metadata=option(
            file_path("a particle file"),
            group=REFINEMENT,
            metavar="FILE",
            help="particles: RELION .star, cryoSPARC .cs, EMAN2 .hdf or .lst, or a bare "
            ".mrcs/.mrc stack",
        )
    )
    passthrough: tuple[Path, ...] = field(
        default=(),
        metadata=option(
            list_of(file_path("a passthrough file"), "passthrough files, none empty"),
            group=REFINEMENT,
            metavar="A,B,...",
            help="cryoSPARC's passthrough files that go with a .cs input",
        ),
    )
    datadir: Path | None = field(
        default=None,
        metadata=option(
            file_path("a directory"),
            group=REFINEMENT,
            metavar="DIR",
            help="where image files that the input names are looked for first",
        ),
    )
    models: tuple[Path, ...] = field(
        default=(),
        metadata=option(
            list_of(file_path("a map"), "map files separated by commas, none empty"),
            group=REFINEMENT,
            metavar="A,B,...",
            help="starting maps, one per class, separated by commas",
        ),
    )
    model: Path | None = field(
        default=None,
        metadata=option(
            file_path("a map"),
            group=REFINEMENT,
            metavar="FILE",
            help="one map, in place of --models, that --nmodels starting maps are made from",
        ),
    )
    nmodels: int = field(
        default=2,
        metadata=option(
            whole_number(1, 99),
            group=REFINEMENT,
            metavar="K",
            help="number of starting maps made from --model",
        ),
    )
    seedmethod: SeedMethod = field(
        default=SeedMethod.NOISE,
        metadata=option(
            one_of(SeedMethod),
            group=REFINEMENT,
            help="how: noise is added; phases beyond 50 A are random; the maps are the same and "
            "the particles split at random in the first iteration; or each lacks a segment",
        ),
    )
    iter: int | None = field(
        default=None,
        metadata=option(
            _ITERATIONS,
            group=REFINEMENT,
            metavar="N|auto",
            help="number of iterations; by default auto: until assignments, occupancies and "
            f"resolutions stand still, at most {MOST_ITERATIONS}",
        ),
    )
    sym: tuple[str, ...] = field(
        default=("c1",),
        metadata=option(
            list_of(text("a symmetry"), "symmetries, none empty"),
            group=REFINEMENT,
            metavar="SYM",
            help="symmetry c<n>, d<n>, tet, oct, icos, icos2 or h<copies>:1:<turn>:<rise> (degrees "
            "and Angstrom): one for all maps, or one per map",
        ),
    )
    breaksym: bool = field(
        default=False,
        metadata=option(
            None,
            group=REFINEMENT,
            help="--sym is only nearly true: search all its equivalent views, reconstruct in c1",
        ),
    )
    path: Path | None = field(
        default=None,
        metadata=option(
            file_path("a directory"),
            group=REFINEMENT,
            metavar="DIR",
            help="run directory; by default the next free multi_XX",
        ),
    )
    apix: float | None = field(
        default=None,
        metadata=option(
            real_number(above=0),
            group=REFINEMENT,
            metavar="A",
            help="pixel size of the particles in Angstrom; by default as their file says",
        ),
    )
    mass: tuple[float, ...] = field(
        default=(),
        metadata=option(
            list_of(real_number(above=0), "masses in kDa, each above 0"),
            group=REFINEMENT,
            metavar="KDA",
            help="mass in kDa that maps are scaled to at threshold 1: one for all, or one per map",
        ),
    )
    targetres: float | None = field(
        default=None,
        metadata=option(
            real_number(above=0),
            group=REFINEMENT,
            metavar="A",
            help="resolution aimed at, in Angstrom; with --speed sets the step and the filters",
        ),
    )
    speed: int = field(
        default=5,
        metadata=option(
            whole_number(1, 7),
            group=REFINEMENT,
            metavar="1..7",
            help="7 is the coarsest and fastest, 1 the finest; 6 and 7 search near the last poses "
            "after the first iteration, but a fifth of the particles everywhere",
        ),
    )
    parallel: str = field(
        default="",
        metadata=option(
            _PARALLEL,
            group=REFINEMENT,
            flags=("-P",),
            metavar="WHERE",
            help="thread:N, the number of threads, by default all that this process may use; "
            "dask:HOST:PORT, the workers of a Dask scheduler; dask:local=N, N processes here",
        ),
    )
    randomseed: int | None = field(
        default=None,
        metadata=option(
            whole_number(0),
            group=REFINEMENT,
            metavar="N",
            help="seed; the same seed gives the same assignments with any number of threads",
        ),
    )
    ctf: CtfHandling = field(
        default=CtfHandling.AUTO,
        metadata=option(
            one_of(CtfHandling),
            group=REFINEMENT,
            help="contrast transfer: auto (applied when the particles have CTF parameters), apply, "
            "flipped (the images are phase-flipped), none",
        ),
    )
    invert: bool = field(
        default=False,
        metadata=option(None, group=REFINEMENT, help="particles are dark on bright: invert them"),
    )
    orientgen: str = field(
        default="auto",
        metadata=option(
            text("auto or an orientation generator, for example eman:delta=7.5"),
            group=PROJECTION,
            metavar="SPEC",
            help="orientation generator, eman or even, as name:delta=DEG; auto: from "
            "--targetres and --speed",
        ),
    )
    projector: str = field(
        default="fourier",
        metadata=option(
            text("a projector, for example standard"),
            group=PROJECTION,
            metavar="SPEC",
            help="projector: fourier (slices, to :tolerance=E), fourier_gridding, gauss_fft; in "
            "real space standard, pawel, chao, maxval",
        ),
    )
    maxshift: float | None = field(
        default=None,
        metadata=option(
            real_number(low=0),
            group=COMPARISON,
            metavar="PX",
            help="largest shift searched, in pixels; by default auto, an eighth of the box",
        ),
    )
    simcmp: str = field(
        default="loglik",
        metadata=option(
            text("a comparator, for example frc:maxres=10"),
            group=COMPARISON,
            metavar="SPEC",
            help="comparator: loglik, ccc, dot, sqeuclidean, frc or phase, with :minres=A:maxres=A",
        ),
    )
    simalign: SearchMethod = field(
        default=SearchMethod.COARSE_TO_FINE,
        metadata=option(
            one_of(SearchMethod),
            group=COMPARISON,
            help="search over rotation, mirror and shift: rotate_translate_flip (coarse to fine, "
            "then refined), or rtf_exhaustive (every reference in the full band: slow)",
        ),
    )
    simmask: Path | None = field(
        default=None,
        metadata=option(
            file_path("a mask image"),
            group=COMPARISON,
            metavar="FILE",
            help="2-D mask of the box's size that multiplies every projection",
        ),
    )
    sep: int = field(
        default=1,
        metadata=option(
            whole_number(1),
            group=CLASSIFICATION,
            metavar="N",
            help="number of references each particle goes to",
        ),
    )
    assign: Assignment = field(
        default=Assignment.HARD,
        metadata=option(
            one_of(Assignment),
            group=CLASSIFICATION,
            help="hard: each particle goes to its best reference (--sep of them); soft: to all "
            "that are kept, by their posterior probability, from broad to sharp",
        ),
    )
    junk: int = field(
        default=0,
        metadata=option(
            whole_number(0, 1),
            group=CLASSIFICATION,
            metavar="N",
            help="1: particles that match no map better than pure noise does go to a class of "
            "their own, after the last map's",
        ),
    )
    classkeep: float = field(
        default=0.9,
        metadata=option(
            real_number(),
            group=AVERAGES,
            metavar="F",
            help="fraction of each class that is averaged, the best first",
        ),
    )
    classkeepsig: bool = field(
        default=False,
        metadata=option(
            None,
            group=AVERAGES,
            help="--classkeep is in standard deviations from the class's mean score",
        ),
    )
    pad: int = field(
        default=0,
        metadata=option(
            whole_number(0),
            group=RECONSTRUCTION,
            metavar="PX",
            help="size in pixels of the padded Fourier volume; 0 is twice the box",
        ),
    )
    recon: str = field(
        default="fourier",
        metadata=option(
            text("a reconstructor, for example fourier"),
            group=RECONSTRUCTION,
            metavar="SPEC",
            help="fourier (least squares), back_projection (a few steps: faster), nn4, "
            "nn4_rect or nn4_ctf with :snr=S; wiener_fourier and nnSSNR are fourier here, for all "
            "maps are Wiener-filtered by their halves",
        ),
    )
    m3dkeep: float = field(
        default=0.8,
        metadata=option(
            real_number(),
            group=RECONSTRUCTION,
            metavar="F",
            help="with --m3diter from 2: fraction of a map's class averages that make the map, "
            "those that agree best with the map of the others",
        ),
    )
    m3dkeepsig: bool = field(
        default=False,
        metadata=option(
            None,
            group=RECONSTRUCTION,
            help="--m3dkeep is in standard deviations below the mean quality of a map's averages",
        ),
    )
    m3diter: int = field(
        default=1,
        metadata=option(
            whole_number(1),
            group=RECONSTRUCTION,
            metavar="N",
            help="1: all class averages make the map; 2: one pass of selection by --m3dkeep; "
            "from 3: their scales are refined too",
        ),
    )
    automask3d: Automask3D | None = field(
        default=None,
        metadata=option(
            _AUTOMASK,
            group=RECONSTRUCTION,
            metavar="T,R,N,G,S",
            help="mask maps by threshold,radius,nshells,nshellsgauss,nmaxseed; by default one "
            "soft envelope about the density of all maps",
        ),
    )
    check: bool = field(
        default=False,
        metadata=option(
            None,
            group=GENERAL,
            flags=("-c",),
            help="verify inputs, options, memory and disk need, print what would run, do no work",
        ),
    )
    verbose: int = field(
        default=0,
        metadata=option(
            whole_number(0, 9),
            group=GENERAL,
            flags=("-v",),
            metavar="0..9",
            help="how much is told; 9 shows tracebacks",
        ),
    )
    quiet: bool = field(
        default=False,
        metadata=option(None, group=GENERAL, flags=("-q",), help="no progress display"),
    )
    no_report: bool = field(
        default=False,
        metadata=option(None, group=GENERAL, help="no report/index.html in the run directory"),
    )
    resume: Path | None = field(
        default=None,
        metadata=option(
            file_path("a run directory"),
            group=GENERAL,
            metavar="PATH",
            help="go on with a stopped run, with its options; nothing finished is done again",
        ),
    )
    log_json: bool = field(
        default=False,
        metadata=option(
            None, group=GENERAL, help="the log as JSON lines too, in run.log.json beside run.log"
        ),
    )

    def validated(self) -> MultiOptions:
        """Return self after the checks that need no files.

        Raises
        ------
        ConfigError
            Naming the option, its value and the values it takes (SEMANTICS 3.3).
        """
        check_values(self)
        self = _with_models(self)
        per_map("sym", self.sym, len(self.models))
        if self.mass:
            per_map("mass", self.mass, len(self.models))
        _check_breaksym(self)
        _check_keep("classkeep", self.classkeep, self.classkeepsig)
        _check_keep("m3dkeep", self.m3dkeep, self.m3dkeepsig)
        _check_resolution(self)
        _check_named(self)
        parse_parallel(self.parallel)
        return self

    @property
    def n_iterations(self) -> int:
        """Number of iterations, at most."""
        return self.iter or MOST_ITERATIONS

    @property
    def symmetries(self) -> tuple[str, ...]:
        """Symmetry of each map."""
        return per_map("sym", self.sym, len(self.models))

    @property
    def masses(self) -> tuple[float, ...] | None:
        """Mass of each map [kDa], or None when maps are not scaled to a mass."""
        return per_map("mass", self.mass, len(self.models)) if self.mass else None

    @property
    def n_threads(self) -> int:
        """Threads to use: those asked for, else all that this process may use."""
        return self._parallel.n_threads or available_threads()

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user should know about how the options are taken; one line each."""
        scratch = self._parallel.ignored_scratch
        if scratch is None:
            return ()
        return (f"--parallel={self.parallel}: the scratch directory {scratch} is not needed here",)

    def as_record(self) -> dict[str, Any]:
        """Return every option as plain JSON types, in the order of the table."""
        record = {item.name: _plain(getattr(self, item.name)) for item in dataclasses.fields(self)}
        return record | ({"iter": "auto"} if self.iter is None else {})

    @property
    def _parallel(self) -> ParallelRequest:
        return parse_parallel(self.parallel)


def _with_models(options: MultiOptions) -> MultiOptions:
    """Return the options with a path for each map, ``--model`` repeated as often as asked for."""
    if options.model is None:
        if not options.models:
            raise ConfigError("--models is missing: give maps A,B,..., or one map by --model")
        return options
    made = (options.model,) * options.nmodels
    if options.models not in ((), made):
        raise ConfigError("--models and --model: give one of them")
    return dataclasses.replace(options, models=made)


def _check_breaksym(options: MultiOptions) -> None:
    if not options.breaksym:
        return
    names = [name.strip().lower() for name in options.sym]
    if all(name == "c1" for name in names):
        raise ConfigError("--breaksym: --sym names no symmetry to break; give one, for example c4")
    if any(name.startswith("h") for name in names):
        raise ConfigError("--breaksym: takes point groups in --sym, no helices")


def _check_keep(name: str, keep: float, in_sigmas: bool) -> None:
    if not in_sigmas and not 0 < keep <= 1:
        raise refuse(name, keep, f"a fraction above 0 and up to 1 (any number with --{name}sig)")


def _check_resolution(options: MultiOptions) -> None:
    if options.targetres is None or options.apix is None:
        return
    if options.targetres < 2 * options.apix:
        words = f"at least {2 * options.apix:g} A, twice the pixel size"
        raise refuse("targetres", options.targetres, words)


def _check_named(options: MultiOptions) -> None:
    """Check the names of symmetries, comparator and orientation generator."""
    # Imported here: these import numpy, which `--help` can do without.
    from mapsort.geometry.symmetry import symmetry
    from mapsort.modules.comparator import comparator
    from mapsort.modules.orientgen import orientation_generator
    from mapsort.modules.projector import projector
    from mapsort.modules.reconstructor import reconstructor

    checks: list[tuple[str, str, Callable[[str], object]]] = [
        *(("sym", name, symmetry) for name in options.sym),
        ("simcmp", options.simcmp, comparator),
        ("projector", options.projector, projector),
        ("recon", options.recon, reconstructor),
    ]
    if options.orientgen != "auto":
        checks.append(("orientgen", options.orientgen, orientation_generator))
    for option_name, value, check in checks:
        try:
            check(value)
        except ConfigError as error:
            written = ",".join(options.sym) if option_name == "sym" else value
            raise ConfigError(f"--{option_name}={written}: {error}") from error


def _plain(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value
