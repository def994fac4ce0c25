"""One iteration of multi-map refinement: project, match, classify, average, reconstruct, filter."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from mapsort.engines.chunks import chunk_ranges, read_ahead
from mapsort.errors import NumericalError
from mapsort.model.class_averages import ClassAverages
from mapsort.model.matches import Matches
from mapsort.model.membership import Membership
from mapsort.model.references import References
from mapsort.modules.comparator import comparator
from mapsort.modules.projector import Projection, projector
from mapsort.modules.reconstructor import reconstructor
from mapsort.physics.masks import auto_mask3d, envelope_mask, soft_sphere
from mapsort.physics.normalization import normalize_by_mass
from mapsort.physics.scoring import Comparator, Scoring
from mapsort.rundir.log import stage
from mapsort.stages.average import ClassAccumulator, ShellStatistics
from mapsort.stages.class_reconstruction import AverageSelection, MapSlices
from mapsort.stages.classify import classify
from mapsort.stages.fourier_grid import Complex64, Float32
from mapsort.stages.junk import NOISE_IMAGES, fit_junk, noise_images
from mapsort.stages.match import match_chunk, match_near
from mapsort.stages.narrowing import near_candidates, neighbours, searched_everywhere
from mapsort.stages.postprocess import half_map_fsc, noise_to_signal, wiener_filtered
from mapsort.stages.prepare import ctf_coefficients, shell_means
from mapsort.stages.project import project_slices
from mapsort.stages.reconstruct import NormalEquations, solve
from mapsort.stages.search_plan import MatchPlan, plan_match
from mapsort.stages.similarity import Similarity
from mapsort.workflows.multi_classification import classification
from mapsort.workflows.multi_inputs import MultiInputs
from mapsort.workflows.multi_plan import (
    FULL_SIMILARITY_BYTES,
    MultiPlan,
    noise_floor,
    similarity_bytes,
)
from mapsort.workflows.options import MultiOptions, SearchMethod
from mapsort.workflows.progress import Progress

LOGGER = logging.getLogger(__name__)

#: Margin and soft edge of the automatic mask about the density, and its smoothing (of the box).
MASK_MARGIN, MASK_EDGE, MASK_SMOOTHING = 0.047, 0.08, 0.094
#: Seeds come on a scale of their own; maps made of the particles share theirs, but for the
#: thickness of the ice and the like.
UNKNOWN_SCALE, KNOWN_SCALE = float("inf"), 0.3
#: From this --speed on, iterations after the first search near the last matches; this share of
#: the particles is searched everywhere all the same.
NARROW_FROM_SPEED, EVERYWHERE_SHARE = 6, 0.2
#: Probability of being noise from which a particle counts as junk.
JUNK_FROM = 0.5
#: Residual at which the maps of an iteration are solved: further steps fit noise.
SOLVED_TO = 1e-3
#: Particles from which the seeds' scale is learnt.
SCALE_SAMPLE = 512


@dataclass(frozen=True)
class Run:
    """What stays the same through a run."""

    options: MultiOptions
    inputs: MultiInputs
    plan: MultiPlan
    progress: Progress

    @property
    def projection(self) -> Projection:
        """How maps are projected: ``--projector``."""
        return projector(self.options.projector)

    @property
    def sphere(self) -> Float32:
        """Soft sphere that bounds every map."""
        return soft_sphere(self.plan.grid.box, self.plan.sphere_radius, self.plan.sphere_edge)

    def ctf_of(self, where: slice) -> Float32:
        """CTF coefficients of a range of particles."""
        n = where.stop - where.start
        ctf = None if self.inputs.ctf is None else self.inputs.ctf[where]
        return ctf_coefficients(ctf, n, flipped=self.plan.flipped)

    def spectra_of(self, raw: Float32) -> Complex64:
        """Transform raw images for the kernels."""
        return self.plan.treatment.spectra(raw, n_threads=self.plan.n_threads)

    def start(self, stage_name: str, total: int, iteration: int) -> None:
        """Begin a stage of `total` units on the progress display."""
        n_iterations = self.options.n_iterations
        self.progress.start(stage_name, total, iteration=iteration, n_iterations=n_iterations)

    def chunks(self, n: int | None = None) -> list[slice]:
        """Ranges of particles that are worked on together."""
        return chunk_ranges(len(self.inputs.particles) if n is None else n, self.plan.chunk)


@dataclass(frozen=True)
class State:
    """What one iteration hands to the next.

    Attributes
    ----------
    iteration : int
        0 for the prepared seeds.
    references : tuple of ndarray (box, box, box)
        Filtered, masked maps that the next iteration projects.
    noise_power : ndarray of shape (box//2 + 1,)
        Mean |N|^2 of a particle's noise in each shell.
    matches : Matches or None
        Of the iteration that made this state.
    shares : ndarray of shape (n_models,) or None
        Fraction of the particles that each map held in it.
    """

    iteration: int
    references: tuple[Float32, ...]
    noise_power: npt.NDArray[np.float64]
    matches: Matches | None
    shares: npt.NDArray[np.float64] | None = None


@dataclass(frozen=True)
class Outcome:
    """Everything an iteration found; the run directory's files are made from it.

    Attributes
    ----------
    state : State
        Input of the next iteration.
    maps : tuple of ndarray
        Each map filtered by its own FSC, masked, on the particles' scale.
    masks : tuple of ndarray
    half_fsc : tuple of ndarray (box//2 + 1,)
        FSC of each map's halves under its mask.
    slices : ndarray of shape (n_references, box, box//2+1), complex64
        Projections the iteration compared with.
    similarity : Similarity or None
    membership : Membership
    averages : ClassAverages
    particle_noise_to_signal : ndarray of shape (box//2 + 1,)
        For showing class averages: noise over signal power of one particle.
    scale : float
        Least-squares scale of the compared maps in the particles.
    highest_ring : int
        Highest frequency compared, in Fourier pixels.
    seconds : dict
        Time of each stage.
    rejected : ndarray of shape (n_rejected,)
        Numbers of class averages that were left out of their maps.
    empty : tuple of int
        Numbers (from 0) of maps that got no particles and were kept as they were.
    reseeded : tuple of int
        Numbers of maps that were dying and took over particles the others explained worst.
    junk : ndarray of shape (n,) or None
        Probability of each particle to be noise, where that was asked for.
    """

    state: State
    maps: tuple[Float32, ...]
    masks: tuple[Float32, ...]
    half_fsc: tuple[npt.NDArray[np.float64], ...]
    slices: Complex64
    similarity: Similarity | None
    matches: Matches
    membership: Membership
    averages: ClassAverages
    particle_noise_to_signal: npt.NDArray[np.float64]
    scale: float
    highest_ring: int
    seconds: dict[str, float]
    rejected: npt.NDArray[np.intp]
    empty: tuple[int, ...]
    reseeded: tuple[int, ...]
    junk: npt.NDArray[np.float64] | None


def match_plan(run: Run, state: State, scoring: Scoring, references: References) -> MatchPlan:
    """Project the maps at these orientations and plan the search."""
    plan = run.plan
    return plan_match(
        state.references,
        references,
        state.noise_power,
        grid=plan.grid,
        apix=run.inputs.apix,
        max_shift=plan.max_shift,
        support_radius=plan.support_radius,
        scoring=scoring,
        max_radius=plan.max_radius,
        mask=run.inputs.simmask,
        method=run.projection,
        exhaustive=run.options.simalign is SearchMethod.EXHAUSTIVE,
        n_threads=plan.n_threads,
    )


def reference_slices(run: Run, volumes: tuple[Float32, ...]) -> Complex64:
    """Return the Cartesian projections of all maps, model by model."""
    references = run.plan.references
    rotations = references.rotations
    return np.concatenate(
        [
            project_slices(
                volume,
                rotations[references.block(m)],
                method=run.projection,
                n_threads=run.plan.n_threads,
            )
            for m, volume in enumerate(volumes)
        ]
    )


@dataclass(frozen=True)
class Found:
    """Matches of all particles, every pair's score if there is room, and the band compared."""

    matches: Matches
    similarity: Similarity | None
    highest_ring: int


def match_all(
    run: Run, state: State, scoring: Scoring, *, iteration: int, n: int | None = None
) -> Found:
    """Match the first n (or all) particles, chunk by chunk, with all references, block by block.

    One block's projections are in memory at a time; most runs have one block.
    """
    n_particles = len(run.inputs.particles) if n is None else n
    blocks = run.plan.reference_blocks
    full = (
        n is None
        and len(blocks) == 1
        and similarity_bytes(run.plan, n_particles) <= FULL_SIMILARITY_BYTES
    )
    run.start("match", n_particles * len(blocks), iteration)
    parts: list[Matches] = []
    similarity: Similarity | None = None
    highest_ring = 0
    for block in blocks:
        plan = match_plan(run, state, scoring, run.plan.references.part(block))
        highest_ring = max(highest_ring, plan.highest_ring)
        found, similarity = _match_block(run, plan, n, full)
        parts.append(found.renumbered(block.start))
    matches = parts[0]
    if len(parts) > 1:
        matches = Matches.merged(parts, run.plan.references, per_map=run.plan.refined)
    run.progress.finish(f"{n_particles} particles with {len(run.plan.references)} projections")
    return Found(matches, similarity, highest_ring)


def _match_block(
    run: Run, plan: MatchPlan, n: int | None, full: bool
) -> tuple[Matches, Similarity | None]:
    matches: list[Matches] = []
    similarities: list[Similarity] = []
    for where, raw in read_ahead(run.inputs.particles.images, run.chunks(n)):
        found, similarity = match_chunk(
            plan,
            run.spectra_of(raw),
            run.ctf_of(where),
            refined=run.plan.refined,
            with_similarity=full,
            n_threads=run.plan.n_threads,
        )
        matches.append(found)
        if similarity is not None:
            similarities.append(similarity)
        run.progress.advance(where.stop - where.start)
    return Matches.joined(matches), Similarity.joined(similarities) if similarities else None


def narrows(run: Run, state: State) -> bool:
    """Whether this iteration looks only near the last matches, as fast ``--speed`` settings do.

    Never in the first iteration, and not where references do not fit into memory together.
    """
    return (
        run.options.speed >= NARROW_FROM_SPEED
        and state.matches is not None
        and len(run.plan.reference_blocks) == 1
        and run.options.simalign is not SearchMethod.EXHAUSTIVE
    )


def match_narrowed(run: Run, state: State, scoring: Scoring, *, iteration: int) -> Found:
    """Match particles near where they lay, on every map; a part of them everywhere."""
    assert state.matches is not None, "narrows() has said so"
    references, threads = run.plan.references, run.plan.n_threads
    plan = match_plan(run, state, scoring, references)
    n = len(run.inputs.particles)
    table = neighbours(references, run.plan.symmetries)
    everywhere = searched_everywhere(n, EVERYWHERE_SHARE, seed=run.plan.seed, iteration=iteration)
    run.start("match", n, iteration)
    parts: list[Matches] = []
    for where, raw in read_ahead(run.inputs.particles.images, run.chunks()):
        spectra, ctf = run.spectra_of(raw), run.ctf_of(where)
        wide = np.flatnonzero(everywhere[where])
        near = np.flatnonzero(~everywhere[where])
        found = []
        if len(wide):
            whole, _ = match_chunk(
                plan, spectra[wide], ctf[wide], refined=run.plan.refined, n_threads=threads
            )
            found.append(whole)
        if len(near):
            last = state.matches.rows(near + where.start)
            reference, origin = near_candidates(last, references, table)
            found.append(
                match_near(
                    plan,
                    spectra[near],
                    ctf[near],
                    reference,
                    origin,
                    refined=run.plan.refined,
                    n_threads=threads,
                )
            )
        order = np.argsort(np.concatenate([wide, near]), kind="stable")
        parts.append(Matches.joined(found).rows(order))
        run.progress.advance(where.stop - where.start)
    run.progress.finish(f"{n} particles, {int((~everywhere).sum())} of them near their last match")
    return Found(Matches.joined(parts), None, plan.highest_ring)


def average_all(
    run: Run, slices: Complex64, matches: Matches, membership: Membership, *, iteration: int
) -> tuple[ClassAverages, ShellStatistics]:
    """Average the classes, chunk by chunk."""
    n = len(matches)
    accumulator = ClassAccumulator(run.plan.grid, run.inputs.apix, slices)
    run.start("average", n, iteration)
    for where, raw in read_ahead(run.inputs.particles.images, run.chunks(n)):
        accumulator.add(
            run.spectra_of(raw),
            run.ctf_of(where),
            where.start,
            matches,
            membership,
            n_threads=run.plan.n_threads,
        )
        run.progress.advance(where.stop - where.start)
    averages = accumulator.finish()
    run.progress.finish(f"{int((averages.count > 0).sum())} classes with particles")
    return averages, accumulator.statistics


def prepare_seeds(run: Run, power: Float32) -> State:
    """Return the seeds as the first iteration's references: bounded, on the particles' scale.

    Each seed is multiplied by the least-squares scale of its projections in a sample of particles
    matched with it alone; the same way for every seed, so that none starts brighter.
    """
    noise = noise_floor(power)
    sphere = run.sphere
    seeds = tuple(np.asarray(seed * sphere, np.float32) for seed in run.inputs.seeds)
    n = min(SCALE_SAMPLE, len(run.inputs.particles))
    state = State(0, seeds, noise, None)
    # The scale of the seeds is what is to be found: it must not choose the matches.
    scoring = replace(scoring_of(run.options, 1), scale_spread=UNKNOWN_SCALE)
    matches = match_all(run, state, scoring, iteration=0, n=n).matches
    slices = reference_slices(run, seeds)
    references = run.plan.references
    scaled = []
    for model, seed in enumerate(seeds):
        own = matches.best_of_model(references, model)
        members = classify(own, len(references))
        _, statistics = average_all(run, slices, own, members, iteration=0)
        scale = statistics.scale(noise)
        if not scale > 0:
            raise NumericalError(
                f"starting map {model + 1} ({run.options.models[model]}) does not correlate with "
                "the particles; is the contrast right (--invert), or the map another molecule's?"
            )
        scaled.append(np.asarray(seed * scale, np.float32))
    return State(0, tuple(scaled), noise, None)


def scoring_of(options: MultiOptions, iteration: int) -> Scoring:
    """Return how particles are scored: as asked for with --simcmp, with what is known of scales."""
    asked = comparator(options.simcmp)
    if asked.comparator is Comparator.LOGLIK:
        return replace(asked, scale_spread=(UNKNOWN_SCALE if iteration == 1 else KNOWN_SCALE))
    return asked


def iterate(run: Run, state: State) -> Outcome:
    """Carry out one iteration."""
    number = state.iteration + 1
    seconds: dict[str, float] = {}

    def timed(name: str, facts: dict[str, object]) -> None:
        seconds[name] = round(float(str(facts["seconds"])), 3)

    with stage("project", iteration=number) as facts:
        slices = reference_slices(run, state.references)
        facts["references"] = len(slices)
    timed("project", facts)
    with stage("match", iteration=number) as facts:
        scoring = scoring_of(run.options, number)
        search = match_narrowed if narrows(run, state) else match_all
        found = search(run, state, scoring, iteration=number)
        matches = found.matches
        facts |= {"particles": len(matches), "rings": found.highest_ring}
    timed("match", facts)
    with stage("classify", iteration=number) as facts:
        junk = junk_probability(run, state, scoring, matches) if run.options.junk else None
        classes = classification(
            run.options,
            matches,
            run.plan.references,
            None if junk is None else junk > JUNK_FROM,
            state.shares,
            iteration=number,
            seed=run.plan.seed,
        )
        matches, membership = classes.matches, classes.membership
        facts["used"] = int(membership.used.sum())
        if classes.temperature is not None:
            facts["temperature"] = round(classes.temperature, 2)
    timed("classify", facts)
    with stage("average", iteration=number) as facts:
        averages, statistics = average_all(run, slices, matches, membership, iteration=number)
        scale = statistics.scale(state.noise_power)
        facts["scale"] = round(scale, 4)
    timed("average", facts)
    with stage("reconstruct", iteration=number) as facts:
        rebuilt = _reconstruct(run, state, averages, iteration=number)
        facts["maps"] = run.plan.n_models - len(rebuilt.empty)
    timed("reconstruct", facts)
    noise = noise_floor(statistics.residual_power(scale).astype(np.float32))
    return Outcome(
        state=State(number, rebuilt.references, noise, matches, classes.shares),
        maps=rebuilt.maps,
        masks=rebuilt.masks,
        half_fsc=rebuilt.half_fsc,
        slices=slices,
        similarity=found.similarity,
        matches=matches,
        membership=membership,
        averages=averages,
        particle_noise_to_signal=_particle_noise_to_signal(slices, noise),
        scale=scale,
        highest_ring=found.highest_ring,
        seconds=seconds,
        rejected=rebuilt.rejected,
        empty=rebuilt.empty,
        reseeded=tuple(classes.reseeded),
        junk=junk,
    )


def junk_probability(
    run: Run, state: State, scoring: Scoring, matches: Matches
) -> npt.NDArray[np.float64] | None:
    """Return each particle's probability to be noise, judged by synthetic noise matched alike.

    None in the first iteration, when the noise is not known apart from the particles.
    """
    if state.matches is None:
        return None
    rng = np.random.default_rng([run.plan.seed, state.iteration])
    n = len(run.inputs.particles)
    images = noise_images(NOISE_IMAGES, run.plan.grid.box, state.noise_power, rng)
    every = np.sort(rng.choice(n, NOISE_IMAGES, replace=n < NOISE_IMAGES))
    ctf = run.ctf_of(slice(0, n))[every]
    best = np.full(NOISE_IMAGES, -np.inf)
    for block in run.plan.reference_blocks:
        plan = match_plan(run, state, scoring, run.plan.references.part(block))
        found, _ = match_chunk(plan, run.spectra_of(images), ctf, n_threads=run.plan.n_threads)
        best = np.maximum(best, found.score[:, 0])
    return fit_junk(matches.score[:, 0], best).probability(matches.score[:, 0])


def _particle_noise_to_signal(
    slices: Complex64, noise: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    some = slices[:: max(1, len(slices) // 64)]
    power = shell_means(np.abs(some) ** 2, slices.shape[1]).mean(axis=0)
    return np.asarray(np.minimum(noise / np.maximum(power, 1e-6 * noise), 1e4))


@dataclass(frozen=True)
class _Rebuilt:
    references: tuple[Float32, ...]
    maps: tuple[Float32, ...]
    masks: tuple[Float32, ...]
    half_fsc: tuple[npt.NDArray[np.float64], ...]
    rejected: npt.NDArray[np.intp]
    empty: tuple[int, ...]


def _reconstruct(run: Run, state: State, averages: ClassAverages, *, iteration: int) -> _Rebuilt:
    """Rebuild every map from its class averages; filter all alike; mask."""
    n_models, threads = run.plan.n_models, run.plan.n_threads
    progress = run.progress
    run.start("reconstruct", n_models, iteration)
    whole: list[NormalEquations | None] = []
    halves: list[tuple[Float32, Float32]] = []
    rejected: list[npt.NDArray[np.intp]] = []
    for model in range(n_models):
        slices, left_out = _selected(run, map_slices(run, averages, model), model)
        rejected.append(left_out)
        parts = slices.half_equations(n_threads=threads)
        alive = all(np.any(part.circulant) for part in parts)
        whole.append(parts[0] + parts[1] if alive else None)
        halves.append(half_maps(run, parts) if alive else (state.references[model],) * 2)
        progress.advance(1)
    live = [m for m in range(n_models) if whole[m] is not None]
    if not live:
        raise NumericalError("no map received enough particles to be reconstructed")
    smooth = [0.5 * (even + odd) for even, odd in halves]
    sphere = run.sphere
    first = noise_to_signal([half_map_fsc(*halves[m], sphere) for m in live])
    masks = _masks(
        run, [wiener_filtered(v, first) if m in live else v for m, v in enumerate(smooth)], sphere
    )
    curves = [half_map_fsc(*pair, mask) for pair, mask in zip(halves, masks, strict=True)]
    shared = noise_to_signal([curves[m] for m in live])
    references, maps = [], []
    for model in range(n_models):
        this = whole[model]
        if this is None:
            references.append(state.references[model])
            maps.append(state.references[model])
            continue
        own = noise_to_signal([curves[model]])
        start = wiener_filtered(smooth[model], shared)
        common = _solved(run, this, noise_to_signal=shared, start=start)
        single = _solved(run, this, noise_to_signal=own, start=common)
        references.append(common * masks[model])
        maps.append(single * masks[model])
    _check_finite(maps)
    progress.finish(f"{len(live)} maps")
    empty = tuple(m for m in range(n_models) if m not in live)
    return _Rebuilt(
        tuple(references), tuple(maps), tuple(masks), tuple(curves), np.concatenate(rejected), empty
    )


def half_maps(run: Run, parts: list[NormalEquations]) -> tuple[Float32, Float32]:
    """Solve the equations of the halves alone."""
    even, odd = (_solved(run, part) for part in parts)
    return even, odd


def _solved(
    run: Run,
    equations: NormalEquations,
    *,
    noise_to_signal: npt.NDArray[np.float64] | None = None,
    start: Float32 | None = None,
) -> Float32:
    """Solve as asked for with ``--recon``."""
    method = reconstructor(run.options.recon)
    return solve(
        equations,
        noise_to_signal=noise_to_signal,
        wiener=method.wiener,
        start=start,
        tolerance=SOLVED_TO,
        max_steps=method.max_steps,
        n_threads=run.plan.n_threads,
    )


def map_slices(run: Run, averages: ClassAverages, model: int) -> MapSlices:
    """Return one map's class averages and where they lie."""
    plan = run.plan
    block = plan.references.block(model)
    return MapSlices(
        ClassAverages(
            averages.numerator[:, block], averages.density[:, block], averages.count[block]
        ),
        plan.references.rotations[block],
        plan.symmetries[model],
        plan.map_grid,
        run.inputs.apix,
    )


def _selected(run: Run, slices: MapSlices, model: int) -> tuple[MapSlices, npt.NDArray[np.intp]]:
    """Leave out averages that do not fit their map, if asked for (``--m3diter``)."""
    options = run.options
    if options.m3diter < 2:
        return slices, np.empty(0, dtype=np.intp)
    selection = AverageSelection(options.m3dkeep, options.m3dkeepsig, options.m3diter)
    chosen, rejected = slices.selected(selection, run.sphere, n_threads=run.plan.n_threads)
    rejected = rejected + run.plan.references.block(model).start
    if len(rejected):
        listed = ",".join(map(str, rejected))
        LOGGER.info("map %d: class averages left out: %s", model + 1, listed)
    return chosen, rejected


def _masks(run: Run, volumes: list[Float32], sphere: Float32) -> list[Float32]:
    """Return the mask of each map.

    By default one for all, so that no map gains by a mask of its own: the union of soft
    envelopes about their densities. With ``--automask3d``, each map's own, as the original.
    """
    options, box = run.options, run.plan.grid.box
    if options.automask3d is not None:
        wanted = options.automask3d
        return [
            auto_mask3d(
                scaled_to_mass(run, volume, model),
                threshold=wanted.threshold,
                radius=wanted.radius,
                nshells=wanted.nshells,
                nshellsgauss=wanted.nshellsgauss,
                nmaxseed=wanted.nmaxseed,
            )
            * sphere
            for model, volume in enumerate(volumes)
        ]
    envelopes = [
        envelope_mask(
            volume * sphere,
            margin_px=MASK_MARGIN * box,
            edge_px=MASK_EDGE * box,
            smoothing_px=max(6.0, MASK_SMOOTHING * box),
        )
        for volume in volumes
    ]
    union = np.max(envelopes, axis=0) * sphere
    return [union] * len(volumes)


def scaled_to_mass(run: Run, volume: Float32, model: int) -> Float32:
    """Return the map scaled so that density 1 encloses its mass, if ``--mass`` is given."""
    if run.options.masses is None:
        return volume
    return normalize_by_mass(volume, run.inputs.apix, run.options.masses[model])


def _check_finite(maps: list[Float32]) -> None:
    for number, volume in enumerate(maps, start=1):
        if not np.isfinite(volume).all():
            raise NumericalError(f"map {number} holds NaN or infinite values after reconstruction")
