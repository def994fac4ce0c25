"""Options of a refinement as a whole, and those every long command has."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from mapsort.options.fields import (
    file_path,
    list_of,
    one_of,
    option,
    real_number,
    whole_number,
)
from mapsort.options.shared import (
    apix_field,
    ctf_field,
    datadir_field,
    invert_field,
    parallel_field,
    passthrough_field,
    quiet_field,
    symmetries_field,
)
from mapsort.options.types import (
    ITERATION_COUNT,
    MOST_ITERATIONS,
    CtfHandling,
    KeptFiles,
    MapFormat,
    SeedMethod,
)

GENERAL = "general"
REFINEMENT = "whole refinement"


@dataclass(frozen=True, kw_only=True)
class RefinementOptions:
    """What is refined, how long and how finely."""

    input: Path = field(
        metadata=option(
            file_path("a particle file"),
            group=REFINEMENT,
            metavar="FILE",
            help="particles: RELION .star, cryoSPARC .cs, EMAN2 .hdf or .lst, or a bare "
            ".mrcs/.mrc stack",
        )
    )
    usefilt: Path | None = field(
        default=None,
        metadata=option(
            file_path("a particle file"),
            group=REFINEMENT,
            metavar="FILE",
            help="a filtered copy of the particles (same order), used for alignment only; averages "
            "use --input",
        ),
    )
    passthrough: tuple[Path, ...] = passthrough_field(REFINEMENT, "input")
    datadir: Path | None = datadir_field(REFINEMENT, "the input")
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
    startres: float | None = field(
        default=None,
        metadata=option(
            real_number(above=0),
            group=REFINEMENT,
            metavar="A",
            help="low-pass the starting maps to this resolution in Angstrom, so that fine detail "
            "does not bias the classes; by default they are taken as they are",
        ),
    )
    starts: int = field(
        default=1,
        metadata=option(
            whole_number(1, 99),
            group=REFINEMENT,
            metavar="N",
            help="try N random starts of 3 iterations each (noise is added to --models), and "
            "continue with the most likely",
        ),
    )
    iter: int | None = field(
        default=None,
        metadata=option(
            ITERATION_COUNT,
            group=REFINEMENT,
            metavar="N|auto",
            help="number of iterations; by default auto: until assignments, occupancies and "
            f"resolutions no longer change, at most {MOST_ITERATIONS}",
        ),
    )
    sym: tuple[str, ...] = symmetries_field(
        REFINEMENT,
        "symmetry c<n>, d<n>, tet, oct, icos, icos2 or h<copies>:1:<turn>:<rise> (degrees "
        "and Angstrom): one for all maps, or one per map",
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
    apix: float | None = apix_field(REFINEMENT, "the particles", "their file says")
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
    parallel: str = parallel_field(REFINEMENT, dask=True)
    randomseed: int | None = field(
        default=None,
        metadata=option(
            whole_number(0),
            group=REFINEMENT,
            metavar="N",
            help="seed; the same seed gives the same assignments with any number of threads",
        ),
    )
    ctf: CtfHandling = ctf_field(REFINEMENT, "applied when the particles have CTF parameters")
    invert: bool = invert_field(REFINEMENT, "particles are dark on bright: invert them")
    lowmem: bool = field(
        default=False,
        metadata=option(
            None,
            group=REFINEMENT,
            help="use less memory: small blocks of particles and projections, and only the best "
            "matches are kept of the similarity matrix",
        ),
    )
    format: MapFormat = field(
        default=MapFormat.MRC,
        metadata=option(
            one_of(MapFormat), group=REFINEMENT, help="maps as MRC2014 or as EMAN2 HDF"
        ),
    )
    keepfiles: KeptFiles = field(
        default=KeptFiles.ALL,
        metadata=option(
            one_of(KeptFiles),
            group=REFINEMENT,
            help="projections, similarity, classification and class averages: of all iterations, "
            "of the last, or (maps) none; maps, particle tables and curves always stay",
        ),
    )


@dataclass(frozen=True, kw_only=True)
class GeneralOptions:
    """Checking only, how much is told."""

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
            help="verbosity; 9 shows tracebacks",
        ),
    )
    quiet: bool = quiet_field(GENERAL)
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
            help="continue a run, with its options; completed work is kept; a finished run "
            "continues with a larger --iter, also with another --targetres or --speed",
        ),
    )
    log_json: bool = field(
        default=False,
        metadata=option(
            None, group=GENERAL, help="the log as JSON lines too, in run.log.json beside run.log"
        ),
    )
