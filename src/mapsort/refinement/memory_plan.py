"""The memory that a run needs, item by item; `--check` prints it and the run holds to it."""

from __future__ import annotations

import numpy as np

from mapsort.model.half_sets import N_HALVES
from mapsort.refinement.plan import MultiPlan, bank_bytes
from mapsort.stages.components.memory import particle_bytes
from mapsort.stages.reconstruct.class_reconstruction import CLASSES_AT_ONCE
from mapsort.stages.reconstruct.reconstruct import reconstruction_bytes

#: The full similarity matrix is written while it stays under this size.
FULL_SIMILARITY_BYTES = 256 * 2**20
_SIMILARITY_IMAGES = 6
#: Python with the libraries that a run loads.
PROGRAM_BYTES = 190 * 2**20
#: What the plotting library takes while a report is written, beside one map at a time.
REPORT_BYTES = 96 * 2**20
#: A match: reference, score, quality, angle, shift and mirror in four bytes each.
_MATCH_BYTES = 28
#: A particle's row of a table, with CTF, place and membership, in scratch files.
_SCRATCH_TABLE_BYTES = 400
#: What stays in memory of each particle: numbers of its class and place in it, its class and weight
#: while classes are made, marks for the table.
_PARTICLE_BYTES = 130


#: Class sums up to this size are made in pieces of the particles, which Dask workers share.
PIECE_BYTES = 256 * 2**20
#: Sums and projections of the classes beyond this many blocks of references lie in scratch files.
_SPILLED_FROM = 8


def class_sum_bytes(plan: MultiPlan) -> int:
    """Return the size of the sums of all classes, both halves."""
    return N_HALVES * 12 * _plane(plan) * len(plan.references)


def spills_classes(plan: MultiPlan) -> bool:
    """Whether sums and projections of the classes are too large for memory."""
    slices = 8 * _plane(plan) * len(plan.references)
    return class_sum_bytes(plan) + slices > _SPILLED_FROM * plan.block_bytes


def _plane(plan: MultiPlan) -> int:
    return plan.grid.box * (plan.grid.box // 2 + 1)


def class_bytes(plan: MultiPlan, n_particles: int) -> int:
    """Return the memory that sums and projections of the classes take.

    In scratch files: what a chunk of particles, or a number of classes that are worked on together,
    touches. In memory: all of them, and a piece's sums with a copy where there are pieces.
    """
    n_references = len(plan.references)
    if spills_classes(plan):
        touched = min(plan.chunk, n_particles, N_HALVES * n_references)
        together = min(CLASSES_AT_ONCE, n_references)
        return _plane(plan) * (20 * touched + 2 * 12 * together)
    sums = class_sum_bytes(plan)
    pieces = 2 * sums if sums <= PIECE_BYTES else 0
    return n_references * item_bytes(plan)["class"] + pieces


def scratch_bytes(plan: MultiPlan, n_particles: int) -> int:
    """Return the disk space that scratch files take beside the results.

    Of each particle two iterations' matches, with those of one more block while they are merged,
    the table, the CTF and where it belongs; the similarity matrix; the classes of two iterations.
    """
    rows = plan.refined * plan.n_models
    similarity = similarity_bytes(plan, n_particles)
    kept = n_particles * (4 * rows * _MATCH_BYTES + _SCRATCH_TABLE_BYTES)
    kept += similarity if similarity <= FULL_SIMILARITY_BYTES else 0
    kept += 0 if plan.band is None else particle_bytes(n_particles, plan.band)
    if spills_classes(plan):
        kept += len(plan.references) * item_bytes(plan)["class"]
    return kept


def similarity_bytes(plan: MultiPlan, n_particles: int) -> int:
    """Return the size of the full similarity matrix of an iteration."""
    return _SIMILARITY_IMAGES * 4 * n_particles * len(plan.references)


def item_bytes(plan: MultiPlan) -> dict[str, int]:
    """Return the memory of one item of each kind.

    Returns
    -------
    dict
        ``particle``: what stays in memory of every particle. ``particle in work``: its
        image, transforms and what the kernels return for it, one chunk being worked on and one
        read ahead. ``class``: sums of both halves (24 bytes per Fourier term) and the projection,
        twice because one iteration's are written while the next are made. ``reference``: angular
        coefficients. ``map``: normal equations (22 bytes per voxel), halves, mask, seed, versions,
        and its Fourier terms while maps are compared with each other.
    """
    box, padded = plan.grid.box, plan.grid.padded
    # Half-sets kept apart have equations, references, half maps and projections of their own.
    sets = 2 if plan.halves else 1
    return {
        "particle": _PARTICLE_BYTES,
        "particle in work": 2 * (8 * padded * (padded // 2 + 1) + 12 * box * box),
        "class": 2 * box * (box // 2 + 1) * (2 * 12 + 8 * sets),
        "reference": bank_bytes(box / 2),
        "map": (sets * 22 + (9 + 4 * (sets - 1)) * 4) * box**3,
    }


def memory_bytes(plan: MultiPlan, n_particles: int) -> dict[str, int]:
    """Return the memory a run needs, by purpose; the sum bounds its peak.

    Threads share everything: the sum does not depend on their number. Beside what `item_bytes`
    lists, one reconstruction at a time (`reconstruction_bytes`) or the padded transform of a
    projection. Matches, the similarity matrix and tables lie in scratch files (`scratch_bytes`).
    """
    item = item_bytes(plan)
    n_references = len(plan.references)
    largest = int(np.bincount(plan.references.model, minlength=plan.n_models).max())
    copies = max(len(group.matrices) for group in plan.symmetries)
    box = plan.grid.box
    samples = largest * copies * box * (box // 2 + 1)
    return {
        "maps": max(
            reconstruction_bytes(plan.map_grid, n_sums=1, n_samples=samples),
            16 * plan.grid.padded**3,
        )
        + plan.n_models * item["map"],
        "classes": class_bytes(plan, n_particles),
        "references": min(n_references, plan.reference_blocks[0].stop) * item["reference"],
        "particles in work": min(plan.chunk, n_particles) * item["particle in work"],
        "particles": n_particles * item["particle"],
        "program": PROGRAM_BYTES,
    }
