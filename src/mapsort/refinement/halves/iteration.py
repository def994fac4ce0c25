"""One iteration of independent halves: each by itself, then what both tell together."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np

from mapsort.array_types import Float32
from mapsort.errors import NumericalError
from mapsort.geometry.symmetry import turns_deg
from mapsort.model.half_sets import N_HALVES
from mapsort.model.poses import Poses
from mapsort.options.refine import AUTO, NONE
from mapsort.physics.filters import guinier_bfactor, sharpened
from mapsort.physics.fsc import GOLD_STANDARD
from mapsort.physics.half_maps import (
    HalfMapFsc,
    filtered_mean,
    half_map_curves,
    noise_to_signal,
    wiener_filtered,
)
from mapsort.physics.radial_matching import set_structure_factor
from mapsort.refinement.half_maps import HalfMaps
from mapsort.refinement.halves.search import HalfFound, grid_step, search_half, with_grid
from mapsort.refinement.map_masks import masks_of
from mapsort.refinement.reconstruction import Rebuilt
from mapsort.refinement.run import Run
from mapsort.refinement.state import State
from mapsort.rundir.log import timed

#: Half-sets by number; see `mapsort.model.half_sets`.
HALF_NAMES = ("even", "odd")
#: The grid of views is given up once half of the particles move by less than this share of its
#: step in an iteration: it can no longer tell more than their last poses do.
SETTLED_SHARE = 0.5
#: Draws of random numbers are told apart by these.
_CURVES = 2


@dataclass(frozen=True)
class HalvesOutcome:
    """Everything an iteration found; the run directory's files are made from it."""

    #: Input of the next iteration.
    state: State
    halves: tuple[HalfFound, ...]
    #: The map is the mean of the halves, filtered by their FSC. Its mask serves the FSC and this
    #: map, never the references.
    rebuilt: Rebuilt
    curves: HalfMapFsc
    #: Step of the grid of views; None where the search was about the last poses only.
    step_deg: float | None
    #: B that the map was sharpened by; None for none.
    bfactor_ang2: float | None
    #: angle_change_deg and shift_change_px: median turn and move of the particles since the last
    #: iteration.
    angle_change_deg: float | None
    shift_change_px: float | None
    #: Time of each stage.
    seconds: dict[str, float]


def iterate(run: Run, state: State) -> HalvesOutcome:
    """Carry out one iteration."""
    number = state.iteration + 1
    step, seconds = grid_step(run, state), dict[str, float]()
    searched, halves = with_grid(run, state, step), []
    for part, name in enumerate(HALF_NAMES):
        half, before = searched.of_part(part, N_HALVES), state.of_part(part)
        key = f"refine {name}"
        with timed(seconds, f"{key} half", iteration=number, key=key) as facts:
            found = run.execution.checkpoints.kept(
                number,
                f"refine{half.part_name}",
                HalfFound,
                partial(search_half, half, before, step, iteration=number),
            )
            facts |= {"particles": len(found.poses), "rings": found.highest_ring}
            facts["search"] = "local" if state.settled else f"grid {step:.1f} deg"
        halves.append(found)
    with timed(seconds, "compare halves", iteration=number, key="compare") as facts:
        rebuilt, curves, bfactor = compare_halves(run, halves, iteration=number)
        apix, box = run.inputs.apix, run.plan.grid.box
        resolution = curves.resolution(GOLD_STANDARD, apix, box=box)
        facts["resolution"] = f"{resolution:.2f} A"
    poses = run.execution.scratch.put_together(
        [half.poses for half in halves], run.inputs.halves.half
    )
    turn, moved = (None, None) if state.poses is None else _changes(run, state.poses, poses)
    return HalvesOutcome(
        state=State(
            number,
            rebuilt.references,
            np.stack([half.noise_power for half in halves]),
            None,
            halves=rebuilt.half_references,
            poses=poses,
            resolution_ang=resolution,
            settled=state.settled or (turn is not None and turn < SETTLED_SHARE * step),
        ),
        halves=tuple(halves),
        rebuilt=rebuilt,
        curves=curves,
        step_deg=None if state.settled else step,
        bfactor_ang2=bfactor,
        angle_change_deg=turn,
        shift_change_px=moved,
        seconds=seconds,
    )


def compare_halves(
    run: Run, halves: list[HalfFound], *, iteration: int
) -> tuple[Rebuilt, HalfMapFsc, float | None]:
    """Mask and compare two half maps; filter and sharpen their mean.

    Raises
    ------
    NumericalError
        A half map is not finite, or shows no density above its background.
    """
    even, odd = (half.volume for half in halves)
    for name, volume in zip(HALF_NAMES, (even, odd), strict=True):
        if not np.isfinite(volume).all():
            raise NumericalError(f"the {name} half map holds NaN or infinite values")
    mean = np.asarray(0.5 * (even + odd), np.float32)
    mask = masks_of(run, [filtered_mean(even, odd, run.sphere)[0]], run.sphere)[0]
    rng = np.random.default_rng([run.plan.seed, _CURVES, iteration])
    curves = half_map_curves(even, odd, mask, rng=rng)
    ratio = noise_to_signal([curves.corrected])
    final, bfactor = _sharpened(run, mean, mask, curves)
    filtered = wiener_filtered(mean, ratio) * mask
    rebuilt = Rebuilt(
        references=(filtered,),
        maps=(filtered,),
        masks=(mask,),
        half_fsc=(curves.corrected,),
        rejected=np.empty(0, np.intp),
        empty=(),
        halves=(HalfMaps(even, odd, curves),),
        half_references=(
            (_half_reference(run, even, curves),),
            (_half_reference(run, odd, curves),),
        ),
        sharpened=(wiener_filtered(final, ratio) * mask,),
    )
    return rebuilt, curves, bfactor


def _sharpened(
    run: Run, mean: Float32, mask: Float32, curves: HalfMapFsc
) -> tuple[Float32, float | None]:
    """Return the mean map as asked for with ``--bfactor`` or ``--m3dsetsf``, and B if there is."""
    apix, asked = run.inputs.apix, run.policy.asked.bfactor
    if run.policy.structure_factor is not None:
        return set_structure_factor(mean, run.policy.structure_factor, apix=apix), None
    if asked == NONE:
        return mean, None
    resolution = curves.resolution(GOLD_STANDARD, apix, box=len(mean))
    bfactor: float | None
    if asked == AUTO:
        bfactor = guinier_bfactor(
            mean * mask, apix, resolution_ang=resolution, curve=curves.corrected
        )
    else:
        bfactor = float(asked)
    if bfactor is None:
        return mean, None
    return sharpened(mean, apix, bfactor, resolution_ang=resolution), bfactor


def _half_reference(run: Run, volume: Float32, curves: HalfMapFsc) -> Float32:
    """Return a half's next reference: filtered for one half, under a mask of its own.

    Of the other half only the FSC has a part in it. A half has half of the signal-to-noise ratio
    of the whole: 1/SSNR = (1 - FSC) / FSC.
    """
    filtered = wiener_filtered(volume, 2.0 * noise_to_signal([curves.corrected]))
    return np.asarray(filtered * masks_of(run, [filtered], run.sphere)[0], np.float32)


def _changes(run: Run, old: Poses, new: Poses) -> tuple[float, float]:
    """Return the median turn [degrees] and move [pixels] since the last iteration."""
    group = run.plan.symmetries[0]
    turns = turns_deg(old.rotation[:, 0], new.rotation[:, 0], group)
    moves = np.linalg.norm(new.origin[:, 0] - old.origin[:, 0], axis=1)
    return float(np.median(turns)), float(np.median(moves))
