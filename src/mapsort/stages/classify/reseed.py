"""Give a nearly empty class a new start: the particles that the others explain worst."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.spatial import cKDTree

from mapsort.array_types import Int32, Int64
from mapsort.model.matches import Matches
from mapsort.model.references import References

#: A class with less than this fraction of an equal share is nearly empty.
NEARLY_EMPTY_SHARE = 0.04
#: Fraction of the donor's particles that a nearly empty class receives.
DONATED = 0.25


def nearly_empty(matches: Matches, references: References) -> list[int]:
    """Return the maps that (nearly) no particle matches best."""
    model = references.model[matches.reference[:, 0]]
    count = np.bincount(model, minlength=references.n_models)
    equal = len(matches) / references.n_models
    return [int(m) for m in np.flatnonzero(count < NEARLY_EMPTY_SHARE * equal)]


def reseeded(matches: Matches, references: References, empty: list[int]) -> Matches:
    """Return matches in which each nearly empty class takes over the worst explained particles.

    The map with most particles gives its worst-scoring quarter, with their poses: each goes to the
    projection of that class's map in the direction nearest to that of its match.
    """
    chosen = matches.reference.copy()
    for model in empty:
        owner = references.model[chosen[:, 0]]
        donor = int(np.bincount(owner, minlength=references.n_models).argmax())
        members = np.flatnonzero(owner == donor)
        worst = members[np.argsort(matches.score[members, 0], kind="stable")]
        worst = worst[: max(1, int(DONATED * len(worst)))]
        chosen[worst, 0] = _nearest(references, chosen[worst, 0], model)
    return replace(matches, reference=chosen)


def shuffled(
    matches: Matches, references: References, rng: np.random.Generator, image: Int64
) -> Matches:
    """Return matches in which each image goes to a map drawn at random, poses kept.

    ``image`` (n,) is the number of each particle's image: copies of one go to the same map.
    """
    chosen = matches.reference.copy()
    model = rng.integers(0, references.n_models, int(image.max(initial=-1)) + 1)[image]
    for m in range(references.n_models):
        rows = np.flatnonzero((model == m) & (references.model[chosen[:, 0]] != m))
        chosen[rows, 0] = _nearest(references, chosen[rows, 0], m)
    return replace(matches, reference=chosen)


def _nearest(references: References, numbers: Int32, model: int) -> Int32:
    """Return the reference of a map whose rotation is nearest to each of these references'."""
    block = references.block(model)
    # the trace of R S^T is the sum of products of their elements, 1 + 2 cos(angle between them):
    # what lies nearest as nine numbers is turned least
    tree = cKDTree(references.rotations[block].reshape(-1, 9))
    nearest = tree.query(references.rotations[numbers].reshape(-1, 9))[1]
    return np.asarray(np.asarray(nearest) + block.start, dtype=np.int32)
