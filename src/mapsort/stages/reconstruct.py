"""Reconstruct maps from slices: gridding with CTF weights, symmetry and density compensation.

A slice carries the sums N = sum w C X and D = sum w C^2 of the particles behind it. Both are spread
onto the padded Fourier grid with the kernel K; the map's transform is N / (D + lambda), with lambda
the Wiener term noise/signal in units of D. Dividing grid point by grid point leaves the kernel's
smoothing wherever the sampling is uneven; iterated weights (Pipe & Menon, Magn. Reson. Med. 41
(1999) 179; with the Wiener term as in Scheres, J. Struct. Biol. 180 (2012) 519, eq. 4) remove it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.fft

from mapsort import _core
from mapsort.stages.fourier_grid import Complex64, Float32, FourierGrid, kernel_profile

#: Wiener term that only keeps unmeasured frequencies finite, relative to the shell's mean density.
FLOOR = 1e-3
#: Passes of density compensation; more change the map by less than the interpolation error.
DENSITY_PASSES = 3


@dataclass(frozen=True)
class SliceSums:
    """What a reconstruction is made from: windows of spread slices and weights.

    Sums of two of them over different slices are the sums over all slices.
    """

    grid: FourierGrid
    max_radius: float
    numerator: Complex64
    density: Float32

    @classmethod
    def empty(cls, grid: FourierGrid, max_radius: float) -> SliceSums:
        """Return sums over no slices, for frequencies up to ``max_radius`` Fourier pixels."""
        shape = _core.window_shape(max_radius * grid.scale)
        return cls(
            grid, max_radius, np.zeros(shape, np.complex64), np.zeros(shape, dtype=np.float32)
        )

    def insert(
        self,
        slices: Complex64,
        weights: Float32,
        rotations: npt.NDArray[np.float64],
        symmetry: npt.NDArray[np.float64],
        *,
        ramp: bool = True,
        n_threads: int = 1,
    ) -> None:
        """Add slices (n, box, box//2+1) and weights at rotations (n, 3, 3), all symmetry copies.

        With ``ramp`` each sample counts by its share of 3-D frequency space, which flattens the
        density; without, insertion is the exact adjoint of slicing.
        """
        _core.insert_slices(
            slices,
            weights,
            rotations=np.ascontiguousarray(rotations, dtype=np.float64),
            symmetry=np.ascontiguousarray(symmetry, dtype=np.float64),
            scale=self.grid.scale,
            oversampling=self.grid.scale,
            max_radius=self.max_radius,
            ramp=ramp,
            numerator=self.numerator,
            density=self.density,
            n_threads=n_threads,
        )

    def __add__(self, other: SliceSums) -> SliceSums:
        """Return the sums over both sets of slices."""
        return SliceSums(
            self.grid,
            self.max_radius,
            self.numerator + other.numerator,
            self.density + other.density,
        )


def _radii(padded: int) -> Float32:
    """Return the distance of each point of a half grid from the origin, in grid points."""
    k = np.asarray(scipy.fft.fftfreq(padded, 1.0 / padded), dtype=np.float32)
    x = np.arange(padded // 2 + 1, dtype=np.float32)
    return np.asarray(np.sqrt(k[:, None, None] ** 2 + k[None, :, None] ** 2 + x**2))


def _shell_means(values: Float32, shells: npt.NDArray[np.intp], n_shells: int) -> Float32:
    total = np.bincount(shells.ravel(), values.ravel(), n_shells)[:n_shells]
    count = np.bincount(shells.ravel(), minlength=n_shells)[:n_shells]
    return (total / np.maximum(count, 1)).astype(np.float32)


def adjoint_volume(sums: SliceSums, *, n_threads: int = 1) -> Float32:
    """Return the adjoint of projection applied to the inserted slices: no weights, no division."""
    spectrum = _core.scatter_window(sums.numerator, sums.grid.padded)
    return sums.grid.volume_from_grid(spectrum, n_threads=n_threads) * np.float32(
        sums.grid.padded**3
    )


def _compensate(density: Float32, measured: Float32, grid: FourierGrid, n_threads: int) -> Float32:
    """Return weights W so that (W density) convolved with the kernel is 1 where measured.

    The convolution is a product with the kernel's transform in real space.
    """
    padded = grid.padded
    profile = kernel_profile(padded, padded, grid.box)
    line = scipy.fft.ifftshift(profile / profile[padded // 2]).astype(np.float32)
    weights = np.divide(1.0, density, out=np.zeros_like(density), where=density > 0) * measured
    for _ in range(DENSITY_PASSES):
        real = scipy.fft.irfftn(
            (weights * density).astype(np.complex64), s=(padded,) * 3, workers=n_threads
        )
        real *= line[:, None, None]
        real *= line[None, :, None]
        real *= line[None, None, :]
        smoothed = scipy.fft.rfftn(real, workers=n_threads, overwrite_x=True).real
        # beyond the measured ball the product is zero and must stay so
        weights /= np.maximum(smoothed, 0.1)
        weights *= measured
    return weights


def solve(
    sums: SliceSums,
    *,
    noise_to_signal: npt.NDArray[np.floating] | None = None,
    n_threads: int = 1,
) -> Float32:
    """Return the map (box, box, box) of spread slices.

    Parameters
    ----------
    sums : SliceSums
    noise_to_signal : ndarray of shape (box//2 + 1,), optional
        1/SSNR of the map in each shell: the Wiener term, relative to the shell's mean density.
        Without it frequencies are divided by their density alone (with a floor of 1e-3).
    """
    grid = sums.grid
    n_shells = grid.box // 2 + 1
    density = _core.scatter_density(sums.density, grid.padded)
    spectrum = _core.scatter_window(sums.numerator, grid.padded)
    radii = _radii(grid.padded) / np.float32(grid.scale)
    measured = (radii <= sums.max_radius).astype(np.float32)
    shells = np.rint(radii).astype(np.intp)
    means = _shell_means(density * measured, np.minimum(shells, n_shells), n_shells + 1)
    ratio = np.full(n_shells, FLOOR) if noise_to_signal is None else noise_to_signal
    wiener = means[:n_shells] * np.maximum(ratio, FLOOR)
    edges = np.append(wiener, wiener[-1])
    density += np.interp(radii, np.arange(n_shells + 1), edges).astype(np.float32)
    spectrum *= _compensate(density, measured, grid, n_threads)
    volume = grid.volume_from_grid(spectrum, n_threads=n_threads)
    return volume * np.float32(grid.kernel_line[grid.box // 2] ** 3)
