"""Particles as the decomposition sees them: low-frequency Fourier coefficients, centred.

A half plane of coefficients, in order of radius, so that fewer rings are the first columns. They
are prepared once from the images; whitening, and what is learnt of shifts, is applied as they are
read (`observed`). The arrays may be memory-mapped.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import scipy.fft

from mapsort.array_types import Complex64, Float32, Float64, Indices
from mapsort.engines.chunks import Rows
from mapsort.physics.masks import soft_sphere
from mapsort.physics.normalization import background_normalize
from mapsort.stages.fourier_grid import centred_transform, shift_images

#: Makes an array of a shape and type: `numpy.empty`, or that of a scratch file.
Allocate = Callable[[tuple[int, ...], npt.DTypeLike], npt.NDArray[np.generic]]

#: Finest resolution looked at [A]: differences of composition and shape are seen well before it,
#: and errors of the poses (degrees) leave little beyond it.
FINEST_ANG = 14.0
#: Most rings in use: memory and time of the maps grow with their third power.
MOST_RINGS = 28
#: Radius [boxes] of the circle about the particle, within which all is kept.
CIRCLE = 0.39
#: Width of its soft edge [boxes].
CIRCLE_EDGE = 0.06
#: Outside of this radius [boxes] is background.
BACKGROUND = 0.42
#: Pixels are cut at this many standard deviations: hot pixels are beyond.
CLIPPED_FROM = 5.0


@dataclass(frozen=True)
class Band:
    """The Fourier coefficients in use: half a plane without the origin, up to a ring."""

    #: Edge of the images [pixels].
    box: int
    #: Last ring (rounded radius), in Fourier pixels of the box.
    rings: int

    @classmethod
    def widest(cls, box: int, apix: float) -> Band:
        """Return the band that is worth preparing for images of a pixel size [A]."""
        finest = int(np.ceil(box * apix / FINEST_ANG))
        return cls(box, max(1, min(finest, MOST_RINGS, (box - 1) // 2 - 1)))

    @cached_property
    def _points(self) -> tuple[Indices, Float32, Indices]:
        """Places in a rfft half plane, frequencies (m, 2) and rings (m,), by radius."""
        ky, kx = np.meshgrid(
            scipy.fft.fftfreq(self.box, 1 / self.box),
            scipy.fft.rfftfreq(self.box, 1 / self.box),
            indexing="ij",
        )
        radius = np.hypot(kx, ky).ravel()
        own = ((kx > 0) | (ky > 0)).ravel()  # of the column kx = 0 half are mates
        inside = np.flatnonzero(own & (np.rint(radius) <= self.rings))
        places = inside[np.argsort(radius[inside], kind="stable")]
        frequencies = np.stack([kx.ravel()[places], ky.ravel()[places]], axis=1)
        return places, frequencies.astype(np.float32), np.rint(radius[places]).astype(np.intp)

    @property
    def places(self) -> Indices:
        """Where the coefficients are in a flattened rfft half plane (box, box//2 + 1), (m,)."""
        return self._points[0]

    @property
    def frequencies(self) -> Float32:
        """The coefficients' kx and ky in Fourier pixels, (m, 2)."""
        return self._points[1]

    @property
    def ring(self) -> Indices:
        """The coefficients' rings, rising, (m,)."""
        return self._points[2]

    def n_points(self, rings: int) -> int:
        """Return how many coefficients there are up to a ring; they are the first."""
        return int(np.searchsorted(self.ring, rings, side="right"))


@dataclass(frozen=True)
class BandParticles:
    """Fourier coefficients of n particles, of the same scale as their images' background noise."""

    band: Band
    #: Pixel size [A].
    apix: float
    #: Of the images, white density, centred, within a soft circle, (n, m).
    spectra: Complex64
    #: Contrast transfer of each, (n, m); its absolute value where images are phase-flipped.
    transfer: Float32
    #: Radius of the circle [pixels]; by default images are not cut.
    circle_px: float = np.inf

    @classmethod
    def empty(
        cls,
        n: int,
        band: Band,
        apix: float,
        allocate: Allocate = np.empty,
        *,
        circle_px: float = np.inf,
    ) -> BandParticles:
        """Return a place for n particles; without CTF its transfer stays 1."""
        shape = (n, len(band.ring))
        spectra, transfer = allocate(shape, np.complex64), allocate(shape, np.float32)
        transfer[:] = 1.0
        return cls(band, apix, spectra, transfer, circle_px)  # type: ignore[arg-type]

    def __len__(self) -> int:
        return len(self.spectra)

    @cached_property
    def _circle(self) -> Float32:
        """Of the images, (box, box)."""
        box = self.band.box
        return soft_sphere(box, self.circle_px, CIRCLE_EDGE * box, ndim=2)

    @property
    def noise_kept(self) -> float:
        """Part of the noise's power that the circle leaves; the particle within it keeps all."""
        return float(np.mean(np.square(self._circle, dtype=np.float64)))

    def fill(
        self,
        where: Rows,
        images: Float32,
        origins: Float64,
        transfer: Float32 | None = None,
        *,
        n_threads: int = 1,
    ) -> None:
        """Prepare a chunk of particles.

        Parameters
        ----------
        where : slice or ndarray
            Which particles they are.
        images : ndarray of shape (k, box, box), float32
            White density, not yet masked: the background is read off the corners.
        origins : ndarray of shape (k, 2), float64
            The shift that centres each particle, x before y [pixels].
        transfer : ndarray of shape (k, box, box//2+1), float32, optional
            Contrast transfer in rfft layout.

        Raises
        ------
        NumericalError
            The background of an image is constant or not finite.
        """
        box, places = self.band.box, self.band.places
        clean = without_background(images, BACKGROUND * box)
        spectra = scipy.fft.rfft2(clean, workers=n_threads)
        shift_images(spectra, origins)
        clean = scipy.fft.irfft2(spectra, s=(box, box), workers=n_threads)
        clean *= self._circle
        centred = centred_transform(clean, n_threads=n_threads)
        self.spectra[where] = centred.reshape(len(images), -1)[:, places]
        if transfer is not None:
            self.transfer[where] = transfer.reshape(len(images), -1)[:, places]


def without_background(images: Float32, radius_px: float) -> Float32:
    """Return images without the plane that fits their background, clipped, of noise about 1.

    Parameters
    ----------
    images : ndarray of shape (n, box, box), float32
    radius_px : float
        Outside of this circle is background [pixels].

    Raises
    ------
    NumericalError
        The background of an image is constant or not finite.
    """
    box = images.shape[-1]
    offset = (np.arange(box) - box // 2) / box
    y, x = np.meshgrid(offset, offset, indexing="ij")
    outside = x**2 + y**2 > (radius_px / box) ** 2
    plane = np.stack([x, y, np.ones_like(x)])
    solve = np.linalg.pinv(plane[:, outside]).astype(np.float32)
    slopes = images[:, outside] @ solve
    flat = images - np.einsum("nk,kyx->nyx", slopes, plane.astype(np.float32))
    flat = background_normalize(flat, radius_px)
    # a strong particle stands out of its background without being a fault
    limit = CLIPPED_FROM * np.maximum(1.0, flat.std(axis=(1, 2), keepdims=True))
    return np.clip(flat, -limit, limit)
