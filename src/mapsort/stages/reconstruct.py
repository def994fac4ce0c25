"""Reconstruct maps from slices: least squares with CTF weights and symmetry.

The map V that explains the slices y_i best minimises sum_i |y_i - C_i P_i V|^2 / sigma^2 + |V|^2 /
tau^2, with P_i central slices and C_i transfer functions. Its normal equations are T V = b: b are
the slices' sums N = sum w C X, taken back to real space, and T is a convolution within the box, for
central slices are samples of V's transform. The point spread function of T is the transform of the
weights D = sum w C^2 at the same samples, needed at all distances between pixels of the box: up to
twice its size. Applied by the FFT, a step of conjugate gradients costs the same for any number of
slices (Wajer & Pruessmann, Proc. ISMRM 9 (2001) 767; Fessler et al., IEEE Trans. Signal Process. 53
(2005) 3393). A few steps, preconditioned with the circulant matrix nearest to T (T. F. Chan, SIAM
J. Sci. Stat. Comput. 9 (1988) 766), replace density compensation, and are exact where dividing N by
D grid point by grid point is biased: near the origin, and wherever C^2 varies within the kernel.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.fft

from mapsort import _core
from mapsort.stages.fourier_grid import Complex64, Float32, FourierGrid

#: Wiener term that only keeps unmeasured frequencies finite, relative to the shell's mean density.
FLOOR = 1e-3
#: Steps of conjugate gradients end when the residual has fallen to this share of the right side:
#: strict enough for shells that hold a thousandth of the strongest ones' amplitude.
TOLERANCE = 1e-4
MAX_STEPS = 20


@dataclass(frozen=True)
class SliceSums:
    """What a reconstruction is made from: windows of spread slices and weights.

    Sums of two of them over different slices are the sums over all slices.

    Attributes
    ----------
    grid : FourierGrid
        Padded grid of the slices' window.
    max_radius : float
        Highest frequency inserted, in Fourier pixels of the box.
    numerator, density : ndarray
        Windows of N, and of D on the finer grid of `density_grid`.
    """

    grid: FourierGrid
    max_radius: float
    numerator: Complex64
    density: Float32

    @classmethod
    def empty(cls, grid: FourierGrid, max_radius: float) -> SliceSums:
        """Return sums over no slices, for frequencies up to ``max_radius`` Fourier pixels."""
        fine = density_grid(grid.box)
        shape = _core.window_shape(max_radius * grid.scale)
        fine_shape = _core.window_shape(max_radius * fine.padded / grid.box)
        return cls(
            grid, max_radius, np.zeros(shape, np.complex64), np.zeros(fine_shape, np.float32)
        )

    def insert(
        self,
        slices: Complex64,
        weights: Float32,
        rotations: npt.NDArray[np.float64],
        symmetry: npt.NDArray[np.float64],
        *,
        n_threads: int = 1,
    ) -> None:
        """Add slices (n, box, box//2+1) and weights at rotations (n, 3, 3), all symmetry copies."""
        turns = np.ascontiguousarray(rotations, dtype=np.float64)
        copies = np.ascontiguousarray(symmetry, dtype=np.float64)
        _core.insert_slices(
            slices,
            self.numerator,
            rotations=turns,
            symmetry=copies,
            scale=self.grid.scale,
            oversampling=self.grid.scale,
            max_radius=self.max_radius,
            n_threads=n_threads,
        )
        fine = density_grid(self.grid.box)
        _core.insert_weights(
            weights,
            self.density,
            rotations=turns,
            symmetry=copies,
            scale=fine.padded / self.grid.box,
            oversampling=fine.scale,
            max_radius=self.max_radius,
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


def density_grid(box: int) -> FourierGrid:
    """Return the grid of the weights: 1.25 x the extent of the point spread function, 2 x box."""
    wanted = int(np.ceil(2.5 * box))
    return FourierGrid(2 * box, 2 * scipy.fft.next_fast_len((wanted + 1) // 2, real=True))


def adjoint_volume(sums: SliceSums, *, n_threads: int = 1) -> Float32:
    """Return the adjoint of projection applied to the inserted slices: no weights, no division."""
    return sums.grid.volume_from_window(sums.numerator, n_threads=n_threads)


@dataclass(frozen=True)
class NormalEquations:
    """T V = b of one set of slices; those of two sets add up.

    Attributes
    ----------
    right : ndarray of shape (box, box, box)
        b.
    transfer : ndarray of shape (2 box, 2 box, box + 1)
        Transform of T's point spread function: T pads to twice the box, multiplies, and crops.
    circulant : ndarray of shape (box, box, box//2 + 1)
        Eigenvalues of the circulant matrix nearest to T.
    max_radius : float
        Highest frequency measured, in Fourier pixels of the box.
    """

    right: Float32
    transfer: Float32
    circulant: Float32
    max_radius: float

    @classmethod
    def of(cls, sums: SliceSums, *, n_threads: int = 1) -> NormalEquations:
        """Take spread slices and weights back to real space."""
        spread = density_grid(sums.grid.box).volume_from_window(sums.density, n_threads=n_threads)
        # distances of a whole box to one side do not occur, and have no mate
        for axis in range(3):
            np.moveaxis(spread, axis, 0)[0] = 0.0
        folded = _nearest_circulant(spread)
        return cls(
            adjoint_volume(sums, n_threads=n_threads),
            _even_transform(scipy.fft.ifftshift(spread), n_threads),
            _even_transform(folded, n_threads),
            sums.max_radius,
        )

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

    def shell_density(self) -> npt.NDArray[np.float64]:
        """Return the mean density of the samples in each shell, (box//2 + 1,)."""
        shells = np.rint(_radii(self.box)).astype(np.intp).ravel()
        n_shells = self.box // 2 + 1
        total = np.bincount(shells, self.circulant.ravel())[:n_shells]
        return np.asarray(total / np.bincount(shells)[:n_shells])


def _even_transform(even: Float32, n_threads: int) -> Float32:
    """Return the transform of an even array about index 0: it is real."""
    return np.ascontiguousarray(scipy.fft.rfftn(even, workers=n_threads).real)


def _nearest_circulant(spread: Float32) -> Float32:
    """Return the kernel of the circulant matrix nearest to the Toeplitz matrix of `spread`.

    `spread` (2 n, 2 n, 2 n) is about its centre, the result (n, n, n) about index 0. Along each
    axis c_j = ((n - j) t_j + j t_{j-n}) / n.
    """
    n = len(spread) // 2
    share = (1.0 - np.abs(np.arange(2 * n) - n) / n).astype(np.float32)
    folded = spread
    for _ in range(3):
        weighted = folded * share[:, None, None]
        folded = np.moveaxis(weighted[:n] + weighted[n:], 0, 2)
    return np.asarray(folded, dtype=np.float32)


def _radii(size: int) -> Float32:
    """Return the distance of each point of a half grid from the origin, in grid points."""
    k = np.asarray(scipy.fft.fftfreq(size, 1.0 / size), dtype=np.float32)
    x = np.arange(size // 2 + 1, dtype=np.float32)
    return np.asarray(np.sqrt(k[:, None, None] ** 2 + k[None, :, None] ** 2 + x**2))


def solve(
    equations: NormalEquations,
    *,
    noise_to_signal: npt.NDArray[np.floating] | None = None,
    start: Float32 | None = None,
    tolerance: float = TOLERANCE,
    n_threads: int = 1,
) -> Float32:
    """Return the map (box, box, box) of spread slices.

    Parameters
    ----------
    equations : NormalEquations
    noise_to_signal : ndarray of shape (box//2 + 1,), optional
        1/SSNR of the map in each shell: the Wiener term, relative to the shell's mean density.
        Without it frequencies are divided by their density alone (with a floor of 1e-3).
    start : ndarray of shape (box, box, box), optional
        A map near the solution.
    tolerance : float
        Residual at which to stop, relative to the right side (both in the preconditioner's norm).

    Returns
    -------
    ndarray of shape (box, box, box), float32
    """
    box = equations.box
    if not np.any(equations.circulant):
        return np.zeros((box,) * 3, dtype=np.float32)
    term = wiener_term(equations, noise_to_signal)
    whole = equations.transfer + _on_shells(term, _radii(2 * box) / np.float32(2.0))
    nearest = np.maximum(equations.circulant, 0.0) + _on_shells(term, _radii(box))

    def apply(volume: Float32) -> Float32:
        # padded by the transform itself, cropped line by line
        spectrum = scipy.fft.rfftn(volume, s=(2 * box,) * 3, workers=n_threads)
        spectrum *= whole
        turned = scipy.fft.ifft2(spectrum, axes=(0, 1), overwrite_x=True, workers=n_threads)
        lines = scipy.fft.irfft(turned[:box, :box], n=2 * box, axis=2, workers=n_threads)
        return _about_the_centre(lines[:, :, :box])

    def precondition(volume: Float32) -> Float32:
        spectrum = scipy.fft.rfftn(volume, workers=n_threads)
        spectrum /= nearest
        inverse = scipy.fft.irfftn(spectrum, s=(box,) * 3, overwrite_x=True, workers=n_threads)
        return _about_the_centre(inverse)

    right = _about_the_centre(equations.right)
    first = precondition(right)
    enough = tolerance**2 * _dot(right, first)
    volume = first.copy() if start is None else _about_the_centre(start)
    residual = right - apply(volume)
    improved = precondition(residual)
    direction = improved.copy()
    error = _dot(residual, improved)
    for _ in range(MAX_STEPS):
        if not error > enough:
            break
        image = apply(direction)
        length = np.float32(error / _dot(direction, image))
        volume += length * direction
        residual -= length * image
        improved = precondition(residual)
        previous, error = error, _dot(residual, improved)
        direction = improved + np.float32(error / previous) * direction
    return volume


def _about_the_centre(volume: npt.NDArray[np.floating]) -> Float32:
    """Return a copy without the planes of an even box that have no mate beyond the centre.

    Density there could not have the symmetry of the slices.
    """
    kept = np.array(volume, dtype=np.float32)
    if len(kept) % 2 == 0:
        for axis in range(3):
            np.moveaxis(kept, axis, 0)[0] = 0.0
    return kept


def _dot(a: Float32, b: Float32) -> float:
    """Return the inner product, summed in double precision."""
    return float(np.einsum("zyx,zyx->", a, b, dtype=np.float64))


def wiener_term(
    equations: NormalEquations, noise_to_signal: npt.NDArray[np.floating] | None
) -> npt.NDArray[np.float64]:
    """Return what `solve` adds to the density in each shell, and in one more for all beyond.

    There nothing is measured, and the map is damped to zero. (box//2 + 2,), on the scale of
    `NormalEquations.circulant`.
    """
    density = np.maximum(equations.shell_density(), 0.0)
    ratio = np.full(len(density), FLOOR) if noise_to_signal is None else noise_to_signal
    # near the origin of frequency space the density falls as 1/k; beyond what is measured it is 0
    measured = density[: int(equations.max_radius) + 1]
    term = np.maximum(density, 1e-3 * measured.max()) * np.maximum(ratio, FLOOR)
    return np.append(term, max(float(measured[-1]), float(term[-1])))


def _on_shells(term: npt.NDArray[np.float64], radii: Float32) -> Float32:
    """Return a radial curve at the points of a grid."""
    return np.interp(radii, np.arange(len(term)), term).astype(np.float32)
