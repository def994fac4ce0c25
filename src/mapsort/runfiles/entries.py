"""How far an iteration moved: occupancies, reassignments, pose changes, resolutions."""

from __future__ import annotations

import resource
import sys
from pathlib import Path
from typing import Any

import numpy as np

from mapsort.array_types import Float32, Int64, Real
from mapsort.engines.chunks import chunk_ranges
from mapsort.geometry.symmetry import turns_deg
from mapsort.model.matches import Matches
from mapsort.model.references import References
from mapsort.physics.fsc import GOLD_STANDARD, ONE_HALF, fsc, resolution_at
from mapsort.refinement.halves.iteration import HalvesOutcome
from mapsort.refinement.iteration import Outcome
from mapsort.refinement.reconstruction import Rebuilt
from mapsort.refinement.run import Run
from mapsort.refinement.state import State
from mapsort.stages.classify.assignment import effective_classes
from mapsort.stages.classify.junk import JUNK_FROM

#: Particles whose poses are compared together.
_AT_ONCE = 16_384


def occupancies(matches: Matches, references: References, junk: Real | None = None) -> Int64:
    """Return the number of particles whose best match is with each map, (n_models,).

    Those whose probability of being ``junk`` says so are left out.
    """
    good = slice(None) if junk is None else junk <= JUNK_FROM
    model = references.model[matches.reference[good, 0]]
    return np.bincount(model, minlength=references.n_models).astype(np.int64)


def pose_change(
    run: Run, before: Matches, after: Matches, junk: Real | None = None
) -> tuple[float, float | None, float | None]:
    """Return how many particles changed class, and how the others' poses moved; junk left out.

    Returns
    -------
    changed : float
        Fraction of particles in another map than before.
    angle : float or None
        Mean rotation [degrees] between old and new pose, the nearest symmetry mate; None if all
        particles changed class.
    shift : float or None
        Mean distance [pixels] between old and new origin.
    """
    references = run.plan.references
    old, new = references.model[before.reference[:, 0]], references.model[after.reference[:, 0]]
    good = np.ones(len(after), bool) if junk is None else junk <= JUNK_FROM
    stayed = (old == new) & good
    changed = 1.0 - float(stayed.sum()) / max(int(good.sum()), 1) if good.any() else 0.0
    if not stayed.any():
        return changed, None, None
    angles, shifts = np.zeros(len(after)), np.zeros(len(after))
    for where in chunk_ranges(len(after), _AT_ONCE):
        old_rotations, old_origins = before.part(where).poses(references)
        new_rotations, new_origins = after.part(where).poses(references)
        for model, group in enumerate(run.plan.symmetries):
            rows = np.flatnonzero(stayed[where] & (new[where] == model))
            angles[where.start + rows] = turns_deg(old_rotations[rows], new_rotations[rows], group)
        shifts[where] = np.linalg.norm(new_origins - old_origins, axis=1)
        run.execution.scratch.release()
    return changed, float(angles[stayed].mean()), float(shifts[stayed].mean())


def convergence_entry(run: Run, previous: State, outcome: Outcome) -> dict[str, Any]:
    """Return one iteration's record for convergence.json."""
    matches, rebuilt = outcome.averaged.matches, outcome.rebuilt
    junk, learnt = outcome.junk.probability, outcome.state.learnt
    changed, angle, shift = (None, None, None)
    if previous.matches is not None:
        changed, angle, shift = pose_change(run, previous.matches, matches, junk)
    maps = _map_records(run, previous, rebuilt)
    for item, halves in zip(maps, rebuilt.halves or (), strict=False):
        for name in ("unmasked", "masked", "randomised"):
            item[f"half_fsc_{name}"] = np.round(getattr(halves.curves, name), 4).tolist()
    return {
        "iteration": outcome.state.iteration,
        "soft_since": outcome.state.soft_since,
        "independent_halves": rebuilt.halves is not None,
        "occupancy": occupancies(matches, run.plan.references, junk).tolist(),
        **_counts(run, outcome),
        "empty_maps": [model + 1 for model in rebuilt.empty],
        "reseeded_maps": [model + 1 for model in outcome.classes.reseeded],
        "fraction_changed_map": changed,
        "mean_angle_change_deg": angle,
        "mean_shift_change_px": shift,
        "mean_log_likelihood": _mean_score(outcome),
        "scale": outcome.scale,
        "scale_spread": learnt.scale_spread,
        "shift_spread_px": learnt.shift_spread if np.isfinite(learnt.shift_spread) else None,
        "highest_ring": outcome.found.highest_ring,
        "maps": maps,
        "views_elsewhere": _views_elsewhere(previous),
        "seconds": outcome.seconds,
        "peak_memory_mib": round(peak_memory_bytes() / 2**20, 1),
    }


def _views_elsewhere(previous: State) -> list[list[float]] | None:
    """Return what led to the first iteration's views; None for others, and where nothing did."""
    return None if previous.elsewhere is None else np.round(previous.elsewhere, 4).tolist()


def halves_entry(run: Run, previous: State, outcome: HalvesOutcome) -> dict[str, Any]:
    """Return the record of one iteration of independent half-sets of one map."""
    n, halves, curves = len(run.inputs.particles), outcome.halves, outcome.curves
    scores = np.concatenate([half.poses.score[:, 0] for half in halves])
    return {
        "iteration": outcome.state.iteration,
        "occupancy": [n],
        "junk": None,
        "junk_sets": None,
        "posterior_sums": [float(n)],
        "particles_used": [n],
        "empty_maps": [],
        "reseeded_maps": [],
        "fraction_changed_map": 0.0 if previous.iteration else None,
        "mean_angle_change_deg": outcome.angle_change_deg,
        "mean_shift_change_px": outcome.shift_change_px,
        "mean_log_likelihood": float(scores.mean(dtype=np.float64)),
        "scale": float(np.mean([half.scale for half in halves])),
        "highest_ring": max(half.highest_ring for half in halves),
        "angular_step_deg": outcome.step_deg,
        "settled": outcome.state.settled,
        "bfactor_ang2": outcome.bfactor_ang2,
        "noise_power": outcome.state.noise_power.tolist(),
        "random_phases_from_shell": curves.random_from,
        "maps": _map_records(run, previous, outcome.rebuilt),
        "seconds": outcome.seconds,
        "peak_memory_mib": round(peak_memory_bytes() / 2**20, 1),
    }


def _map_records(run: Run, previous: State, rebuilt: Rebuilt) -> list[dict[str, Any]]:
    """Return what is told of each map."""
    both = zip(rebuilt.half_fsc, previous.references, rebuilt.references, strict=True)
    return [map_entry(curve, before, after, run.inputs.apix) for curve, before, after in both]


def map_entry(half_fsc: Real, before: Float32, after: Float32, apix: float) -> dict[str, Any]:
    """Return what is recorded of a map: the curve of its halves, and resolutions [A]."""

    def reached(curve: Real, threshold: float) -> float:
        return round(resolution_at(curve, threshold, apix, box=len(after)), 3)

    return {
        "resolution_fsc_05_ang": reached(half_fsc, ONE_HALF),
        "resolution_fsc_0143_ang": reached(half_fsc, GOLD_STANDARD),
        "resolution_to_previous_fsc_05_ang": reached(fsc(before, after), ONE_HALF),
        "half_fsc": np.round(half_fsc, 4).tolist(),
    }


def _counts(run: Run, outcome: Outcome) -> dict[str, Any]:
    """Return the particles of each set of junk, and each map's counted in two more ways."""
    references, kind = run.plan.references, outcome.junk.kind
    junk = None
    if kind is not None:
        junk = np.bincount(kind, minlength=run.options.junk_sets + 1)[1:].tolist()
    elif run.options.junk_sets:
        junk = [0] * run.options.junk_sets
    n_junk = sum(junk or ())
    shares = outcome.state.shares
    good = len(outcome.averaged.matches) - n_junk
    return {
        "junk": None if kind is None else n_junk,
        "junk_sets": junk,
        "effective_classes": _effective_classes(outcome, references),
        "posterior_sums": None if shares is None else np.round(shares * good, 2).tolist(),
        "particles_used": [
            outcome.averaged.membership.n_used(references.block(model))
            for model in range(references.n_models)
        ],
    }


def _effective_classes(outcome: Outcome, references: References) -> float:
    """Return the mean effective number of classes of a particle."""
    known, matches = outcome.state.known, outcome.averaged.matches
    total = 0.0
    for where in chunk_ranges(len(matches), _AT_ONCE):
        if known is None:
            probability = matches.part(where).map_probabilities(references)
        else:
            probability = known.rows(where).responsibilities
        total += float(effective_classes(probability).sum())
    return round(total / len(matches), 4)


def _mean_score(outcome: Outcome) -> float | None:
    """Return the mean score of the particles that are no junk; None if there are none."""
    scores, junk = outcome.averaged.matches.score[:, 0], outcome.junk.probability
    good = scores if junk is None else scores[junk <= JUNK_FROM]
    return float(good.mean(dtype=np.float64)) if len(good) else None


def peak_memory_bytes() -> int:
    """Return the highest resident memory of this process so far.

    Linux counts it for the process itself as VmHWM; what getrusage tells is inherited from the
    process that started this one, if that was larger.
    """
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("VmHWM:"):
                return 1024 * int(line.split()[1])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak if sys.platform == "darwin" else peak * 1024)
