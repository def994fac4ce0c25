"""One iteration of single-map refinement: each half by itself, then what both halves tell."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mapsort.errors import NumericalError
from mapsort.geometry.symmetry import turns_deg
from mapsort.model.poses import Poses
from mapsort.options.refine import AUTO, NONE
from mapsort.physics.fsc import GOLD_STANDARD
from mapsort.physics.half_maps import (
    HalfMapFsc,
    filtered_mean,
    half_map_curves,
    noise_to_signal,
    wiener_filtered,
)
from mapsort.physics.radial_matching import set_structure_factor
from mapsort.physics.sharpening import guinier_bfactor, sharpened
from mapsort.refinement.reconstruction import masks_of
from mapsort.refinement.single_search import SETTLED_SHARE, plan_search, search_half
from mapsort.refinement.single_state import (
    HALF_NAMES,
    HalfOutcome,
    HalfState,
    SingleOutcome,
    SingleRun,
    SingleState,
)
from mapsort.rundir.log import stage
from mapsort.stages.fourier_grid import Float32

#: Draws of random numbers are told apart by these.
_CURVES = 2


def iterate(run: SingleRun, state: SingleState) -> SingleOutcome:
    """Carry out one iteration."""
    number = state.iteration + 1
    search = plan_search(run, state)
    seconds: dict[str, float] = {}
    halves: list[HalfOutcome] = []
    for name, half, before in zip(HALF_NAMES, run.halves, state.halves, strict=True):
        with stage(f"refine {name} half", iteration=number) as facts:
            found = search_half(half, before, search, iteration=number)
            facts |= {"particles": len(found.poses), "rings": found.highest_ring}
            facts["search"] = f"grid {search.step_deg:.1f} deg" if search.everywhere else "local"
        seconds[f"refine {name}"] = round(float(str(facts["seconds"])), 3)
        halves.append(found)
    with stage("compare halves", iteration=number) as facts:
        both = compare_halves(run, halves[0].volume, halves[1].volume, iteration=number)
        resolution = both.resolution(run)
        facts["resolution"] = f"{resolution:.2f} A"
        references = [half_reference(run, half.volume, both.curves) for half in halves]
    seconds["compare"] = round(float(str(facts["seconds"])), 3)
    turns, moves = _changes(run, state, halves)
    turn = None if turns is None else float(np.median(turns))
    settled = state.settled or (turn is not None and turn < SETTLED_SHARE * search.step_deg)
    return SingleOutcome(
        state=SingleState(
            number,
            tuple(
                HalfState(reference, half.noise_power, half.poses)
                for reference, half in zip(references, halves, strict=True)
            ),
            resolution,
            settled,
            both.map,
        ),
        halves=tuple(halves),
        map=both.map,
        sharpened=both.sharpened,
        mask=both.mask,
        curves=both.curves,
        step_deg=search.step_deg if search.everywhere else None,
        bfactor_ang2=both.bfactor_ang2,
        angle_change_deg=turn,
        shift_change_px=None if moves is None else float(np.median(moves)),
        seconds=seconds,
    )


@dataclass(frozen=True)
class BothHalves:
    """What two half maps tell together; fields as of `SingleOutcome`."""

    map: Float32
    sharpened: Float32
    mask: Float32
    curves: HalfMapFsc
    bfactor_ang2: float | None

    def resolution(self, run: SingleRun) -> float:
        """Return where the corrected FSC falls below 0.143 [A]."""
        return self.curves.resolution(GOLD_STANDARD, run.whole.inputs.apix, box=len(self.map))


def compare_halves(run: SingleRun, even: Float32, odd: Float32, *, iteration: int) -> BothHalves:
    """Mask and compare two half maps; filter and sharpen their mean.

    Raises
    ------
    NumericalError
        A half map is not finite, or shows no density above its background.
    """
    apix, sphere = run.whole.inputs.apix, run.whole.sphere
    for name, volume in zip(HALF_NAMES, (even, odd), strict=True):
        if not np.isfinite(volume).all():
            raise NumericalError(f"the {name} half map holds NaN or infinite values")
    mean = np.asarray(0.5 * (even + odd), np.float32)
    mask = masks_of(run.whole, [filtered_mean(even, odd, sphere)[0]], sphere)[0]
    rng = np.random.default_rng([run.seed, _CURVES, iteration])
    curves = half_map_curves(even, odd, mask, rng=rng)
    ratio = noise_to_signal([curves.corrected])
    resolution = curves.resolution(GOLD_STANDARD, apix, box=len(mean))
    bfactor = chosen_bfactor(run, mean * mask, curves.corrected, resolution)
    final = mean
    if run.structure_factor is not None:
        final = set_structure_factor(mean, run.structure_factor, apix=apix)
    elif bfactor is not None:
        final = sharpened(mean, apix, bfactor, resolution_ang=resolution)
    return BothHalves(
        wiener_filtered(mean, ratio) * mask,
        wiener_filtered(final, ratio) * mask,
        mask,
        curves,
        bfactor,
    )


def chosen_bfactor(
    run: SingleRun, volume: Float32, curve: npt.NDArray[np.float64], resolution_ang: float
) -> float | None:
    """Return the B factor to sharpen by, as asked for; None for none."""
    asked = run.options.bfactor
    if run.structure_factor is not None or asked == NONE:
        return None
    if asked != AUTO:
        return float(asked)
    return guinier_bfactor(
        volume, run.whole.inputs.apix, resolution_ang=resolution_ang, curve=curve
    )


def half_reference(run: SingleRun, volume: Float32, curves: HalfMapFsc) -> Float32:
    """Return a half's next reference: filtered for one half, under a mask of its own.

    Of the other half only the FSC has a part in it. A half has half of the signal-to-noise ratio
    of the whole: 1/SSNR = (1 - FSC) / FSC.
    """
    filtered = wiener_filtered(volume, 2.0 * noise_to_signal([curves.corrected]))
    return np.asarray(filtered * masks_of(run.whole, [filtered], run.whole.sphere)[0], np.float32)


def _changes(
    run: SingleRun, state: SingleState, halves: list[HalfOutcome]
) -> tuple[npt.NDArray[np.float64] | None, npt.NDArray[np.float64] | None]:
    """Return turns [degrees] and moves [pixels] of all particles since the last iteration."""
    turns, moves = [], []
    group = run.whole.plan.symmetries[0]
    for before, after in zip(state.halves, halves, strict=True):
        old: Poses | None = before.poses
        if old is None:
            return None, None
        turns.append(turns_deg(old.rotation[:, 0], after.poses.rotation[:, 0], group))
        moved = after.poses.origin[:, 0] - old.origin[:, 0]
        moves.append(np.linalg.norm(moved, axis=1))
    return np.concatenate(turns), np.concatenate(moves)
