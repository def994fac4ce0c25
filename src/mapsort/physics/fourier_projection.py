r"""Fourier projection of maps as plan and execute: slices of an oversampled transform.

A map's slice at frequency k is read from its transform on a grid ``oversampling`` times finer than
the box's, with a Kaiser-Bessel kernel of ``width`` grid points (Jackson et al., IEEE Trans. Med.
Imaging 10 (1991) 473; shape parameter: Beatty et al., IEEE Trans. Med. Imaging 24 (2005) 799). What
is wrong then is aliasing: copies of the map, a padded box away, weighted by the kernel's transform
there. For white noise that fills the box the relative l2 error of the slices is

.. math::
    E(W, s) = \sqrt{3 \int_{-1/2}^{1/2} \sum_{m \ne 0}
              \left( \hat\phi(u / s + m) / \hat\phi(u / s) \right)^2 du}

with W the width, s the oversampling and u the position along an axis in boxes; a map that stays
away from the box's faces does better. In float32 arithmetic some 2e-7 is added. The formula,
confirmed by the tests against sums without interpolation:

===== ======== ======== ======== ========
width s = 1.25 s = 1.5  s = 1.75 s = 2
===== ======== ======== ======== ========
4     7.9e-3   2.5e-3   1.2e-3   7.3e-4
5     1.9e-3   3.7e-4   1.4e-4   7.6e-5
6     4.4e-4   5.9e-5   1.8e-5   8.0e-6
7     1.1e-4   9.4e-6   2.2e-6   8.5e-7
8     2.6e-5   1.5e-6   2.9e-7   9.1e-8
===== ======== ======== ======== ========
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import scipy.fft

from mapsort import _core
from mapsort.array_types import Complex64, Float32, Float64, Real
from mapsort.errors import ConfigError

_Scalar = TypeVar("_Scalar", np.float32, np.complex64)

#: Relative error of slices where nothing else is asked for; far below any image's noise.
DEFAULT_TOLERANCE = 1e-3
#: Smallest tolerance that float32 can keep.
SMALLEST_TOLERANCE = 1e-6
#: Rounding of a float32 transform and sum, relative to the result.
ROUNDING = 2e-7
#: Oversampling that is chosen from.
OVERSAMPLINGS = (1.25, 1.5, 1.75, 2.0)
#: Nanoseconds for one point with a kernel of each width, and for a voxel of the padded transform,
#: on one core (benchmarks/bench_projection.py). Only the choice between equally exact plans depends
#: on them.
READ_NS = {4: 20.0, 5: 33.0, 6: 45.0, 7: 55.0, 8: 65.0}
TRANSFORM_NS = 5.0
#: The choice is for about so many slices.
_TYPICAL_SLICES = 1000


@dataclass(frozen=True)
class Interpolation:
    """How a transform is read between its grid points."""

    #: Grid points that the kernel covers along each axis.
    width: int
    #: Edge of the padded map [pixels], even.
    padded: int


@lru_cache(maxsize=64)
def interpolation_error(width: int, oversampling: float) -> float:
    """Return the relative l2 error of slices of white noise that fills the box."""
    along = np.linspace(-0.5, 0.5, 101) / oversampling

    def transform(frequencies: Float64) -> Float64:
        return np.array([_core.kernel_transform(oversampling, f, width=width) for f in frequencies])

    aliases = sum(transform(along + m) ** 2 for m in (-3, -2, -1, 1, 2, 3))
    return float(np.sqrt(3.0 * np.mean(aliases / transform(along) ** 2)))


@lru_cache(maxsize=64)
def interpolation_for(tolerance: float, box: int) -> Interpolation:
    """Return the fastest kernel and padding whose error stays below a tolerance, 1e-6 to 0.01.

    Raises
    ------
    ConfigError
        A tolerance outside that range.
    """
    if not SMALLEST_TOLERANCE <= tolerance <= 0.01:
        raise ConfigError(f"tolerance={tolerance:g}: takes {SMALLEST_TOLERANCE:g} to 0.01")
    kept: list[tuple[float, Interpolation]] = []
    for width, read_ns in READ_NS.items():
        for oversampling in OVERSAMPLINGS:
            padded = padded_size(box, oversampling)
            # a tenth is left for what chance adds to one map's error
            if interpolation_error(width, padded / box) + ROUNDING > 0.9 * tolerance:
                continue
            cost = TRANSFORM_NS * padded**3 + _TYPICAL_SLICES * 0.4 * box**2 * read_ns
            kept.append((cost, Interpolation(width, padded)))
    return min(kept, key=lambda pair: pair[0])[1]


def padded_size(box: int, oversampling: float) -> int:
    """Return the edge of a box padded at least so many times: even, and fast to transform."""
    half = int(np.ceil(oversampling * box / 2 - 1e-9))
    return 2 * int(scipy.fft.next_fast_len(half, real=True))


@lru_cache(maxsize=32)
def kernel_profile(size: int, padded: int, box: int, width: int = 6) -> Float64:
    """Transform of the interpolation kernel along a centred line of ``size`` pixels.

    ``padded`` is the size of the grid that is interpolated and ``box`` the size it was padded from.
    """
    offsets = (np.arange(size) - size // 2) / padded
    return np.array([_core.kernel_transform(padded / box, f, width=width) for f in offsets])


def transform_window(
    volume: Real, interpolation: Interpolation, *, max_radius: float, n_threads: int = 1
) -> Complex64:
    """Return the Fourier window of a map, ready for slicing up to ``max_radius`` Fourier pixels.

    The kernel's transform is divided out first. The padded map is zero but for one eighth of it,
    and the half transform beyond the window is of no use: the transform goes axis by axis, and
    along each only over what is neither.
    """
    box, padded, width = len(volume), interpolation.padded, interpolation.width
    highest = max_radius * padded / box
    line = (1.0 / kernel_profile(box, padded, box, width)).astype(np.float32)
    rows: Float32 = volume.astype(np.float32, copy=False) * line[:, None, None]
    rows *= line[None, :, None]
    rows *= line[None, None, :]
    columns = min(padded // 2, int(np.ceil(highest)) + width // 2 + 1) + 1
    spectrum: Complex64 = scipy.fft.rfft(_wrapped(rows, padded, axis=2), workers=n_threads)
    for axis in (1, 0):
        grown = _wrapped(spectrum[:, :, :columns], padded, axis=axis)
        spectrum = scipy.fft.fft(grown, axis=axis, workers=n_threads, overwrite_x=True)
    return _core.gather_window(spectrum, highest, width=width, n_threads=n_threads)


def _wrapped(array: npt.NDArray[_Scalar], padded: int, *, axis: int) -> npt.NDArray[_Scalar]:
    """Return the array padded with zeros along an axis, its centre pixel at index 0."""
    size = array.shape[axis]
    shape = list(array.shape)
    shape[axis] = padded
    result = np.zeros(shape, array.dtype)
    target, source = np.moveaxis(result, axis, 0), np.moveaxis(array, axis, 0)
    target[: size - size // 2] = source[size // 2 :]
    target[padded - size // 2 :] = source[: size // 2]
    return result


@dataclass(frozen=True, eq=False)
class FourierProjector:
    """A map made ready to be sliced any number of times.

    Make it with :meth:`plan`; it is immutable and may be shared by threads.

    Attributes
    ----------
    window : ndarray, complex64
        The map's padded transform about the origin.
    box : int
    interpolation : Interpolation
    max_radius : float
        Highest frequency that can be read, in Fourier pixels of the box.

    Examples
    --------
    >>> import numpy as np
    >>> projector = FourierProjector.plan(np.ones((16, 16, 16), np.float32))
    >>> projector.cartesian(np.eye(3)[None]).shape
    (1, 16, 9)
    """

    window: Complex64
    box: int
    interpolation: Interpolation
    max_radius: float

    @classmethod
    def plan(
        cls,
        volume: Real,
        *,
        tolerance: float = DEFAULT_TOLERANCE,
        interpolation: Interpolation | None = None,
        max_radius: float | None = None,
        n_threads: int = 1,
    ) -> FourierProjector:
        """Transform a map so that its slices are exact to a tolerance.

        Parameters
        ----------
        volume : ndarray of shape (box, box, box)
            Density, (z, y, x), centre at pixel box//2.
        tolerance : float
            Relative l2 error of the slices of white noise that fills the box, 1e-6 to 0.01.
        interpolation : Interpolation, optional
            Kernel and padding, in place of those that the tolerance asks for.
        max_radius : float, optional
            Highest frequency in Fourier pixels. Default box//2.

        Raises
        ------
        ConfigError
            A tolerance outside that range.
        """
        box = len(volume)
        radius = float(box // 2) if max_radius is None else float(max_radius)
        chosen = interpolation_for(tolerance, box) if interpolation is None else interpolation
        window = transform_window(volume, chosen, max_radius=radius, n_threads=n_threads)
        return cls(window, box, chosen, radius)

    @property
    def scale(self) -> float:
        """Grid points per Fourier pixel of the box; also the oversampling."""
        return self.interpolation.padded / self.box

    @property
    def for_kernels(self) -> _core.Window:
        """The window and how it is read, for the kernels."""
        return _core.Window(
            self.window,
            scale=self.scale,
            oversampling=self.scale,
            width=self.interpolation.width,
        )

    def cartesian(self, rotations: Real, *, n_threads: int = 1) -> Complex64:
        """Return the transforms of projections at rotations (n, 3, 3), object to view.

        Returns
        -------
        ndarray of shape (n, box, box//2+1), complex64
            rfft2 layout, phases about the centre: rfft2(ifftshift(projection)). Zero beyond
            ``max_radius`` and in the Nyquist row and column of an even box.
        """
        return _core.project_cartesian(
            self.for_kernels,
            rotations=np.ascontiguousarray(rotations, dtype=np.float64),
            max_radius=self.max_radius,
            box=self.box,
            n_threads=n_threads,
        )
