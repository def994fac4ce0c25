"""One iteration of multi-map refinement: project, match, classify, average, reconstruct, filter."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from mapsort.engines.chunks import read_ahead
from mapsort.errors import NumericalError
from mapsort.model.class_averages import ClassAverages
from mapsort.model.matches import Matches
from mapsort.model.membership import Membership
from mapsort.rundir.log import stage
from mapsort.stages.average import ClassAccumulator, ShellStatistics
from mapsort.stages.classify import classify
from mapsort.stages.fourier_grid import Complex64, Float32
from mapsort.stages.junk import JUNK_FROM, junk_probability
from mapsort.stages.prepare import shell_means
from mapsort.stages.project import project_slices
from mapsort.workflows.multi_classification import classification
from mapsort.workflows.multi_matching import (
    UNKNOWN_SCALE,
    Found,
    match_all,
    match_narrowed,
    narrows,
    scoring_of,
)
from mapsort.workflows.multi_plan import noise_floor
from mapsort.workflows.multi_reconstruction import rebuild
from mapsort.workflows.multi_state import Outcome, Run, State

#: Particles from which the seeds' scale is learnt.
SCALE_SAMPLE = 512


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
class Averaged:
    """Class sums, and what making them told of the noise."""

    averages: ClassAverages
    statistics: ShellStatistics


def average_all(
    run: Run, slices: Complex64, matches: Matches, membership: Membership, *, iteration: int
) -> Averaged:
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
    return Averaged(averages, accumulator.statistics)


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
        averaged = average_all(run, slices, own, members, iteration=0)
        scale = averaged.statistics.scale(noise)
        if not scale > 0:
            raise NumericalError(
                f"starting map {model + 1} ({run.options.models[model]}) does not correlate with "
                "the particles; is the contrast right (--invert), or the map another molecule's?"
            )
        scaled.append(np.asarray(seed * scale, np.float32))
    return State(0, tuple(scaled), noise, None)


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
        found = run.checkpoints.kept(
            number, "match", Found, lambda: search(run, state, scoring, iteration=number)
        )
        matches = found.matches
        facts |= {"particles": len(matches), "rings": found.highest_ring}
    timed("match", facts)
    with stage("classify", iteration=number) as facts:
        junk = junk_probability(matches.score[:, 0], found.noise_scores)
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
        averaged = run.checkpoints.kept(
            number,
            "average",
            Averaged,
            lambda: average_all(run, slices, matches, membership, iteration=number),
        )
        averages, statistics = averaged.averages, averaged.statistics
        scale = statistics.scale(state.noise_power)
        facts["scale"] = round(scale, 4)
    timed("average", facts)
    with stage("reconstruct", iteration=number) as facts:
        rebuilt = rebuild(run, state, averages, iteration=number)
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


def _particle_noise_to_signal(
    slices: Complex64, noise: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    some = slices[:: max(1, len(slices) // 64)]
    power = shell_means(np.abs(some) ** 2, slices.shape[1]).mean(axis=0)
    return np.asarray(np.minimum(noise / np.maximum(power, 1e-6 * noise), 1e4))
