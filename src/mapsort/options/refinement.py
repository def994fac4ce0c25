"""Options of a refinement as a whole, and those every long command has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mapsort.options.fields import Options, choice, flag, option, required
from mapsort.options.shared import ParticleImages, Passthrough, Quiet, Symmetries, Workers
from mapsort.options.types import (
    BATCH_SIZE,
    ITERATION_COUNT,
    MAP_COUNT,
    MOST_ITERATIONS,
    SMALLEST_BOX,
    KeptFiles,
    MapFormat,
    SeedMethod,
    file_path,
    list_of,
    real_number,
    text,
    whole_number,
)

GENERAL = "general"
REFINEMENT = "whole refinement"


class RefinementInput(Passthrough):
    """What is refined."""

    input: Path = required(
        file_path("a particle file"),
        "FILE",
        "particles: RELION .star, cryoSPARC .cs, EMAN2 .hdf or .lst, or a bare .mrcs/.mrc stack",
    )


class StartingMaps(Symmetries):
    """Where several maps begin, and what is known of them."""

    usefilt: Path | None = option(
        file_path("a particle file"),
        "FILE",
        "a filtered copy of the particles (same order), used for alignment only; averages "
        "use --input",
    )
    models: tuple[Path, ...] = option(
        list_of(file_path("a map"), "map files separated by commas, none empty"),
        "A,B,...",
        "starting maps, one per class, separated by commas; without any, and without --model, "
        "--nmodels maps are made of the particles first, as mapsort abinit does",
        (),
    )
    model: Path | None = option(
        file_path("a map"),
        "FILE",
        "one map, in place of --models, that --nmodels starting maps are made from",
    )
    nmodels: int | None = option(
        MAP_COUNT,
        "K|auto",
        "number of starting maps made from --model, or without it from the particles; auto: as "
        "many classes as are significant for left-out particles",
        2,
    )
    seedmethod: SeedMethod = choice(
        SeedMethod.AUTO,
        "how these maps are made: pca finds classes first, by principal components of the "
        "particles' volume, and starts from their maps; noise adds noise; randphase makes phases "
        "beyond 50 A random; randclassify takes the same map, and splits the particles at random "
        "in the first iteration; mapfragment leaves a segment out of each; auto: pca, if the "
        "other options allow it",
    )
    startres: float | None = option(
        real_number(above=0),
        "A",
        "low-pass the starting maps to this resolution in Angstrom, so that fine detail "
        "does not bias the classes; by default they are taken as they are",
    )
    starts: int = option(
        whole_number(1, 99),
        "N",
        "try N random starts of 3 iterations each (noise is added to --models), and "
        "continue with the most likely",
        1,
    )
    batch: int | None = option(
        BATCH_SIZE,
        "auto|N|all",
        "particles of each batch that improves the starting maps while they are coarse, before "
        "all particles are taken; all: none; auto: batches that grow, with many particles and "
        "--iter auto",
    )
    replicates: int = option(
        whole_number(1, 99),
        "N",
        "classify N times, from the second on with other seeds and four fifths of the images; "
        "consensus.star holds the most frequent class of each particle and its stability",
        1,
    )
    control: bool = flag(
        "null control: then repeat the run on simulated particles of one structure, with the same "
        "poses, CTF, scales and noise, and show both results side by side"
    )
    mass: tuple[float, ...] = option(
        list_of(real_number(above=0), "masses in kDa, each above 0"),
        "KDA",
        "mass in kDa that maps are scaled to at threshold 1: one for all, or one per map",
        (),
    )


class Course(ParticleImages, Workers):
    """How long and how finely a refinement goes on, and where."""

    iter: int | None = option(
        ITERATION_COUNT,
        "N|auto",
        "number of iterations; by default auto: until assignments, occupancies and "
        f"resolutions no longer change, at most {MOST_ITERATIONS}",
    )
    breaksym: bool = flag(
        "--sym is only nearly true: search all its equivalent views, reconstruct in c1"
    )
    relax: tuple[str, ...] = option(
        list_of(text("a symmetry"), "symmetries, none empty"),
        "SYM",
        "symmetry that is only nearly true, of which --sym is the true part: poses are searched "
        "and weighted at all its copies; one for all maps, or one per map",
        (),
        names="geometry.symmetry:symmetry",
    )
    path: Path | None = option(
        file_path("a directory"), "DIR", "run directory; by default the next free multi_XX"
    )
    downsample: int | None = option(
        whole_number(SMALLEST_BOX),
        "PX",
        "bring the images to a box of PX pixels as they are read, with as much larger pixels; maps "
        "come out in this box, and options in pixels are in these; by default images are taken as "
        "they are",
    )
    targetres: float | None = option(
        real_number(above=0),
        "A",
        "target resolution in Angstrom; with --speed, sets the angular step and the filters",
    )
    speed: int = option(
        whole_number(1, 7),
        "1..7",
        "7 is the coarsest and fastest, 1 the finest; 6 and 7 search near the last poses "
        "after the first iteration, but a fifth of the particles everywhere",
        5,
    )
    randomseed: int | None = option(
        whole_number(0),
        "N",
        "seed; the same seed gives the same assignments with any number of threads",
    )

    @property
    def n_iterations(self) -> int:
        """Number of iterations, at most."""
        return self.iter or MOST_ITERATIONS

    def as_record(self) -> dict[str, Any]:
        """Return every option as plain JSON types, in the order of the table."""
        autos = ("iter", "nmodels")
        return super().as_record() | {n: "auto" for n in autos if getattr(self, n, 0) is None}


class MapFiles(Options):
    """What stays of a run, and what it may use."""

    lowmem: bool = flag(
        "use less memory: small blocks of particles and projections, and only the best "
        "matches are kept of the similarity matrix"
    )
    format: MapFormat = choice(MapFormat.MRC, "maps as MRC2014 or as EMAN2 HDF")
    keepfiles: KeptFiles = choice(
        KeptFiles.ALL,
        "keep projections, matrices and class averages of all iterations, of the last, or (maps) "
        "of none; maps, particle tables and curves are always kept",
    )


class RefinementOptions(RefinementInput, StartingMaps, Course, MapFiles, group=REFINEMENT):
    """What is refined, how long and how finely."""


class GeneralOptions(Quiet, group=GENERAL):
    """Checking only, how much is told."""

    check: bool = flag(
        "verify inputs, options, memory and disk need, print what would run, do no work", "-c"
    )
    verbose: int = option(
        whole_number(0, 9),
        "0..9",
        "verbosity: 1 shows the choices made, as run.log has them, 2 also what each stage did, 9 "
        "also tracebacks",
        0,
        flags=("-v",),
    )
    no_report: bool = flag("no report/index.html in the run directory")


class ContinuedOptions(Options, group=GENERAL):
    """Going on with a run of several maps, and its log."""

    resume: Path | None = option(
        file_path("a run directory"),
        "PATH",
        "continue a run, with its options; completed work is kept; a finished run "
        "continues with a larger --iter, also with another --targetres or --speed",
    )
    log_json: bool = flag("the log as JSON lines too, in run.log.json beside run.log")
