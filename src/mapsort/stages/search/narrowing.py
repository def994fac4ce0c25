"""Narrowed search: look for a particle near where it lay before, on every map.

A particle's best reference of each map in the last iteration and the references around it become
candidates, at the particle's last shift; the coarsest level, which costs most, is left out. Some
particles, drawn at random anew each iteration, are searched everywhere all the same.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mapsort.array_types import Bool, Float32, Int32, Integer
from mapsort.geometry.nearest_views import NearestViews
from mapsort.geometry.symmetry import Symmetry
from mapsort.model.matches import Matches
from mapsort.model.references import References

#: References of each map that are tried around the last one; the last one included.
NEIGHBOURS = 24


def neighbours(
    references: References, symmetries: Sequence[Symmetry], count: int = NEIGHBOURS
) -> Int32:
    """Return the references of the same map with the nearest views, (n_references, count).

    Views that symmetry or mirroring makes equal have no distance. Maps with fewer references
    than ``count`` fill up with -1.
    """
    table = np.full((len(references), count), -1, dtype=np.int32)
    views = references.rotations[:, 2]
    for model, group in enumerate(symmetries):
        block = references.block(model)
        own = views[block]
        n_near = min(count, len(own))
        table[block, :n_near] = NearestViews(own, group).several(own, n_near) + block.start
    return table


def lies_near(table: Int32, before: Integer, after: Integer) -> Bool:
    """Return whether references, (n,), are among the neighbours of others, by their table."""
    return np.asarray((table[before] == after[:, None]).any(axis=1))


def near_candidates(
    matches: Matches, references: References, table: Int32
) -> tuple[Int32, Float32]:
    """Return candidates around each particle's last best match with every map.

    Numbers of references, (n, n_models * count), -1 where a map has no match or fewer of them, and
    where those matches had the particle's centre, (n, n_models * count, 2) [pixels].
    """
    listed, origins = [], []
    for model in range(references.n_models):
        best = matches.best_of_model(references, model)
        number = best.reference[:, 0]
        with_map = (number >= 0) & (references.model[number] == model)
        around = np.where(with_map[:, None], table[number], -1)
        listed.append(around)
        origins.append(np.repeat(best.origin[:, :1], around.shape[1], axis=1))
    reference = np.ascontiguousarray(np.concatenate(listed, axis=1), dtype=np.int32)
    return reference, np.ascontiguousarray(np.concatenate(origins, axis=1))


def searched_everywhere(n: int, share: float, *, seed: int, iteration: int) -> Bool:
    """Return which particles are searched everywhere in this iteration, (n,)."""
    return np.random.default_rng([seed, iteration]).random(n) < share
