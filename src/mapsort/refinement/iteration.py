"""One iteration of multi-map refinement: project, match, classify, average, reconstruct, filter."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from mapsort.array_types import Complex64, Float32, Float64
from mapsort.engines.chunks import chunk_ranges
from mapsort.errors import NumericalError
from mapsort.options.types import InputMode
from mapsort.refinement.averaging import Averaged, average_classes
from mapsort.refinement.class_sums import average_all
from mapsort.refinement.classification import Classification, classification
from mapsort.refinement.comparison import UNKNOWN_SCALE, comparison_settings
from mapsort.refinement.focus import same_outside
from mapsort.refinement.half_maps import half_seeds
from mapsort.refinement.inputs import scan_images
from mapsort.refinement.insertion import PosedMembers
from mapsort.refinement.known_classes import Placed, led_by_classes
from mapsort.refinement.learning import Junk, find_junk, learnt
from mapsort.refinement.matching import Found, match_all
from mapsort.refinement.memory_plan import spills_classes
from mapsort.refinement.narrowed_matching import match_narrowed, narrows
from mapsort.refinement.plan import noise_floor
from mapsort.refinement.poses import match_given, match_refined
from mapsort.refinement.reconstruction import Rebuilt, rebuild
from mapsort.refinement.run import ParticleSpectra, Run
from mapsort.refinement.state import State
from mapsort.refinement.two_stage_matching import in_two_stages, match_two_stage
from mapsort.rundir.log import timed
from mapsort.stages.average.average import particle_noise_to_signal
from mapsort.stages.classify.assignment import classify
from mapsort.stages.project import last_shell, project_slices
from mapsort.stages.reconstruct.class_reconstruction import CLASSES_AT_ONCE
from mapsort.stages.search.settings import SearchSettings

#: Particles from which the seeds' scale is learnt.
SCALE_SAMPLE = 256


@dataclass(frozen=True)
class Outcome:
    """Everything an iteration found; the run directory's files are made from it."""

    #: Input of the next iteration.
    state: State
    #: Projections the iteration compared with, (n_references, box, box//2+1).
    slices: Complex64
    found: Found
    junk: Junk
    #: With the poses that particles were classified at, which differ from those that they were
    #: averaged at where members were aligned anew.
    classes: Classification
    averaged: Averaged
    rebuilt: Rebuilt
    #: Least-squares scale of the compared maps in the particles.
    scale: float
    #: Time of each stage.
    seconds: dict[str, float]

    @property
    def particle_noise_to_signal(self) -> Float64:
        """Noise over signal power of one particle, by shell, for showing class averages."""
        return particle_noise_to_signal(self.slices, self.state.noise_power)


def scanned(run: Run, *, look: Callable[[slice, Float32], None] | None = None) -> Run:
    """Read every image that the run uses once, and keep what they look like on the whole.

    Parameters
    ----------
    look : callable, optional
        Is given the rows of each chunk, and its images.
    """
    inputs, plan = run.inputs, run.plan
    how = (plan.treatment, plan.chunk, run.execution.progress, plan.n_threads)
    averaged = compared = scan_images(inputs.particles, *how, look=look)
    if inputs.filtered is not None:
        compared = scan_images(inputs.filtered, *how)
    return replace(run, spectra_seen=ParticleSpectra(averaged, compared))


def reference_slices(run: Run, volumes: tuple[Float32, ...]) -> Complex64:
    """Return the Cartesian projections of all maps, model by model."""
    references, box = run.plan.references, run.plan.grid.box
    rotations = references.rotations
    room = run.execution.scratch.zeros if spills_classes(run.plan) else np.zeros
    slices: Complex64 = room((len(references), box, box // 2 + 1), np.complex64)
    for m, volume in enumerate(volumes):
        own, radius = references.block(m), last_shell(volume)
        for part in chunk_ranges(own.stop - own.start, CLASSES_AT_ONCE):
            block = slice(own.start + part.start, own.start + part.stop)
            slices[block] = project_slices(
                volume,
                rotations[block],
                method=run.projection,
                max_radius=radius,
                n_threads=run.plan.n_threads,
            )
            run.execution.scratch.release()
    return slices


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
    # The scale of a seed is what is to be found: neither it nor other seeds may choose matches.
    settings = replace(comparison_settings(run.options, 1), pairs=None, shares_views=False)
    scoring = replace(settings.scoring, scale_spread=UNKNOWN_SCALE)
    settings = replace(settings, scoring=scoring)
    matches = match_all(run, state, settings, iteration=0, n=n).matches
    references = run.plan.references
    scaled = []
    for model, seed in enumerate(seeds):
        own = matches.best_of_model(references, model)
        # only the views that a sample matches are worth memory
        views, number = np.unique(own.reference, return_inverse=True)
        own = replace(own, reference=number.reshape(-1, 1).astype(np.int32))
        slices = project_slices(
            seed,
            references.rotations[views],
            method=run.projection,
            max_radius=last_shell(seed),
            n_threads=run.plan.n_threads,
        )
        members = classify(own, len(views))
        _, statistics = average_all(run, slices, own, members, iteration=0)
        scale = statistics.scale(noise)
        if not scale > 0:
            raise NumericalError(
                f"starting map {model + 1} ({run.options.models[model]}) does not correlate with "
                "the particles; is the contrast right (--invert), or the map another molecule's?"
            )
        scaled.append(np.asarray(seed * scale, np.float32))
    focused = same_outside(tuple(scaled), run.inputs.focus)
    halves = half_seeds(run, focused) if run.options.halves else None
    return State(0, focused, noise, None, halves=halves, trial=run.trial)


def iterate(run: Run, state: State) -> Outcome:
    """Carry out one iteration."""
    number = state.iteration + 1
    seconds: dict[str, float] = {}
    step = partial(timed, seconds, iteration=number)
    with step("project") as facts:
        slices, own_slices = _projected(run, state)
        facts["references"] = len(slices)
    with step("match") as facts:
        settings = comparison_settings(run.options, number, state.learnt.scale_spread)
        found = run.execution.checkpoints.kept(
            number, "match", Found, lambda: matched(run, state, settings, iteration=number)
        )
        facts |= {"particles": len(found.matches), "rings": found.highest_ring}
    with step("classify") as facts:
        junk = find_junk(run, state, found.matches, found.noise_scores)
        classes = classification(run, state, found.matches, junk.chosen)
        classes = run.execution.scratch.with_arrays(classes)
        facts["used"] = int(classes.membership.used.sum())
        if classes.temperature is not None:
            facts["temperature"] = round(classes.temperature, 2)
    with step("average") as facts:
        averaged = run.execution.checkpoints.kept(
            number,
            "average",
            Averaged,
            lambda: average_classes(
                run,
                state,
                own_slices,
                classes.matches,
                classes.membership,
                iteration=number,
            ),
        )
        scale = averaged.statistics.scale(state.noise_power)
        facts["scale"] = round(scale, 4)
    with step("reconstruct") as facts:
        members = None
        if run.options.inputmode is InputMode.PARTICLES and found.poses is not None:
            members = PosedMembers(averaged.membership, found.poses)
        rebuilt = rebuild(
            run,
            state,
            averaged.averages,
            members,
            classes.shares,
            slices=slices,
            iteration=number,
            compared=found.highest_ring,
        )
        facts["maps"] = run.plan.n_models - len(rebuilt.empty)
    reached = State(
        number,
        rebuilt.references,
        noise_floor(averaged.statistics.residual_power(scale).astype(np.float32)),
        averaged.matches,
        classes.shares,
        halves=rebuilt.half_references,
        learnt=learnt(run, state, found, junk, averaged, scale),
        trial=state.trial,
        soft_since=classes.soft_since,
        known=state.known,
    )
    return Outcome(reached, slices, found, junk, classes, averaged, rebuilt, scale, seconds)


def _projected(run: Run, state: State) -> tuple[Complex64, Complex64]:
    """Return the projections of the maps, and with ``--halves`` those of each half's, stacked."""
    every = [reference_slices(run, maps) for maps in state.reference_sets]
    if len(every) == 1:
        return every[0], every[0]
    # Projections are linear: the mean of the halves' is that of the mean map.
    return np.asarray(sum(every) / 2, np.complex64), np.stack(every)


def matched(run: Run, state: State, settings: SearchSettings, *, iteration: int) -> Found:
    """Match the particles, each half-set with its own maps."""
    n_sets = len(state.reference_sets)
    parts = [
        _matched_part(run.of_part(part, n_sets), state.of_part(part), settings, iteration=iteration)
        for part in range(n_sets)
    ]
    found = Found.put_together(parts, run.inputs.halves.half, run.execution.scratch)
    if state.known is None:
        return found
    placed = Placed(found.matches, found.poses)
    placed = led_by_classes(placed, state.known, run.plan.references, run.execution.scratch)
    return replace(found, matches=placed.matches, poses=placed.poses)


def _matched_part(run: Run, state: State, settings: SearchSettings, *, iteration: int) -> Found:
    """Match the particles of one part: by a search, or as the input has them."""
    match = _matching(run, state, settings)
    found = match(run, state, settings, iteration=iteration)
    if run.options.skipalign:
        return found
    if run.options.inputmode is InputMode.PARTICLES or run.plan.copies is not None:
        found = match_refined(run, state, settings, found, iteration=iteration)
    return found


def _matching(run: Run, state: State, settings: SearchSettings) -> Callable[..., Found]:
    """Return the way this iteration matches."""
    if run.options.skipalign:
        return match_given
    if narrows(run, state, settings):
        return match_narrowed
    return match_two_stage if in_two_stages(run) else match_all
