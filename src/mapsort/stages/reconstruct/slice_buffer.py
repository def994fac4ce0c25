"""Gather slices until there are enough of them to be inserted at a good speed.

Insertion passes over the whole window once for each call, so that few slices at a time cost nearly
as much as many.
"""

from __future__ import annotations

import numpy as np

from mapsort.array_types import Complex64, Float32, Float64, Indices
from mapsort.geometry.symmetry import Symmetry
from mapsort.stages.reconstruct.slice_sums import SliceSums, insert_copies

#: Memory of the slices and weights gathered.
BUFFER_BYTES = 1 << 27


class SliceBuffer:
    """Slices on their way into sums.

    Parameters
    ----------
    sums : SliceSums
        Changed in place, whenever the buffer is full and at `flush`.
    apix : float
        Pixel size [A]; helices only.
    """

    def __init__(self, sums: SliceSums, group: Symmetry, *, apix: float, n_threads: int = 1):
        self._sums, self._group, self._apix, self._n_threads = sums, group, apix, n_threads
        box = sums.grid.box
        half = (box, box // 2 + 1)
        capacity = max(1, BUFFER_BYTES // (12 * half[0] * half[1]))
        self._slices = np.empty((capacity, *half), np.complex64)
        self._weights = np.empty((capacity, *half), np.float32)
        self._rotations = np.empty((capacity, 3, 3))
        self._filled = 0

    def add(
        self, slices: Complex64, weights: Float32, rotations: Float64, members: Indices
    ) -> None:
        """Take some of the slices and weights (n, box, box//2+1) at rotations (n, 3, 3).

        `members` are their numbers, (m,).
        """
        while len(members):
            n = min(len(members), len(self._slices) - self._filled)
            here, there = slice(self._filled, self._filled + n), members[:n]
            # with a mode of its own np.take writes straight to where it is told to
            np.take(slices, there, axis=0, out=self._slices[here], mode="clip")
            np.take(weights, there, axis=0, out=self._weights[here], mode="clip")
            self._rotations[here] = rotations[there]
            self._filled += n
            members = members[n:]
            if self._filled == len(self._slices):
                self.flush()

    def flush(self) -> None:
        """Insert what has been gathered."""
        here = slice(0, self._filled)
        insert_copies(
            self._sums,
            self._slices[here],
            self._weights[here],
            self._rotations[here],
            self._group,
            apix=self._apix,
            n_threads=self._n_threads,
        )
        self._filled = 0
