"""All particles with one map: the poses that classes are found at."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

from mapsort.array_types import Float64
from mapsort.engines.progress import Progress, warn
from mapsort.options.multi import MultiOptions
from mapsort.options.types import InputMode
from mapsort.refinement.band_images import observed_at
from mapsort.refinement.execution import Execution
from mapsort.refinement.inputs import MultiInputs
from mapsort.refinement.iteration import iterate, prepare_seeds
from mapsort.refinement.plan import resolve
from mapsort.refinement.run import Run
from mapsort.refinement.state import State
from mapsort.stages.components.component_settings import ComponentSettings
from mapsort.stages.components.found_classes import FoundClasses, find_classes

LOGGER = logging.getLogger(__name__)

#: Name of its checkpoints' directory.
CONSENSUS = "consensus"


@dataclass(frozen=True)
class Consensus:
    """Poses of all particles with one map, and what the refinement learnt of them."""

    #: (n, 3, 3).
    rotations: Float64
    #: [pixels], (n, 2).
    origins: Float64
    #: None where poses were given, (box//2 + 1,).
    noise_power: Float64 | None = None
    shift_spread: float = float("inf")


def of_one_map(options: MultiOptions) -> MultiOptions:
    """Return the options of the run of all particles with the first map."""
    return replace(
        options,
        models=options.models[:1],
        nmodels=1,
        sym=options.sym[:1],
        relax=options.relax[:1],
        mass=(),
        starts=1,
    )


def replanned(run: Run, options: MultiOptions, inputs: MultiInputs) -> Run:
    """Return the run with other options, in the threads and with the seed that it has."""
    plan = replace(resolve(options, inputs), seed=run.plan.seed, n_threads=run.plan.n_threads)
    return replace(run, options=options, inputs=inputs, plan=plan)


def classes_at(run: Run, consensus: Consensus, settings: ComponentSettings) -> FoundClasses:
    """Find ``--nmodels`` classes of particles with known poses, with the run's symmetry."""
    return find_classes(
        observed_at(run, consensus.rotations, consensus.origins, run.plan.symmetries[0]),
        run.options.nmodels,
        replace(settings, n_threads=run.plan.n_threads, region=run.inputs.focus),
        seed=run.plan.seed,
        progress=run.execution.progress,
    )


def poses_with_one_map(run: Run, n_iterations: int) -> Consensus:
    """Return the input's poses, or those of a refinement with the one map."""
    if run.inputs.poses is not None:
        return Consensus(*run.inputs.poses)
    LOGGER.info("consensus: all particles with one map, %d iterations", n_iterations)
    part = _with_one_map(run, n_iterations)
    kept = part.execution.checkpoints
    state = kept.latest("state", State) or prepare_seeds(part, part.seen.averaged)
    while state.iteration < n_iterations:
        state = iterate(part, state).state
        kept.save(state.iteration, "state", state)
        kept.drop_before(state.iteration)
    assert state.matches is not None, "there was an iteration"
    rotations, origins = state.matches.poses(part.plan.references)
    return Consensus(rotations, origins, state.noise_power, state.learnt.shift_spread)


def _with_one_map(run: Run, n_iterations: int) -> Run:
    """Return the run of a refinement of all particles with the one map."""
    options = replace(of_one_map(run.options), iter=n_iterations)
    inputs = replace(run.inputs, seeds=run.inputs.seeds[:1])
    return part_of(run, CONSENSUS, options, inputs)


def part_of(run: Run, name: str, options: MultiOptions, inputs: MultiInputs) -> Run:
    """Return a refinement that is part of the run's preparation, its maps made of averages."""
    part = replanned(run, replace(options, inputmode=InputMode.CLASSES), inputs)
    return replace(part, execution=titled(run.execution, name))


def titled(execution: Execution, name: str) -> Execution:
    """Return what a part of the run's preparation is carried out with, of its own name."""
    return replace(
        execution,
        progress=_Titled(execution.progress, name),
        checkpoints=execution.checkpoints.of_part(name),
    )


class _Titled:
    """A progress whose stages carry the name of the part that they belong to."""

    def __init__(self, progress: Progress, title: str) -> None:
        self._progress, self._title = progress, title
        self.advance, self.finish = progress.advance, progress.finish
        self.message = progress.message

    def start(self, stage: str, total: int, *, iteration: int, n_iterations: int) -> None:
        """Begin a stage of the part; the run itself is being prepared."""
        title = f"{self._title} {iteration}/{n_iterations}: {stage}" if iteration else stage
        self._progress.start(title, total, iteration=0, n_iterations=0)

    def warning(self, text: str) -> None:
        """Pass a warning on."""
        warn(self._progress, text)
