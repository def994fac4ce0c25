"""Nearest views: directions that lie closest, where symmetry and mirroring make views equal.

V(S x) = V(x), and a view from behind is the mirror image: every view stands for its mates under the
group and for their opposites. All of them are put into one tree, whose size and time grow with
their number only, not with its square.
"""

from __future__ import annotations

import numpy as np
import scipy  # its parts are loaded when they are used

from mapsort.array_types import Bool, Float64, Indices
from mapsort.geometry.symmetry import Symmetry

#: Views that are looked up at a time: bounds the memory that their answers take.
VIEWS_AT_ONCE = 4096
#: Distances that differ by less are equal: mates are rounded differently.
_EQUAL = 1e-9
#: Views that lie nearer than this are the same; no grid is so fine.
_SAME_VIEW = 1e-5


class NearestViews:
    """Finds, among some views of a map, those nearest to others.

    Parameters
    ----------
    views : ndarray of shape (n, 3), float64
        Directions, unit vectors: third rows of the rotations.
    group : Symmetry
        Of the map.
    """

    def __init__(self, views: Float64, group: Symmetry) -> None:
        self._n = len(views)
        self._n_operators = len(group.matrices)
        # v S . w = v . (S w)
        mates = np.concatenate([views @ operator.T for operator in group.matrices])
        self._tree = scipy.spatial.cKDTree(np.concatenate([mates, -mates]))

    def nearest(self, views: Float64) -> tuple[Indices, Indices]:
        """Return the nearest view v of each, and the operator S that takes v near it, (m,)."""
        point = np.asarray(self._tree.query(views)[1], dtype=np.intp)
        mate = point % (self._n * self._n_operators)
        return mate % self._n, mate // self._n

    def equal(self, views: Float64) -> list[set[int]]:
        """Return the numbers of the views v that each is equal to."""
        found = scipy.spatial.cKDTree(views).query_ball_tree(self._tree, _SAME_VIEW)
        return [{point % self._n for point in points} for points in found]

    def several(self, views: Float64, count: int) -> Indices:
        """Return the ``count`` different views nearest to each, nearest first, (m, count)."""
        found = np.empty((len(views), count), dtype=np.intp)
        for first in range(0, len(views), VIEWS_AT_ONCE):
            block = slice(first, first + VIEWS_AT_ONCE)
            found[block] = self._several(views[block], count)
        return found

    def _several(self, views: Float64, count: int) -> Indices:
        found = np.empty((len(views), count), dtype=np.intp)
        left = np.arange(len(views))
        # Near an axis several mates of one view are among the nearest: then more are asked for.
        asked = 2 * count
        while len(left):
            asked = min(asked, self._tree.n)
            distance, point = self._tree.query(views[left], k=np.arange(1, asked + 1))
            owner = np.asarray(point, dtype=np.intp) % self._n
            # Of equal distances the first view comes first.
            step = np.round(np.asarray(distance) / _EQUAL)
            owner = np.take_along_axis(owner, np.lexsort((owner, step)), axis=1)
            new = _first_occurrences(owner)
            chosen = new & (np.cumsum(new, axis=1) <= count)
            full = chosen.sum(axis=1) == count
            found[left[full]] = owner[full][chosen[full]].reshape(-1, count)
            left = left[~full]
            asked *= 2
        return found


def one_of_mates(views: Float64, group: Symmetry) -> Bool:
    """Return which views (n, 3) are no mate, and no mate's opposite, of one before them, (n,)."""
    equal = NearestViews(views, group).equal(views)
    return np.array([min(found) == number for number, found in enumerate(equal)])


def _first_occurrences(numbers: Indices) -> Bool:
    """Return where a number stands for the first time in its row."""
    order = np.argsort(numbers, axis=1, kind="stable")
    ordered = np.take_along_axis(numbers, order, axis=1)
    new = np.ones_like(ordered, dtype=bool)
    new[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    first = np.empty_like(new)
    np.put_along_axis(first, order, new, axis=1)
    return first
