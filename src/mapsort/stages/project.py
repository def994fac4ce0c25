"""Project maps: central slices of their Fourier transforms."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import scipy.fft

from mapsort.array_types import Complex64, Float32, Float64, Real
from mapsort.modules.projector import Projection, RealSpaceProjection
from mapsort.physics.filters import radial_power
from mapsort.physics.fourier_projection import DEFAULT_TOLERANCE, FourierProjector
from mapsort.stages.fourier_grid import centred_images, centred_transform, shift_images


def project_slices(
    volume: Real,
    rotations: Real,
    *,
    method: Projection | None = None,
    tolerance: float = DEFAULT_TOLERANCE,
    max_radius: float | None = None,
    n_threads: int = 1,
) -> Complex64:
    """Return the Fourier transforms of projections of a map, (n, box, box//2+1) complex64.

    Projection-slice theorem: the slice at (kx, ky) is the volume's transform at R^T (kx, ky, 0).
    rfft2 layout, phases about the centre: rfft2(ifftshift(projection)). The Nyquist row and column
    of an even box are zero.

    Parameters
    ----------
    volume : ndarray of shape (box, box, box)
        Density, (z, y, x), centre at pixel box//2.
    rotations : ndarray of shape (n, 3, 3)
        Object to view; the projection runs along the view's z axis.
    method : Projection, optional
        A projector of `mapsort.modules.projector`. Default: slices in Fourier space.
    tolerance : float
        Relative l2 error of the slices, 1e-6 to 0.01 (`mapsort.physics.fourier_projection`), where
        ``method`` does not say.
    max_radius : float, optional
        Highest frequency in Fourier pixels; beyond it the slices are zero. Default box//2.
    """
    if isinstance(method, RealSpaceProjection):
        images = method.images(volume, rotations, n_threads=n_threads)
        return image_slices(images, max_radius=max_radius, n_threads=n_threads)
    projector = FourierProjector.plan(
        volume,
        tolerance=tolerance,
        interpolation=None if method is None else method.interpolation(len(volume)),
        max_radius=max_radius,
        n_threads=n_threads,
    )
    return projector.cartesian(rotations, n_threads=n_threads)


def last_shell(volume: Float32, *, tolerance: float = 0.1 * DEFAULT_TOLERANCE) -> float:
    """Return the shell [Fourier pixels] up to which a map's slices are whole to a tolerance.

    What they would hold beyond it is so little in the l2 norm, relative to all of them. Maps that
    were filtered end long before the box does. Of maps within a sphere, as references are: the
    transform of what fills the box is not known between its coefficients.
    """
    nyquist = len(volume) // 2
    power = radial_power(scipy.fft.rfftn(volume))[: nyquist + 1]
    power *= np.arange(nyquist + 1)
    beyond = np.cumsum(power[::-1])[::-1]
    shells = int(np.count_nonzero(beyond > tolerance**2 * beyond[0]))
    return float(min(nyquist, shells))


def image_slices(
    images: Float32, *, max_radius: float | None = None, n_threads: int = 1
) -> Complex64:
    """Return the transforms of projections with the same frequencies left out as in slices."""
    box = images.shape[1]
    radius = float(box // 2) if max_radius is None else max_radius
    ky, kx = np.fft.fftfreq(box, 1 / box)[:, None], np.arange(box // 2 + 1)
    kept = (kx**2 + ky**2 <= radius**2) & (2 * kx < box) & (2 * ky > -box)
    slices = centred_transform(images, n_threads=n_threads)
    slices *= kept
    return slices


def project_images(
    volume: Real,
    rotations: Real,
    *,
    method: Projection | None = None,
    shifts: Real | None = None,
    n_threads: int = 1,
) -> Float32:
    """Return projections of a map as images, (n, box, box), moved by shifts (n, 2) [pixels].

    Rotations (n, 3, 3) are object to view; without a projector of `mapsort.modules.projector` they
    are slices in Fourier space.
    """
    return prepared_projection(volume, method, n_threads=n_threads)(rotations, shifts)


def prepared_projection(
    volume: Real, method: Projection | None = None, *, n_threads: int = 1
) -> Callable[[Real, Real | None], Float32]:
    """Return a function of rotations and shifts that projects one map: as `project_images`.

    What can be done once for all projections is done here.
    """
    if isinstance(method, RealSpaceProjection):
        return lambda rotations, shifts: method.images(
            volume, rotations, shifts=shifts, n_threads=n_threads
        )
    box = len(volume)
    projector = FourierProjector.plan(
        volume,
        interpolation=None if method is None else method.interpolation(box),
        n_threads=n_threads,
    )

    def images(rotations: Real, shifts: Real | None) -> Float32:
        slices = projector.cartesian(rotations, n_threads=n_threads)
        if shifts is not None and np.any(shifts):
            shift_images(slices, shifts)
        return centred_images(slices, box, n_threads=n_threads)

    return images


def signal_power(volumes: Sequence[Float32]) -> Float64:
    """Return the mean power of the maps' projections in each shell, (box//2 + 1,)."""
    n_shells = len(volumes[0]) // 2 + 1
    powers = [radial_power(scipy.fft.rfftn(volume))[:n_shells] for volume in volumes]
    return np.asarray(np.mean(powers, axis=0))
