"""Starting maps that batches of particles improve (``--batch``), before the first iteration."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

from mapsort.engines.progress import warn
from mapsort.jobs.consensus import titled
from mapsort.physics.fsc import GOLD_STANDARD, resolution_at
from mapsort.refinement.batches import batch_sizes, batches, coarse_no_more, lost_maps
from mapsort.refinement.iteration import Outcome, iterate
from mapsort.refinement.run import Run
from mapsort.refinement.state import Learnt, State
from mapsort.rundir.log import stage
from mapsort.rundir.wording import counted

LOGGER = logging.getLogger(__name__)

#: Name of the checkpoints' directory.
_BATCHES = "batches"


@dataclass(frozen=True)
class Improved:
    """Where the batches stand."""

    #: What the next one begins with; its iteration is their number.
    state: State
    #: Resolution of each map [A] after each.
    resolution_ang: list[list[float]]


def through_batches(run: Run, state: State) -> State:
    """Return the state of starting maps that batches have improved, or of these as they are."""
    improved = _improved(run, state)
    run.execution.checkpoints.drop_part(_BATCHES)
    return improved


def _improved(run: Run, state: State) -> State:
    """Carry out one iteration of each batch.

    Each batch has particles that no earlier one had, so that its maps hold nothing of the noise
    that it is compared with. They end when maps become no finer. Maps that lose their particles are
    not what the user gave: then all particles begin with the starting maps, and a warning says so.
    """
    inputs, options, box = run.inputs, run.options, run.plan.grid.box
    sizes = batch_sizes(options, len(inputs.particles))
    if not sizes:
        return state
    chosen = batches(inputs.particles.image_numbers(), sizes, seed=run.plan.seed)
    part = replace(
        run,
        options=replace(options, iter=len(sizes)),
        execution=titled(run.execution, _BATCHES),
    )
    kept = part.execution.checkpoints
    at = kept.latest("state", Improved) or Improved(state, [])
    with stage("batches"):
        while at.state.iteration < len(chosen) and not coarse_no_more(at.resolution_ang):
            rows = chosen[at.state.iteration]
            found = iterate(replace(part.only(rows), spectra_seen=run.spectra_seen), at.state)
            if lost := {*found.classes.reseeded, *lost_maps(found.classes.shares.tolist())}:
                _tell_of_loss(run, sorted(lost))
                return state
            resolutions = [
                resolution_at(curve, GOLD_STANDARD, inputs.apix, box=box)
                for curve in found.rebuilt.half_fsc
            ]
            at = Improved(_between(found.state), [*at.resolution_ang, resolutions])
            number = at.state.iteration
            kept.save(number, "state", at)
            kept.drop_before(number)
            _tell(run, found, f"batch {number}/{len(chosen)}", len(rows), resolutions)
    return replace(at.state, iteration=0, soft_since=0)


def _between(state: State) -> State:
    """Return a state without what is known of the particles of its batch only."""
    learnt = state.learnt
    return replace(
        state.maps_only(),
        learnt=Learnt(scale_spread=learnt.scale_spread, shift_spread=learnt.shift_spread),
    )


def _tell(run: Run, found: Outcome, name: str, n: int, resolutions: list[float]) -> None:
    reached = "/".join(f"{value:.1f}" for value in resolutions)
    shares = "/".join(f"{share:.1%}" for share in found.classes.shares)
    text = f"{name}: {counted(n, 'particle')}, {shares}, resolution {reached} A"
    LOGGER.info("%s", text)
    run.execution.progress.message(text)


def _tell_of_loss(run: Run, lost: list[int]) -> None:
    names = ", ".join(str(model + 1) for model in lost)
    text = (
        f"map {names}: (nearly) no particles of a batch; iterations begin with all particles and "
        "the starting maps, as with --batch all"
    )
    LOGGER.warning("%s", text)
    warn(run.execution.progress, text)
