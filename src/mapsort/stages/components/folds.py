"""Parts of the particles that are judged by maps made without them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mapsort.array_types import Indices, Integer
from mapsort.engines.chunks import chunk_ranges

#: Parts that particles are dealt out to; even, so that they make two half-sets.
N_FOLDS = 6
#: Particles that are worked on together; fixed, so that sums never depend on threads.
CHUNK = 500


@dataclass(frozen=True)
class Folds:
    """Which fold each particle is in."""

    #: From 0, (n,); folds of even and odd numbers make up the half-sets.
    number: Indices

    @property
    def count(self) -> int:
        """Number of folds."""
        return int(self.number.max(initial=-1)) + 1

    def chunks(self) -> list[tuple[int, Indices]]:
        """Return (fold, rows) of particles that are worked on together, in order of folds."""
        pieces = []
        for fold in range(self.count):
            rows = np.flatnonzero(self.number == fold)
            pieces += [(fold, rows[part]) for part in chunk_ranges(len(rows), CHUNK)]
        return pieces


def deal_folds(image: Integer, half: Integer, n_folds: int = N_FOLDS) -> Folds:
    """Deal particles out to folds within their half-sets; copies of an image stay together.

    Parameters
    ----------
    image : ndarray of shape (n,)
        Number of each particle's image (`mapsort.model.half_sets.image_numbers`).
    half : ndarray of shape (n,)
        Half-set of each, 0 or 1, the same for copies.
    n_folds : int
        Even, at least 2.
    """
    number = np.empty(len(image), dtype=np.intp)
    for own in (0, 1):
        rows = np.flatnonzero(half == own)
        _, place = np.unique(image[rows], return_inverse=True)
        number[rows] = 2 * (place % (n_folds // 2)) + own
    return Folds(number)
