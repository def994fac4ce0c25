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
import scipy.fft

from mapsort.array_types import Float32, Float64, Real
from mapsort.physics.filters import apply_radial_curve
from mapsort.physics.reconstruction import MAX_STEPS
from mapsort.stages.reconstruct.insertion_grid import InsertionGrid
from mapsort.stages.reconstruct.normal_equations import (
    NormalEquations,
    frequency_radii,
    on_shells,
)
from mapsort.stages.reconstruct.slice_sums import sorting_bytes, sums_bytes

#: Wiener term that only keeps unmeasured frequencies finite, relative to the shell's mean density.
FLOOR = 1e-3
#: Without knowledge of the noise, gaps between slices are filled up to this share of their shell's
#: mean density: what few slices say of them is mostly noise.
GAP = 0.3
#: Largest 1/SSNR that takes part in the solution: it stands for shells whose half maps agree by a
#: twentieth. Shells with more noise are damped by the rest afterwards. A term that jumps by many
#: orders of magnitude from one shell to the next is beyond a circulant preconditioner.
SOLVED_NOISE = 10.0
#: Steps of conjugate gradients end when the residual has fallen to this share of the right side:
#: strict enough for shells that hold a thousandth of the strongest ones' amplitude.
TOLERANCE = 1e-4
#: The same where the noise in each shell is known: further steps fit noise.
NOISY_TOLERANCE = 1e-3


def reconstruction_bytes(
    grid: InsertionGrid, *, n_sums: int = 1, n_samples: int | None = None
) -> int:
    """Return the highest memory of a reconstruction with ``n_sums`` accumulators, without slices.

    With N = box^3 voxels an accumulator takes 6 s^3 N bytes (triples in single precision on a half
    grid of s times the box). While it becomes equations the transform of the density's window and
    its result come on top, 16 N and 16 N, or the result and two copies, 48 N; later the equations
    of both halves and of the whole, 22 N each, with 72 N for the solver. At 512 px (s = 2.2) that
    is 14.8 GiB for one map and 23.1 GiB with two halves in one pass. Insertion sorts samples in
    at most 0.5 GiB.
    """
    # an accumulator is larger than equations, and these with the solver need less than turning does
    return n_sums * sums_bytes(grid) + 48 * grid.box**3 + sorting_bytes(n_samples)


def solve(
    equations: NormalEquations,
    *,
    noise_to_signal: Real | None = None,
    wiener: float = 0.0,
    start: Float32 | None = None,
    tolerance: float | None = None,
    max_steps: int = MAX_STEPS,
    n_threads: int = 1,
) -> Float32:
    """Return the map (box, box, box) of spread slices.

    Parameters
    ----------
    noise_to_signal : ndarray of shape (box//2 + 1,), optional
        1/SSNR of the map in each shell: the Wiener term, relative to the shell's mean density.
        Without it frequencies are divided by their density alone, with a floor of 1e-3, and of
        0.3 of the shell's mean density in gaps between slices.
    wiener : float
        Added to the density everywhere, in units of the slices' weights.
    start : ndarray of shape (box, box, box), optional
        A map near the solution.
    tolerance : float, optional
        Residual at which to stop, relative to the right side (both in the preconditioner's norm).
        Default `TOLERANCE`, with ``noise_to_signal`` `NOISY_TOLERANCE`.
    max_steps : int
        Few of them leave the finest shells, and those that slices hardly cover, too weak.

    Returns
    -------
    ndarray of shape (box, box, box), float32
    """
    box = equations.box
    if not np.any(equations.circulant):
        return np.zeros((box,) * 3, dtype=np.float32)
    solved = None if noise_to_signal is None else np.minimum(noise_to_signal, SOLVED_NOISE)
    term = wiener_term(equations, solved, wiener)
    right = _about_the_centre(equations.right)
    system = _System.of(equations, term, n_threads)
    if noise_to_signal is None:
        system.fill(_gaps(equations))
    first = system.precondition(right)
    if tolerance is None:
        tolerance = TOLERANCE if noise_to_signal is None else NOISY_TOLERANCE
    enough = tolerance**2 * _dot(right, first)
    volume = first if start is None else _about_the_centre(start)
    if not max_steps:
        return volume
    residual = right - system.apply(volume)
    improved = system.precondition(residual)
    direction = improved.copy()
    error = _dot(residual, improved)
    for _ in range(max_steps):
        if not error > enough:
            break
        image = system.apply(direction)
        length = np.float32(error / _dot(direction, image))
        volume += length * direction
        residual -= length * image
        improved = system.precondition(residual)
        previous, error = error, _dot(residual, improved)
        direction *= np.float32(error / previous)
        direction += improved
    return volume if noise_to_signal is None else _rest_of_noise(volume, noise_to_signal)


def _rest_of_noise(volume: Float32, noise_to_signal: Real) -> Float32:
    """Damp shells by what their noise exceeds `SOLVED_NOISE`."""
    solved = np.minimum(noise_to_signal, SOLVED_NOISE)
    if np.array_equal(solved, noise_to_signal):
        return volume
    return apply_radial_curve(volume, (1.0 + solved) / (1.0 + noise_to_signal))


def estimate(equations: NormalEquations, right: Float32, *, n_threads: int = 1) -> Float32:
    """Return the map (box, box, box) of a right side, up to its scale, without a single step.

    The solution with the circulant matrix in T's place: density compensation at every frequency,
    but not between frequencies. Good enough for the signal-to-noise ratio of each shell.
    """
    nearest = _with_term(equations, wiener_term(equations, None))
    return _without_convolution(nearest, _about_the_centre(right), n_threads)


def _gaps(equations: NormalEquations) -> Float32:
    """Return what the density lacks to `GAP` of its shell's mean, at each frequency measured."""
    radii = frequency_radii(equations.box)
    mean = equations.shell_density()
    wanted = on_shells(GAP * np.append(mean, mean[-1]), equations.box)
    gaps = np.maximum(wanted - np.maximum(equations.circulant, 0.0), 0.0)
    gaps[radii > equations.max_radius] = 0.0
    return np.asarray(gaps, dtype=np.float32)


def _between_points(grid: Float32, n: int, axis: int) -> Float32:
    """Return values of a half grid of n points along one axis of a grid twice as fine."""
    # of the last axis only the frequencies up to n are there
    fine = np.arange(n + 1) if axis == 2 else np.rint(scipy.fft.fftfreq(2 * n, 0.5 / n))
    below, above = np.floor(fine / 2).astype(np.intp), np.ceil(fine / 2).astype(np.intp)
    if axis == 2:
        above = np.minimum(above, n // 2)
    else:
        below, above = below % n, above % n
    return np.asarray(0.5 * (np.take(grid, below, axis) + np.take(grid, above, axis)))


#: Columns of a padded spectrum that are transformed at a time: about this many elements.
_COLUMN_ELEMENTS = 1 << 21


@dataclass(frozen=True)
class _System:
    """T with its Wiener term, and the circulant matrix that preconditions it."""

    transfer: Float32
    nearest: Float32
    n_threads: int

    @classmethod
    def of(cls, equations: NormalEquations, term: Float64, n_threads: int) -> _System:
        box = equations.box
        whole = on_shells(term, 2 * box, points=2)
        whole += equations.transfer
        return cls(whole, _with_term(equations, term), n_threads)

    def fill(self, gaps: Float32) -> None:
        """Add density (box, box, box//2 + 1) where it is missing, in place."""
        np.add(self.nearest, gaps, out=self.nearest)
        box = len(gaps)
        for axis in range(3):
            gaps = _between_points(gaps, box, axis)
        np.add(self.transfer, gaps, out=self.transfer)

    def apply(self, volume: Float32) -> Float32:
        """Return T volume: padded and cropped axis by axis, and x frequencies block by block."""
        box, padded, workers = len(volume), 2 * len(volume), self.n_threads
        lines = scipy.fft.rfft(volume, n=padded, axis=2, workers=workers)
        width = max(1, _COLUMN_ELEMENTS // padded**2)
        for first in range(0, box + 1, width):
            part = slice(first, first + width)
            block = scipy.fft.fft(lines[:, :, part], n=padded, axis=1, workers=workers)
            block = scipy.fft.fft(block, n=padded, axis=0, workers=workers)
            block *= self.transfer[:, :, part]
            block = scipy.fft.ifft(block, axis=0, overwrite_x=True, workers=workers)[:box]
            block = scipy.fft.ifft(block, axis=1, workers=workers)
            lines[:, :, part] = block[:, :box]
        image = scipy.fft.irfft(lines, n=padded, axis=2, overwrite_x=True, workers=workers)
        return _about_the_centre(image[:, :, :box])

    def precondition(self, volume: Float32) -> Float32:
        """Return the circulant matrix's solution for a right side."""
        return _without_convolution(self.nearest, volume, self.n_threads)


def _with_term(equations: NormalEquations, term: Float64) -> Float32:
    """Return the circulant matrix's eigenvalues with a Wiener term, all above zero."""
    return np.asarray(np.maximum(equations.circulant, 0.0) + on_shells(term, equations.box))


def _without_convolution(eigenvalues: Float32, volume: Float32, n_threads: int) -> Float32:
    """Return the solution of a circulant matrix of these eigenvalues for a right side."""
    spectrum = scipy.fft.rfftn(volume, workers=n_threads)
    spectrum /= eigenvalues
    inverse = scipy.fft.irfftn(spectrum, s=volume.shape, overwrite_x=True, workers=n_threads)
    return _about_the_centre(inverse)


def _about_the_centre(volume: Real) -> Float32:
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
    equations: NormalEquations, noise_to_signal: Real | None, wiener: float = 0.0
) -> Float64:
    """Return what `solve` adds to the density in each shell, and in one more for all beyond.

    There nothing is measured, and the map is damped to zero. (box//2 + 2,), on the scale of
    `NormalEquations.circulant`.
    """
    density = np.maximum(equations.shell_density(), 0.0)
    ratio = np.full(len(density), FLOOR) if noise_to_signal is None else noise_to_signal
    # near the origin of frequency space the density falls as 1/k; beyond what is measured it is 0
    measured = density[: int(equations.max_radius) + 1]
    term = np.maximum(density, 1e-3 * measured.max()) * np.maximum(ratio, FLOOR)
    # a slice of weight 1 has in each pixel of the box's transform the density box^3
    term += wiener * float(equations.box) ** 3
    beyond = max(float(measured[-1]), float(term[len(measured) - 1]))
    term[np.arange(len(term)) > equations.max_radius + 1] = beyond
    return np.append(term, beyond)
