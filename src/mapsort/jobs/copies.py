"""The copies of a relaxed symmetry (``--relax``), judged at the end of a run by left-out maps.

An iteration scores a particle at the copies of its pose by a map that holds it, at the copy that it
had: its own noise keeps it there, and makes it sure.
"""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np

from mapsort.array_types import Float64, Indices
from mapsort.errors import NumericalError
from mapsort.geometry.symmetry import symmetry
from mapsort.io.star import read_particles, write_particles
from mapsort.refinement.band_images import observed_at
from mapsort.refinement.run import Run
from mapsort.refinement.table_poses import pose_columns, table_poses
from mapsort.rundir.atomic import atomic_path
from mapsort.rundir.layout import RunDirectory
from mapsort.rundir.log import stage
from mapsort.runfiles.tables import COPY_PROBABILITY
from mapsort.stages.components.band import Band
from mapsort.stages.components.component_settings import ComponentSettings
from mapsort.stages.components.copies import JudgedCopies, judged_copies

LOGGER = logging.getLogger(__name__)

#: Maps of fewer particles hold nothing beside their symmetric mean.
FEWEST = 100
#: From this part of the particles on at another copy, copies are equal: where one is marked 1 and
#: 5 % were, without a mark 32 % (c4) and 68 % (d7).
UNSETTLED = 0.2
_OF_NOISE = "; so many choose anew where copies are equal: the map's asymmetry is of noise"


def copies_told(run: Run, directory: RunDirectory, iteration: int) -> tuple[str, ...]:
    """Judge the copies of a run that has ended, write relaxed.star; return what was found.

    Nothing is done for maps without a relaxed symmetry, or of few particles.
    """
    if run.plan.copies is None:
        return ()
    path = directory.particles(iteration)
    optics, table = read_particles(path)
    rotations, origins = table_poses(path, table, run.inputs.apix, purpose="--relax")
    probability = np.ones(len(table))
    told: list[str] = []
    number = table["rlnClassNumber"].to_numpy(np.int64)
    for model, copies in enumerate(run.plan.copies):
        rows = np.flatnonzero(number == model + 1)
        if len(copies) == 1 or len(rows) < FEWEST:
            continue
        with stage("judge copies", model=model + 1):
            try:
                found = _of_map(run, model, rows, (rotations[rows], origins[rows]))
            except NumericalError as error:
                LOGGER.warning("copies of map %d stay as they are: %s", model + 1, error)
                continue
        rotations[rows], probability[rows] = found.rotations, found.probability
        told.append(
            f"map {model + 1}: by maps made without it, {found.moved.mean():.1%} of the particles "
            f"lie at another symmetry copy; the probability of a particle's copy is "
            f"{found.probability.mean():.2f} on average, {1 / len(copies):.2f} where all are equal "
            f"({directory.relaxed})" + (_OF_NOISE if found.moved.mean() > UNSETTLED else "")
        )
    if told:
        table = table.assign(**pose_columns(rotations, origins, run.inputs.apix))
        table[COPY_PROBABILITY] = np.round(probability, 6)
        with atomic_path(directory.relaxed) as part:
            write_particles(part, optics, table)
    return tuple(told)


def _of_map(run: Run, model: int, rows: Indices, poses: tuple[Float64, Float64]) -> JudgedCopies:
    """Judge the particles of one map at their poses."""
    band = Band.widest(run.plan.grid.box, run.inputs.apix)
    part = replace(run, plan=replace(run.plan, band=band)).only(rows)
    assert run.plan.copies is not None, "asked for where there are copies"
    settings = ComponentSettings(
        radius_px=run.plan.sphere_radius, junk=False, n_threads=run.plan.n_threads
    )
    return judged_copies(
        observed_at(part, *poses, run.plan.symmetries[model]),
        run.plan.copies[model],
        symmetry(run.options.searched[model]).matrices,
        settings,
    )
