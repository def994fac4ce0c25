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
from mapsort.engines.progress import warn
from mapsort.errors import ConfigError, NumericalError
from mapsort.jobs.class_views import VIEWS, settled_views
from mapsort.jobs.consensus import (
    CONSENSUS,
    Consensus,
    classes_at,
    poses_with_one_map,
    replanned,
)
from mapsort.model.matches import Matches
from mapsort.options.multi import MultiOptions
from mapsort.options.types import CONSENSUS_ITERATIONS
from mapsort.refinement.half_maps import half_seeds
from mapsort.refinement.known_classes import (
    KnownClasses,
    Placed,
    candidates,
    led_by_classes,
)
from mapsort.refinement.plan import noise_floor
from mapsort.refinement.run import Run
from mapsort.refinement.state import Learnt, State
from mapsort.rundir.log import stage
from mapsort.rundir.scratch import Gathered
from mapsort.rundir.set_counts import percentages
from mapsort.rundir.wording import counted
from mapsort.stages.components.component_settings import ComponentSettings
from mapsort.stages.components.found_classes import FoundClasses
from mapsort.stages.search.nearest_references import nearest_references

LOGGER = logging.getLogger(__name__)

#: Fewer particles a class cannot be found; their number cannot be for fewer than so many classes.
_LEAST_PARTICLES, _LEAST_CLASSES = 10, 12
#: Classes by whose maps views are judged where the number of classes is to be found: as many as it
#: likes would take up the wrong views of a state that looks otherwise, and find nothing elsewhere.
_FEWEST = 2
#: What wrong views that are left may lead to there.
_COUNTED = ", or be counted as classes of their own: give the number (--nmodels) if you know it"
#: A class with a smaller part of the particles than this part of an equal share is told.
_SMALL = 0.1


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
    kept = run.execution.checkpoints
    counts = run.options.nmodels is None and run.inputs.poses is None
    first = _of_number(run, _FEWEST) if counts else run

    def found() -> StartingClasses:
        return _classes_at(first, poses_with_one_map(run, CONSENSUS_ITERATIONS), told=not counts)

    classes = kept.kept(0, "classes", StartingClasses, found)
    begun, state = _started(first, classes)
    views = settled_views(begun, state)
    if views.doubt is not None:
        _warn(run, views.doubt + _COUNTED * counts)
    if counts or views.anew is not None:
        at = views.anew or classes.consensus
        anew = kept.kept(0, "anew", StartingClasses, lambda: _classes_at(run, at))
        begun, state = _started(run, anew)
    for part in (CONSENSUS, VIEWS):
        kept.drop_part(part)
    return begun, replace(state, elsewhere=views.elsewhere)


def _started(run: Run, classes: StartingClasses) -> tuple[Run, State]:
    """Return the run of as many maps as classes were found, and the state that these make."""
    classes = run.execution.scratch.with_arrays(classes)
    run = of_found_number(run, classes.known)
    # Their scale is that of normalised images, as the engine's; its first iteration asks for none.
    maps = tuple(np.asarray(volume * run.sphere, np.float32) for volume in classes.maps)
    noise = classes.consensus.noise_power
    return run, State(
        iteration=0,
        references=maps,
        noise_power=noise_floor(run.seen.averaged) if noise is None else noise,
        matches=_starting_matches(run, classes),
        halves=half_seeds(run, maps) if run.options.halves else None,
        learnt=Learnt(shift_spread=classes.consensus.shift_spread),
        known=classes.known,
    )


def of_found_number(run: Run, known: KnownClasses | None) -> Run:
    """Return the run with as many maps as classes were found, where it asks for that."""
    if known is None or run.options.nmodels is not None:
        return run
    return _of_number(run, known.responsibilities.shape[1])


def _of_number(run: Run, count: int) -> Run:
    """Return the run with so many maps, all the one."""
    one = run.options.models[:1]
    # what follows from classes being sought stays, though one is no longer
    options = replace(run.options, nmodels=count, models=one * count, junk=run.options.junk_sets)
    return replanned(run, options, replace(run.inputs, seeds=run.inputs.seeds[:1] * count))


def _classes_at(run: Run, consensus: Consensus, *, told: bool = True) -> StartingClasses:
    """Find classes at these poses, and tell what was found unless others are to follow."""
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
    if told:
        _tell(run, found)
    return StartingClasses(
        known, found.rotations, consensus.origins + found.origins, found.maps, consensus
    )


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
        _warn(run, line)


def _warn(run: Run, line: str) -> None:
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
