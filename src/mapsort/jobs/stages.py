"""One stage by itself (``mapsort similarity``, ``classify``, ``average``), on a run's files."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from mapsort.array_types import Float32
from mapsort.engines.chunks import Rows
from mapsort.engines.progress import Progress, default_progress, warn
from mapsort.errors import ConfigError, FormatError
from mapsort.geometry.euler import matrix_to_eman
from mapsort.geometry.symmetry import symmetry
from mapsort.io.hdf import HdfReader
from mapsort.io.hdf_header import EmanTransform, HeaderValue
from mapsort.jobs.thread_limits import thread_limits
from mapsort.model.matches import Matches
from mapsort.model.membership import Membership
from mapsort.model.particles import Particles
from mapsort.model.references import References
from mapsort.options.multi import MultiOptions
from mapsort.options.stages import (
    AverageStageOptions,
    ClassifyOptions,
    SimilarityOptions,
    StageOfRun,
)
from mapsort.refinement.averaging import average_classes, chosen_by_quality
from mapsort.refinement.comparison import (
    PairRanking,
    comparison_settings,
    highest_radius,
    pair_comparison,
    reference_power,
    search_context,
    search_mask,
)
from mapsort.refinement.ctf_choice import are_flipped, chosen_ctf
from mapsort.refinement.execution import Execution
from mapsort.refinement.given_maps import largest_shift
from mapsort.refinement.inputs import MultiInputs, open_mask, scan_images
from mapsort.refinement.plan import (
    BACKGROUND_RADIUS,
    BANK_BYTES,
    MultiPlan,
    noise_floor,
    particles_at_once,
)
from mapsort.refinement.reconstruction import filtered_averages
from mapsort.refinement.run import ParticleSpectra, Run
from mapsort.refinement.state import State
from mapsort.rundir.matrices import read_matches, read_members, read_similarity
from mapsort.rundir.outputs import check_output
from mapsort.rundir.scratch import Scratch
from mapsort.runfiles.maps import write_class_averages
from mapsort.runfiles.matrices import classification_images, write_matrices, write_similarity
from mapsort.stages.average.average import particle_noise_to_signal
from mapsort.stages.classify.assignment import classify, given_membership
from mapsort.stages.fourier_grid import FourierGrid
from mapsort.stages.prepare import ParticleTreatment
from mapsort.stages.project import image_slices
from mapsort.stages.reconstruct.insertion_grid import InsertionGrid
from mapsort.stages.search.match import REFINED, match_chunk
from mapsort.stages.search.search_plan import plan_image_match, spectrally_matched
from mapsort.stages.search.similarity import Similarity


@dataclass(frozen=True)
class Projections:
    """Projections of a file, as references."""

    #: (n, box, box).
    images: Float32
    references: References
    #: As they were, for what is made of them.
    headers: list[dict[str, HeaderValue]]


def open_projections(path: Path) -> Projections:
    """Read projections as ``mapsort project`` and runs write them.

    Raises
    ------
    FormatError
        The file is missing or damaged, an image has no orientation, or those of one map do not
        follow each other.
    """
    with HdfReader(path) as reader:
        headers = [reader.header(index) for index in range(reader.n_images)]
        images = reader.images() if headers else np.zeros((0, 1, 1), np.float32)
    rotations, models = [], []
    for number, header in enumerate(headers):
        pose = header.get("xform.projection")
        if not isinstance(pose, EmanTransform):
            raise FormatError(f"{path}: image {number} has no orientation (xform.projection)")
        rotations.append(pose.matrix[:, :3])
        models.append(int(str(header.get("model_id", 1))))
    if not headers or np.any(np.diff(models) < 0):
        raise FormatError(f"{path}: expected projections, those of map 1 first, then map 2, ...")
    numbers = np.unique(models, return_inverse=True)[1].astype(np.int32)
    references = References(matrix_to_eman(np.array(rotations)), numbers, int(numbers.max()) + 1)
    return Projections(np.asarray(images, np.float32), references, headers)


def read_classes(
    path: Path, n: int, n_classes: int, *, classify: Path | None = None
) -> tuple[Matches, Membership]:
    """Read who is averaged in which class, and how it lies there.

    Parameters
    ----------
    path : Path
        A classification matrix, as `mapsort.rundir.matrices.read_members` takes it.
    n, n_classes : int
        Numbers of particles and classes that there are.
    classify : Path, optional
        The file of the particles' weights; equal ones by default.

    Raises
    ------
    FormatError
        A file is missing or no such matrix, or has other particles or classes.
    """
    members = read_members(path, classify=classify)
    if len(members.class_of) != n or members.class_of.max() >= n_classes:
        raise FormatError(
            f"{path}: {len(members.class_of)} particles in classes up to {members.class_of.max()}; "
            f"there are {n} particles and {n_classes} projections"
        )
    classes = np.where(members.used, members.class_of, -1)
    weight = None if classify is None else members.weight
    membership = given_membership(classes, np.ones_like(members.used), n_classes, weight=weight)
    return read_matches(path), membership


def stage_run(asked: StageOfRun, progress: Progress | None) -> tuple[Run, State, Projections]:
    """Return a run and its state for one stage, where the noise is what the particles' power is.

    As in the first iteration of a run, which does not know yet what of the power is signal.

    Raises
    ------
    FormatError, ConfigError
        The particles cannot be used, or do not fit the projections.
    """
    check_output(asked.out, *asked.files)
    projections = open_projections(asked.files[0])
    options = asked.as_multi(projections.references.n_models)
    particles = Particles.open(options.input, apix=options.apix, datadir=options.datadir)
    shown = progress or default_progress()
    for note in (*particles.notes, *particles.validate()):
        warn(shown, note)
    box = projections.images.shape[1]
    if particles.box != box:
        raise ConfigError(
            f"{options.input}: images of {particles.box} pixels, but the projections of "
            f"{options.models[0]} have {box}"
        )
    inputs = MultiInputs(
        particles,
        (),
        chosen_ctf(options.ctf, particles),
        (),
        particles.half_sets(),
        open_mask(options, particles),
        flipped=are_flipped(options.ctf, particles),
    )
    run = Run(options, inputs, _plan(options, inputs, projections), Execution(shown))
    plan = run.plan
    with thread_limits(plan.n_threads):
        power = scan_images(
            particles, plan.treatment, plan.chunk, run.execution.progress, plan.n_threads
        )
    run = replace(run, spectra_seen=ParticleSpectra(power, power))
    return run, State(0, (), noise_floor(power), None), projections


def _plan(options: MultiOptions, inputs: MultiInputs, projections: Projections) -> MultiPlan:
    box = inputs.particles.box
    grid = FourierGrid.for_box(box)
    references = projections.references
    return MultiPlan(
        grid=grid,
        map_grid=InsertionGrid.for_box(box, options.pad),
        treatment=ParticleTreatment(grid, BACKGROUND_RADIUS * box, options.invert),
        references=references,
        symmetries=(symmetry("c1"),) * references.n_models,
        orientgen=str(options.models[0]),
        max_shift=largest_shift(options, box),
        max_radius=None,
        sphere_radius=box / 2.0,
        sphere_edge=0.0,
        chunk=particles_at_once(options, grid, len(references)),
        n_threads=options.n_threads,
        seed=0,
        flipped=inputs.flipped,
        refined=REFINED,
        block_bytes=BANK_BYTES,
    )


def similarity_matrix(
    options: SimilarityOptions, *, progress: Progress | None = None
) -> tuple[int, int]:
    """Compare particles with projections and write the matrix.

    Returns
    -------
    tuple of int
        Numbers of particles and of projections.
    """
    run, state, projections = stage_run(options, progress)
    with thread_limits(run.plan.n_threads):
        matrix = _compared(run, state, projections)
    write_similarity(options.out, matrix, Scratch())
    return matrix.score.shape[0], matrix.score.shape[1]


def _compared(run: Run, state: State, projections: Projections) -> Similarity:
    settings = comparison_settings(run.options, 1)
    threads, images = run.plan.n_threads, projections.images
    power, mask = reference_power(run), search_mask(run, settings)
    if power is not None:
        images = spectrally_matched(images, power, n_threads=threads)
    if mask is not None:
        images = images * mask
    context = replace(
        search_context(run, state.noise_power),
        max_radius=highest_radius(run, run.options.shrink),
    )
    plan = plan_image_match(images, context, settings, references=projections.references)
    ranking = None
    if settings.pairs is not None:
        ranking = PairRanking(run, pair_comparison(run, state, settings.pairs, images))

    def compared(where: Rows, raw: Float32) -> Similarity:
        found, every = match_chunk(
            plan,
            run.spectra_of(raw),
            run.ctf_of(where),
            refined=run.plan.refined,
            with_similarity=True,
            n_threads=threads,
        )
        assert every is not None, "it was asked for"
        return every if ranking is None else every.with_matches(ranking.ranked(raw, where, found))

    run.start("match", len(run.inputs.particles), 0)
    matrix = run.gathered(Similarity, compared, iteration=0, stage="match")
    run.execution.progress.finish(
        f"{len(run.inputs.particles)} particles with {len(images)} projections"
    )
    return matrix


def classification_matrix(options: ClassifyOptions) -> tuple[int, int]:
    """Classify the particles of a similarity matrix and write the classification matrix.

    Returns
    -------
    tuple of int
        Number of particles, and of references that got any.

    Raises
    ------
    FormatError, ConfigError
        The file is no similarity matrix, or has fewer references than ``--sep`` asks for.
    """
    path = options.files[0]
    check_output(options.out, path)
    matches = read_similarity(path).ordered()
    n_references = matches.score.shape[1]
    if options.sep > n_references:
        raise ConfigError(f"--sep={options.sep}: at most {n_references}, the references in {path}")
    if not np.isfinite(matches.score).any(axis=1).all():
        raise FormatError(f"{path}: a particle has no finite score")
    membership = classify(matches, int(matches.reference.max()) + 1, sep=options.sep)
    images = classification_images(matches, membership, membership.weight, options.sep)
    write_matrices(options.out, (len(matches), options.sep), images, Scratch())
    return len(matches), int(np.count_nonzero(np.diff(membership.start)))


def class_averages(
    options: AverageStageOptions, *, progress: Progress | None = None
) -> tuple[int, int]:
    """Average classes and write the averages, and on request who is in them.

    Returns
    -------
    tuple of int
        Number of particles averaged, and of classes with particles.
    """
    run, state, projections = stage_run(options, progress)
    n_classes = len(projections.references)
    matches, membership = read_classes(options.files[2], len(run.inputs.particles), n_classes)
    slices = image_slices(projections.images, n_threads=run.plan.n_threads)
    with thread_limits(run.plan.n_threads):
        membership = chosen_by_quality(run, state, projections.images, matches, membership)
        made = average_classes(run, state, slices, matches, membership, iteration=0)
        # what the projections do not explain of the particles is the noise, as in a run
        residual = made.statistics.residual_power(made.statistics.scale(state.noise_power))
        write_class_averages(
            options.out,
            run,
            projections.headers,
            filtered_averages(run, made.averages, slices),
            made.membership,
            particle_noise_to_signal(slices, noise_floor(residual)),
            projections=options.files[0].name,
        )
    if options.result is not None:
        columns = matches.reference.shape[1]
        members = made.membership
        images = classification_images(made.matches, members, members.used, columns)
        write_matrices(options.result, (len(matches), columns), images, run.execution.scratch)
    return int(made.membership.used.sum()), int((made.averages.count > 0).sum())
