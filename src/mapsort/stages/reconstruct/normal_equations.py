"""The normal equations of a reconstruction: slices spread once, then the same work for any number.

Central slices are samples of the map's transform, so that taking slices and putting them back, T,
is a convolution within the box. Its point spread function is the transform of the weights of the
slices at their samples, needed at all distances between pixels: up to twice the box (Wajer &
Pruessmann, Proc. ISMRM 9 (2001) 767; Fessler et al., IEEE Trans. Signal Process. 53 (2005) 3393).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.fft

from mapsort.array_types import Float32, Float64, Int32
from mapsort.stages.reconstruct.slice_sums import SliceSums


def adjoint_volume(sums: SliceSums, *, n_threads: int = 1) -> Float32:
    """Return the adjoint of projection applied to the inserted slices: no weights, no division."""
    return sums.grid.volume(sums.numerator, n_threads=n_threads)


@dataclass(frozen=True)
class NormalEquations:
    """T V = b of one set of slices; those of two sets add up."""

    #: b, (box, box, box).
    right: Float32
    #: Transform of T's point spread function, (2 box, 2 box, box + 1): T pads to twice the box,
    #: multiplies, and crops.
    transfer: Float32
    #: Eigenvalues of the circulant matrix nearest to T, (box, box, box//2 + 1).
    circulant: Float32
    #: Highest frequency measured, in Fourier pixels of the box.
    max_radius: float

    @classmethod
    def of(cls, sums: SliceSums, *, n_threads: int = 1) -> NormalEquations:
        """Take spread slices and weights back to real space."""
        spread = sums.grid.point_spread(sums.density, n_threads=n_threads)
        # distances of a whole box to one side do not occur, and have no mate
        spread[-1] = spread[:, 0] = spread[:, :, 0] = 0.0
        folded = _nearest_circulant(spread)
        circulant = np.ascontiguousarray(scipy.fft.rfftn(folded, workers=n_threads).real)
        transfer = _even_transform(spread, n_threads)
        del spread
        return cls(adjoint_volume(sums, n_threads=n_threads), transfer, circulant, sums.max_radius)

    @property
    def box(self) -> int:
        """Edge of the map in pixels."""
        return len(self.right)

    def __add__(self, other: NormalEquations) -> NormalEquations:
        """Return the equations of both sets of slices."""
        return NormalEquations(
            self.right + other.right,
            self.transfer + other.transfer,
            self.circulant + other.circulant,
            self.max_radius,
        )

    def shell_density(self) -> Float64:
        """Return the mean density of the samples in each shell, (box//2 + 1,)."""
        shells = np.rint(frequency_radii(self.box)).astype(np.intp).ravel()
        n_shells = self.box // 2 + 1
        total = np.bincount(shells, self.circulant.ravel())[:n_shells]
        return np.asarray(total / np.bincount(shells)[:n_shells])


def _even_transform(half: Float32, n_threads: int) -> Float32:
    """Return the transform of an even array, which is real, from its planes z >= 0.

    `half` (n + 1, 2 n, 2 n) is about its centre in y and x; the result (2 n, 2 n, n + 1) is that
    of the array about index 0.
    """
    size = half.shape[1]
    planes = scipy.fft.rfft2(half, workers=n_threads)
    # the centre pixel moved to index 0
    planes[:, 1::2] *= np.float32(-1.0)
    planes[:, :, 1::2] *= np.float32(-1.0)
    # planes of opposite z are conjugate
    return np.asarray(scipy.fft.hfft(planes, n=size, axis=0, overwrite_x=True, workers=n_threads))


def _nearest_circulant(half: Float32) -> Float32:
    """Return the kernel of the circulant matrix nearest to the Toeplitz matrix of an even array.

    `half` (n + 1, 2 n, 2 n) holds the planes z >= 0, about the centre in y and x; the result
    (n, n, n) is about index 0. Along each axis c_j = ((n - j) t_j + j t_{j-n}) / n.
    """
    n = len(half) - 1
    share = (1.0 - np.abs(np.arange(2 * n) - n) / n).astype(np.float32)
    weighted = half * share[:, None]
    folded = weighted[:, :n] + weighted[:, n:]
    weighted = folded * share
    folded = weighted[:, :, :n] + weighted[:, :, n:]
    # the planes t_{j-n} are those of n - j, their other axes reversed about index 0
    opposite = np.roll(folded[n:0:-1, ::-1, ::-1], 1, axis=(1, 2))
    j = np.arange(n, dtype=np.float32)[:, None, None] / np.float32(n)
    return np.asarray((1 - j) * folded[:n] + j * opposite, dtype=np.float32)


def on_shells(curve: Float64, size: int, *, points: int = 1) -> Float32:
    """Return a curve of the distance from the origin at the points of a half grid, interpolated.

    ``points`` of the grid lie between one value of the curve and the next. Beyond its end the curve
    keeps its last value. The squares of distances are whole numbers: each is interpolated once.
    """
    squares = _squares(size)
    distance = np.sqrt(np.arange(int(squares[size // 2, size // 2, -1]) + 1)) / points
    values = np.interp(distance, np.arange(len(curve)), curve).astype(np.float32)
    return np.asarray(values[squares])


def frequency_radii(size: int) -> Float32:
    """Return the distance of each point of a half grid from the origin, in grid points."""
    return np.sqrt(_squares(size).astype(np.float32))


def _squares(size: int) -> Int32:
    k = np.rint(scipy.fft.fftfreq(size, 1.0 / size)).astype(np.int32)
    x = np.arange(size // 2 + 1, dtype=np.int32)
    return np.asarray(k[:, None, None] ** 2 + k[None, :, None] ** 2 + x**2)
