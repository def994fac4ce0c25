"""Sums over slices, from which maps are reconstructed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mapsort import _core
from mapsort.array_types import Complex64, Float32, Float64
from mapsort.geometry.symmetry import Symmetry
from mapsort.stages.fourier_grid import shift_images
from mapsort.stages.reconstruct.insertion_grid import InsertionGrid

#: Numbers of a window's element: real and imaginary part of a slice's sum, and the weights' sum.
_PARTS = 3


@dataclass(frozen=True)
class SliceSums:
    """What a reconstruction is made from: slices and their weights, spread into one window.

    Sums of two of them over different slices are the sums over all slices.
    """

    grid: InsertionGrid
    #: Highest frequency inserted, in Fourier pixels of the box.
    max_radius: float
    #: (.., .., .., 3).
    window: Float32

    @classmethod
    def empty(cls, grid: InsertionGrid, max_radius: float) -> SliceSums:
        """Return sums over no slices, for frequencies up to ``max_radius`` Fourier pixels."""
        shape = (*grid.window_shape(max_radius), _PARTS)
        return cls(grid, max_radius, np.zeros(shape, np.float32))

    @property
    def numerator(self) -> Complex64:
        """Window of the slices."""
        values: Complex64 = self.window[..., :2].view(np.complex64)[..., 0]
        return values

    @property
    def density(self) -> Float32:
        """Window of the weights."""
        return self.window[..., 2]

    def insert(
        self,
        slices: Complex64,
        weights: Float32,
        rotations: Float64,
        symmetry: Float64,
        *,
        n_threads: int = 1,
    ) -> None:
        """Add slices (n, box, box//2+1) and weights at rotations (n, 3, 3), all symmetry copies."""
        _core.insert_slices(
            slices,
            weights,
            self.window,
            rotations=np.ascontiguousarray(rotations, dtype=np.float64),
            symmetry=np.ascontiguousarray(symmetry, dtype=np.float64),
            scale=self.grid.scale,
            max_radius=self.max_radius,
            n_threads=n_threads,
        )

    def __add__(self, other: SliceSums) -> SliceSums:
        """Return the sums over both sets of slices."""
        return SliceSums(self.grid, self.max_radius, self.window + other.window)


def sums_bytes(grid: InsertionGrid) -> int:
    """Return the memory of sums up to half the sampling frequency."""
    return 4 * _PARTS * int(np.prod(grid.window_shape(0.5 * grid.box)))


#: Samples that are sorted at a time, at most.
_MOST_SORTED = 1 << 24


def sorting_bytes(n_samples: int | None = None) -> int:
    """Return the memory of the samples that are sorted at a time, and of their order."""
    n_sorted = _MOST_SORTED if n_samples is None else min(n_samples, _MOST_SORTED)
    return 28 * n_sorted


def insert_copies(
    sums: SliceSums,
    slices: Complex64,
    weights: Float32,
    rotations: Float64,
    group: Symmetry,
    *,
    apix: float,
    n_threads: int = 1,
) -> None:
    """Add slices (n, box, box//2+1) at rotations (n, 3, 3), all copies of a symmetry, to sums.

    From V(S x + t) = V(x) the slice at rotation R S is that at R times exp(2 pi i k . (R t)_xy): an
    image moved by -(R t)_xy; that, and the pixel size [A], are for helices only.
    """
    if not group.helical:
        sums.insert(slices, weights, rotations, group.matrices, n_threads=n_threads)
        return
    for matrix, shift_ang in zip(group.matrices, group.shifts_ang, strict=True):
        moved = -(rotations @ (shift_ang / apix))[:, :2]
        copies = slices.copy()
        shift_images(copies, moved)
        sums.insert(copies, weights, rotations, matrix[None], n_threads=n_threads)
