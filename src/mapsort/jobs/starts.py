"""Several random starts (``--starts``): a few iterations of each, and the likeliest goes on."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from mapsort.array_types import Float32, Int64
from mapsort.engines.progress import warn
from mapsort.errors import NumericalError
from mapsort.jobs.batches import through_batches
from mapsort.jobs.made_maps import Sought, maps_from_particles
from mapsort.jobs.one_map import start_from_one_map
from mapsort.options.multi import why_not_components
from mapsort.options.types import SeedMethod
from mapsort.refinement.iteration import iterate, prepare_seeds
from mapsort.refinement.run import Run
from mapsort.refinement.starting_maps import of_start
from mapsort.refinement.state import State
from mapsort.rundir.checkpoints import Checkpoints
from mapsort.rundir.log import stage
from mapsort.stages.abinit.verdict import holds_structure, signs
from mapsort.stages.average.average import plane_terms
from mapsort.stages.classify.agreement import rand_index

LOGGER = logging.getLogger(__name__)

#: Iterations after which starts are compared.
TRIAL_ITERATIONS = 3
#: Random starts of maps that are made of the particles.
MADE_STARTS = 4
#: Name of their checkpoints' directory.
_MADE = "abinit"


def prepared(run: Run) -> tuple[Run, State]:
    """Return a run with its starting maps, and the state that they make."""
    if run.options.finds_classes:
        return start_from_one_map(run)
    _tell_of_noise(run)
    if run.options.makes_maps:
        run = _with_made_maps(run)
    if run.options.starts > 1:
        with stage("try starts"):
            run = best_start(run, run.seen.averaged)
    with stage("prepare seeds"):
        state = prepare_seeds(run, run.seen.averaged)
    return run, through_batches(run, state)


@dataclass(frozen=True)
class MadeMaps:
    """Starting maps made of the particles."""

    #: (K, box, box, box).
    maps: Float32


def _with_made_maps(run: Run) -> Run:
    """Return the run with starting maps that are made of the particles.

    Raises
    ------
    NumericalError
        They explain no particles.
    """
    kept = run.execution.checkpoints
    part = replace(run, execution=replace(run.execution, checkpoints=kept.of_part(_MADE)))
    sought = Sought(run.plan.n_models, MADE_STARTS, run.options.symmetries[0])

    def made() -> MadeMaps:
        found = maps_from_particles(part, sought)
        if not holds_structure(found):
            raise NumericalError(signs(found)[0])
        return MadeMaps(found.maps)

    maps = kept.kept(0, "made", MadeMaps, made).maps
    kept.drop_part(_MADE)
    return replace(run, inputs=replace(run.inputs, seeds=tuple(maps)))


def _tell_of_noise(run: Run) -> None:
    """Tell where the maps of one are told apart by noise only, though no one asked for that."""
    options = run.options
    if options.model is None or options.seedmethod is not SeedMethod.AUTO:
        return
    reason = why_not_components(options)
    if len(options.models) > 1 and reason is not None:
        text = f"classes are not found before maps are refined, noise is added to --model: {reason}"
        LOGGER.warning("%s", text)
        warn(run.execution.progress, text)


def likelihood(state: State, box: int) -> float:
    """Return the mean log-likelihood of a particle [nat], up to what is the same for all starts.

    Gaussian noise of the power that is left when the maps are taken from the particles, in each
    shell: minus half the number of terms times the logarithm of that power, summed. Unlike the
    scores, which are relative to an empty image in the noise of the moment, it can be compared
    between runs with different maps.
    """
    return float(-0.5 * np.sum(plane_terms(box) * np.log(state.noise_power)))


def trial(run: Run, number: int) -> Run:
    """Return the run with the starting maps of one start (from 0)."""
    inputs = run.inputs
    seeds = of_start(run.options, inputs.seeds, inputs.one_map, inputs.apix, number)
    return replace(run, inputs=replace(inputs, seeds=seeds), trial=number)


def best_start(run: Run, power: Float32) -> Run:
    """Return the run with the starting maps of the likeliest start.

    Parameters
    ----------
    power : ndarray of shape (box//2 + 1,)
        Mean power of the particles in each shell.

    Raises
    ------
    NumericalError
        When no start can be refined.
    """
    count = run.options.starts
    found: dict[int, float] = {}
    classes: list[Int64] = []
    for number in range(count):
        # What trials find is not what the run's own iterations find.
        nothing_kept = Checkpoints(scratch=run.execution.scratch)
        execution = replace(run.execution, checkpoints=nothing_kept)
        tried = replace(trial(run, number), execution=execution)
        try:
            state = prepare_seeds(tried, power)
            for _ in range(min(TRIAL_ITERATIONS, run.options.n_iterations)):
                state = iterate(tried, state).state
        except NumericalError as error:
            # A random start may fail; another one need not.
            LOGGER.warning("start %d of %d: %s", number + 1, count, error)
            continue
        found[number] = likelihood(state, run.plan.grid.box)
        assert state.matches is not None, "there was at least one iteration"
        own = run.plan.references.model[state.matches.reference[:, 0]]
        classes.append(np.asarray(own, np.int64))
        LOGGER.info(
            "start %d of %d: log-likelihood %.3f per particle", number + 1, count, found[number]
        )
    if not found:
        raise NumericalError(f"--starts={count}: none of the starts could be refined; see run.log")
    # The first of equals.
    best = max(found, key=lambda number: (found[number], -number))
    others = [value for number, value in found.items() if number != best]
    lead = f", {found[best] - max(others):.3f} nat a particle ahead of the next" if others else ""
    text = f"start {best + 1} of {count} is the likeliest{lead}{_agreement(classes)}"
    LOGGER.info("%s", text)
    run.execution.progress.message(text)
    return trial(run, best)


def _agreement(classes: list[Int64]) -> str:
    """Say how far the classes of several starts agree."""
    if len(classes) < 2:
        return ""
    every = np.mean([rand_index(a, b) for a, b in combinations(classes, 2)])
    return f"; the classes of the starts agree by {every:.2f} (mean adjusted Rand index)"
