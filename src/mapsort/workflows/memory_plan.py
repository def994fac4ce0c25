"""The memory that a run needs, item by item; `--check` prints it and the run holds to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mapsort.stages.reconstruct import reconstruction_bytes

if TYPE_CHECKING:
    from mapsort.workflows.multi_plan import MultiPlan

#: The full similarity matrix is written while it stays under this size.
FULL_SIMILARITY_BYTES = 256 * 2**20
_SIMILARITY_IMAGES = 6
#: Python with the libraries that a run loads.
PROGRAM_BYTES = 190 * 2**20
#: What the plotting library takes while a report is written, beside one map at a time.
REPORT_BYTES = 96 * 2**20
#: A match: reference, score, quality, angle, shift and mirror in four bytes each; those of this
#: iteration and of the one before.
_MATCH_BYTES = 2 * 28
#: A particle's rows in the input table and in two output tables, its CTF and class membership.
_TABLE_BYTES = 700


def bank_bytes(box: int) -> int:
    """Return the size of one reference's angular coefficients, full band, all levels."""
    return 2 * 8 * (box // 2) * int(np.pi * box / 2)


def similarity_bytes(plan: MultiPlan, n_particles: int) -> int:
    """Return the size of the full similarity matrix of an iteration."""
    return _SIMILARITY_IMAGES * 4 * n_particles * len(plan.references)


def item_bytes(plan: MultiPlan) -> dict[str, int]:
    """Return the memory of one item of each kind.

    Returns
    -------
    dict
        ``particle``: matches and table rows of a particle of the run. ``particle in work``: its
        image, transforms and what the kernels return for it, one chunk being worked on and one
        read ahead. ``class``: sums of both halves (24 bytes per Fourier term) and the projection,
        twice because one iteration's are written while the next are made. ``reference``: angular
        coefficients. ``map``: normal equations (22 bytes per voxel), halves, mask, seed, versions.
    """
    box, padded = plan.grid.box, plan.grid.padded
    # Half-sets kept apart have equations, references, half maps and projections of their own.
    sets = 2 if plan.halves else 1
    rows = plan.refined * plan.n_models
    return {
        "particle": rows * _MATCH_BYTES + _TABLE_BYTES,
        "particle in work": 2 * (8 * padded * (padded // 2 + 1) + 12 * box * box),
        "class": 2 * box * (box // 2 + 1) * (2 * 12 + 8 * sets),
        "reference": bank_bytes(box),
        "map": (sets * 22 + (8 + 4 * (sets - 1)) * 4) * box**3,
    }


def memory_bytes(plan: MultiPlan, n_particles: int) -> dict[str, int]:
    """Return the memory a run needs, by purpose; the sum bounds its peak.

    Threads share everything: the sum does not depend on their number. Beside what `item_bytes`
    lists, one reconstruction at a time (`reconstruction_bytes`) or the padded transform of a
    projection, and the similarity matrix where it is kept, with its copy in writing.

    Parameters
    ----------
    plan : MultiPlan
    n_particles : int
    """
    item = item_bytes(plan)
    n_references = len(plan.references)
    largest = int(np.bincount(plan.references.model, minlength=plan.n_models).max())
    copies = max(len(group.matrices) for group in plan.symmetries)
    box = plan.grid.box
    samples = largest * copies * box * (box // 2 + 1)
    similarity = similarity_bytes(plan, n_particles)
    return {
        "maps": max(
            reconstruction_bytes(plan.map_grid, n_sums=1, n_samples=samples),
            16 * plan.grid.padded**3,
        )
        + plan.n_models * item["map"],
        "classes": n_references * item["class"],
        "references": min(n_references, plan.reference_blocks[0].stop) * item["reference"],
        "particles in work": min(plan.chunk, n_particles) * item["particle in work"],
        "particles": n_particles * item["particle"],
        "similarity": 2 * similarity if similarity <= FULL_SIMILARITY_BYTES else 0,
        "program": PROGRAM_BYTES,
    }
