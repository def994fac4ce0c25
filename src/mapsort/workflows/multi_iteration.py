"""One iteration of multi-map refinement: project, match, classify, average, reconstruct, filter."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from mapsort.errors import NumericalError
from mapsort.rundir.log import stage
from mapsort.stages.classify import classify
from mapsort.stages.fourier_grid import Complex64, Float32
from mapsort.stages.junk import JUNK_FROM, junk_probability
from mapsort.stages.prepare import shell_means
from mapsort.stages.project import project_slices
from mapsort.workflows.multi_averaging import Averaged, average_all, average_classes
from mapsort.workflows.multi_classification import classification
from mapsort.workflows.multi_matching import Found, match_all, match_narrowed, narrows
from mapsort.workflows.multi_plan import noise_floor
from mapsort.workflows.multi_reconstruction import rebuild
from mapsort.workflows.multi_state import Outcome, Run, State
from mapsort.workflows.multi_two_stage import in_two_stages, match_two_stage
from mapsort.workflows.search_settings import UNKNOWN_SCALE, comparison_settings

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
    settings = replace(comparison_settings(run.options, 1), pairs=None)
    scoring = replace(settings.scoring, scale_spread=UNKNOWN_SCALE)
    settings = replace(settings, scoring=scoring)
    matches = match_all(run, state, settings, iteration=0, n=n).matches
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
        settings = comparison_settings(run.options, number)
        search = _matching(run, state)
        found = run.checkpoints.kept(
            number, "match", Found, lambda: search(run, state, settings, iteration=number)
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
            lambda: average_classes(
                run,
                state,
                slices,
                matches,
                membership,
                particle_noise_to_signal(slices, state.noise_power),
                iteration=number,
            ),
        )
        matches, membership = averaged.matches, averaged.membership
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
        particle_noise_to_signal=particle_noise_to_signal(slices, noise),
        scale=scale,
        highest_ring=found.highest_ring,
        seconds=seconds,
        rejected=rebuilt.rejected,
        empty=rebuilt.empty,
        reseeded=tuple(classes.reseeded),
        junk=junk,
        classified=classes.matches,
        first_stage=found.first_stage,
    )


def _matching(run: Run, state: State) -> Callable[..., Found]:
    """Return the way this iteration matches."""
    if narrows(run, state):
        return match_narrowed
    return match_two_stage if in_two_stages(run) else match_all


def particle_noise_to_signal(
    slices: Complex64, noise: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Return noise over signal power of one particle (without CTF) in each shell."""
    some = slices[:: max(1, len(slices) // 64)]
    power = shell_means(np.abs(some) ** 2, slices.shape[1]).mean(axis=0)
    return np.asarray(np.minimum(noise / np.maximum(power, 1e-6 * noise), 1e4))
