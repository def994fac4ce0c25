"""Classes from one map (``--model --nmodels``): a consensus, then classes, before maps are refined.

All particles are brought to the one map by the ordinary refinement; `find_classes` then finds
what differs among them. The run starts from the classes' maps, and particles stay in their classes
(`mapsort.refinement.known_classes`).
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

import numpy as np

from mapsort.array_types import Float32, Float64, Indices
from mapsort.engines.chunks import chunk_ranges
from mapsort.engines.progress import Progress, warn
from mapsort.errors import ConfigError, NumericalError
from mapsort.model.matches import Matches
from mapsort.options.multi import MultiOptions
from mapsort.options.types import CONSENSUS_ITERATIONS, InputMode
from mapsort.refinement.band_images import observed_at
from mapsort.refinement.half_maps import half_seeds
from mapsort.refinement.inputs import MultiInputs
from mapsort.refinement.iteration import iterate, prepare_seeds
from mapsort.refinement.known_classes import (
    KnownClasses,
    Placed,
    candidates,
    led_by_classes,
)
from mapsort.refinement.plan import noise_floor, resolve
from mapsort.refinement.run import Run
from mapsort.refinement.state import Learnt, State
from mapsort.rundir.log import stage
from mapsort.rundir.scratch import Gathered
from mapsort.rundir.set_counts import percentages
from mapsort.rundir.wording import counted
from mapsort.stages.components.component_settings import ComponentSettings
from mapsort.stages.components.found_classes import FoundClasses, find_classes
from mapsort.stages.search.nearest_references import nearest_references

LOGGER = logging.getLogger(__name__)

#: Name of its checkpoints' directory.
CONSENSUS = "consensus"
#: Fewer particles a class cannot be found; their number cannot be for fewer than so many classes.
_LEAST_PARTICLES, _LEAST_CLASSES = 10, 12
#: A class with a smaller part of the particles than this part of an equal share is told.
_SMALL = 0.1


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


@dataclass(frozen=True)
class StartingClasses:
    """What the iterations begin with."""

    known: KnownClasses
    #: Corrected, (n, 3, 3).
    rotations: Float64
    #: Corrected [pixels], (n, 2).
    origins: Float64
    #: (K, box, box, box).
    maps: Float32
    consensus: Consensus


def start_from_one_map(run: Run) -> tuple[Run, State]:
    """Return the run, and the state that the classes' maps make.

    Raises
    ------
    NumericalError
        Particles and map have nothing in common, or all is junk.
    """
    kept = run.execution.checkpoints.kept(
        0, "classes", StartingClasses, lambda: _starting_classes(run)
    )
    kept = run.execution.scratch.with_arrays(kept)
    run = of_found_number(run, kept.known)
    run.execution.checkpoints.drop_part(CONSENSUS)
    # Their scale is that of normalised images, as the engine's; its first iteration asks for none.
    maps = tuple(np.asarray(volume * run.sphere, np.float32) for volume in kept.maps)
    noise = kept.consensus.noise_power
    return run, State(
        iteration=0,
        references=maps,
        noise_power=noise_floor(run.seen.averaged) if noise is None else noise,
        matches=_starting_matches(run, kept),
        halves=half_seeds(run, maps) if run.options.halves else None,
        learnt=Learnt(shift_spread=kept.consensus.shift_spread),
        known=kept.known,
    )


def of_found_number(run: Run, known: KnownClasses | None) -> Run:
    """Return the run with as many maps as classes were found, where it asks for that."""
    if known is None or run.options.nmodels is not None:
        return run
    count, one = known.responsibilities.shape[1], run.options.models[:1]
    # what follows from classes being sought stays, though one is no longer
    options = replace(run.options, nmodels=count, models=one * count, junk=run.options.junk_sets)
    return replanned(run, options, replace(run.inputs, seeds=run.inputs.seeds[:1] * count))


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


def _starting_classes(run: Run) -> StartingClasses:
    consensus = poses_with_one_map(run, CONSENSUS_ITERATIONS)
    settings = ComponentSettings(junk=run.options.junk_sets > 0)
    with stage("find classes"):
        try:
            found = classes_at(run, consensus, settings)
        except NumericalError as error:
            raise NumericalError(
                f"no classes were found from --model {run.options.model}: {error} "
                "(--seedmethod noise starts from the map itself)"
            ) from error
    known = KnownClasses(found.responsibilities, found.junk)
    _tell(run, found)
    return StartingClasses(
        known, found.rotations, consensus.origins + found.origins, found.maps, consensus
    )


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
    options = replace(of_one_map(run.options), iter=n_iterations, inputmode=InputMode.CLASSES)
    part = replanned(run, options, replace(run.inputs, seeds=run.inputs.seeds[:1]))
    return replace(
        part,
        execution=replace(
            run.execution,
            progress=_Titled(run.execution.progress, CONSENSUS),
            checkpoints=run.execution.checkpoints.of_part(CONSENSUS),
        ),
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


def _starting_matches(run: Run, kept: StartingClasses) -> Matches:
    """Return the corrected poses as matches with the maps of the classes they may be in."""
    references = run.plan.references
    found: Gathered[Matches] = Gathered(run.execution.scratch)
    for where in chunk_ranges(len(kept.rotations), run.plan.chunk):
        poses = candidates(kept.known.rows(where), kept.rotations[where], kept.origins[where])
        found.add(nearest_references(poses, references, run.plan.symmetries))
        run.execution.scratch.release()
    placed = Placed(found.joined(), None)
    return led_by_classes(placed, kept.known, references, run.execution.scratch).matches


def _tell(run: Run, found: FoundClasses) -> None:
    """Tell what was found: components, classes, junk."""
    components = found.components
    n_classes = found.responsibilities.shape[1]
    counts = np.bincount(found.labels, minlength=n_classes + 1)
    gain = float(components.held_out_gain.max())
    shares = "/".join(f"{share:.1f}" for share in percentages(counts[:-1].tolist()))
    lines = [
        f"{components.n_worth} of {len(components.maps)} components tell particles apart beyond "
        f"chance (gain {gain:.2f} nat a particle that had no part in them, up to ring "
        f"{found.rings}: {run.plan.grid.box * run.inputs.apix / found.rings:.0f} A)",
        f"{counted(n_classes, 'class', 'classes')} of {shares} % of the particles; junk: "
        f"{counts[-1]} of {len(found.junk)} images",
    ]
    if found.held_out:
        gains = ", ".join(f"{count}: {more:.2f}" for count, more in found.held_out.items())
        lines.append(f"number of classes and gain over one, likewise [nat a particle]: {gains}")
    for line in lines:
        LOGGER.info("%s", line)
        run.execution.progress.message(line)
    for line in _doubts(found, counts):
        LOGGER.warning("%s", line)
        warn(run.execution.progress, line)


def _doubts(found: FoundClasses, counts: Indices) -> list[str]:
    lines, n_classes = [], len(counts) - 1
    if found.components.n_worth == 0:
        lines.append(
            "no difference among the particles was found beyond chance: the classes may be of "
            "noise only"
        )
    elif found.enough < n_classes:
        lines.append(
            f"particles kept out are explained by {counted(found.enough, 'class', 'classes')} as "
            f"well as by {n_classes}, within chance: that may be more classes than the particles "
            "can carry"
        )
    small = np.flatnonzero(counts[:-1] < _SMALL * counts[:-1].sum() / n_classes)
    if len(small):
        numbers = ", ".join(str(number + 1) for number in small)
        are = "class" if len(small) == 1 else "classes"
        lines.append(
            f"{are} {numbers} of {n_classes} hold{'s' * (len(small) == 1)} only "
            f"{counted(int(counts[small].sum()), 'particle')}: that may be more classes than the "
            "particles can carry"
        )
    return lines


def refuse_too_few(options: MultiOptions, n_particles: int) -> None:
    """Refuse a search for classes among particles that are too few for any.

    Raises
    ------
    ConfigError
        Naming the number asked for, and what is needed.
    """
    if not options.finds_classes:
        return
    n_classes = options.nmodels or _LEAST_CLASSES
    least = _LEAST_PARTICLES * n_classes
    if n_particles < least:
        asked = "auto" if options.nmodels is None else options.nmodels
        raise ConfigError(
            f"--nmodels={asked}: {counted(n_particles, 'particle')} are too few to find classes "
            f"among, at least {least} are needed; --seedmethod noise takes any number"
        )
