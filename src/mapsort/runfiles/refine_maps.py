"""Write what an iteration of a single-map refinement found, every file whole or not at all."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from mapsort.io.star import write_particles
from mapsort.model.half_sets import SUBSET
from mapsort.physics.fsc import frequencies_per_ang, fsc
from mapsort.physics.half_maps import COLUMN_WORDS
from mapsort.refinement.reconstruction import scaled_to_mass
from mapsort.refinement.single_state import SingleOutcome, SingleRun, SingleState
from mapsort.refinement.table_poses import pose_columns
from mapsort.rundir.layout import RunDirectory
from mapsort.rundir.text import write_fsc
from mapsort.runfiles.entries import map_entry, peak_memory_bytes
from mapsort.runfiles.maps import write_half_maps, write_volume
from mapsort.runfiles.tables import image_names, without_found

#: Maps are numbered from 1, and there is one.
MAP = 1


def write_starting_maps(run: SingleRun, directory: RunDirectory, state: SingleState) -> None:
    """Write the seeds: of each half, and their mean as threed_00_01."""
    apix = run.whole.inputs.apix
    even, odd = (half.reference for half in state.halves)
    write_half_maps(run.whole, directory, 0, MAP - 1, even, odd)
    write_volume(directory.maps(0, MAP), scaled_to_mass(run.whole, state.map, 0), apix)


def write_single_maps(
    run: SingleRun, directory: RunDirectory, outcome: SingleOutcome, previous: SingleState
) -> None:
    """Write half maps (unfiltered), the filtered and the sharpened map, mask and curves."""
    iteration, apix = outcome.state.iteration, run.whole.inputs.apix
    even, odd = (half.volume for half in outcome.halves)
    write_half_maps(run.whole, directory, iteration, MAP - 1, even, odd)
    for path, volume in (
        (directory.maps(iteration, MAP), outcome.map),
        (directory.threed_filt(iteration, MAP), outcome.sharpened),
    ):
        write_volume(path, scaled_to_mass(run.whole, volume, 0), apix)
    write_volume(directory.threed_mask(iteration, MAP), outcome.mask, apix)
    frequency = frequencies_per_ang(len(outcome.map), apix)
    write_fsc(
        directory.fsc_eo(iteration, MAP),
        frequency,
        outcome.curves.columns,
        title=f"1/A, independent half maps: {COLUMN_WORDS}",
    )
    write_fsc(
        directory.fsc(iteration, MAP),
        frequency,
        fsc(previous.map, outcome.map),
        title=f"1/A, FSC of the map with that of iteration {iteration - 1}",
    )


def single_table(run: SingleRun, outcome: SingleOutcome) -> pd.DataFrame:
    """Return the particle table with half-set, pose and score of every particle.

    ``rlnRandomSubset`` is 1 for the even and 2 for the odd half, as RELION numbers half-sets.
    """
    n = run.n_particles
    rotations, origins, scores = np.empty((n, 3, 3)), np.empty((n, 2)), np.empty(n)
    for number, half in enumerate(outcome.halves):
        rows = run.rows(number)
        rotations[rows] = half.poses.rotation[:, 0]
        origins[rows] = half.poses.origin[:, 0]
        scores[rows] = half.poses.score[:, 0]
    table = without_found(run.whole.inputs.particles.table)
    table["rlnImageName"] = image_names(run.whole.inputs.particles)
    table["rlnClassNumber"] = MAP
    table[SUBSET] = run.whole.inputs.halves.half.astype(int) + 1
    for name, values in pose_columns(rotations, origins, run.whole.inputs.apix).items():
        table[name] = np.round(values, 4)
    table["rlnLogLikeliContribution"] = np.round(scores, 4)
    return table


def write_single_table(
    run: SingleRun, directory: RunDirectory, iteration: int, table: pd.DataFrame
) -> None:
    """Write particles_YY.star."""
    write_particles(directory.particles(iteration), run.whole.inputs.particles.optics, table)


def single_entry(run: SingleRun, previous: SingleState, outcome: SingleOutcome) -> dict[str, Any]:
    """Return one iteration's record for convergence.json."""
    scores = np.concatenate([half.poses.score[:, 0] for half in outcome.halves])
    return {
        "iteration": outcome.state.iteration,
        "occupancy": [run.n_particles],
        "junk": None,
        "junk_sets": None,
        "posterior_sums": [float(run.n_particles)],
        "particles_used": [run.n_particles],
        "empty_maps": [],
        "reseeded_maps": [],
        "fraction_changed_map": 0.0 if previous.iteration else None,
        "mean_angle_change_deg": outcome.angle_change_deg,
        "mean_shift_change_px": outcome.shift_change_px,
        "mean_log_likelihood": float(scores.mean(dtype=np.float64)),
        "scale": float(np.mean([half.scale for half in outcome.halves])),
        "highest_ring": max(half.highest_ring for half in outcome.halves),
        "angular_step_deg": outcome.step_deg,
        "settled": outcome.state.settled,
        "bfactor_ang2": outcome.bfactor_ang2,
        "noise_power": [half.noise_power.tolist() for half in outcome.halves],
        "random_phases_from_shell": outcome.curves.random_from,
        "maps": [
            map_entry(outcome.curves.corrected, previous.map, outcome.map, run.whole.inputs.apix)
        ],
        "seconds": outcome.seconds,
        "peak_memory_mib": round(peak_memory_bytes() / 2**20, 1),
    }
