"""Padded Fourier grids: real-space arrays to and from what the gridding kernels read.

Reading a Fourier grid between its points with the kernel phi multiplies the image by phi's
transform; the image is therefore divided by it first (forward) or afterwards (adjoint), which makes
both exact up to aliasing (Jackson et al., IEEE Trans. Med. Imaging 10 (1991) 473).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.fft

from mapsort import _core
from mapsort.array_types import Complex64, Float32, Indices, Real
from mapsort.physics.fourier_projection import Interpolation, kernel_profile, transform_window

__all__ = [
    "Complex64",
    "Float32",
    "FourierGrid",
    "centred_images",
    "centred_transform",
    "kernel_profile",
    "shift_images",
]


#: Width of the kernel that images are read with.
KERNEL_WIDTH = _core.build()["kernel_width"]


def corner_indices(box: int, padded: int) -> Indices:
    """Return where the pixels of a centred line go in a padded line whose origin is index 0."""
    return (np.arange(box) - box // 2) % padded


@dataclass(frozen=True)
class FourierGrid:
    """A padded Fourier grid for boxes of one size.

    Parameters
    ----------
    box : int
        Edge of images and maps in pixels.
    padded : int
        Edge of the padded array; even, at least 1.25 x box. Twice the box gives errors near 1e-5.
    """

    box: int
    padded: int

    @classmethod
    def for_box(cls, box: int, pad: int = 0) -> FourierGrid:
        """Return the grid of a box: ``pad`` pixels if given (made even), else twice the box."""
        wanted = pad or 2 * box
        return cls(box, (max(wanted, int(np.ceil(1.25 * box))) + 1) // 2 * 2)

    @property
    def scale(self) -> float:
        """Grid points per Fourier pixel of the box; also the oversampling."""
        return self.padded / self.box

    @property
    def kernel_line(self) -> Float32:
        """Divisor of a line of the box that undoes the kernel."""
        return kernel_profile(self.box, self.padded, self.box).astype(np.float32)

    def volume_window(self, volume: Real, *, max_radius: float, n_threads: int = 1) -> Complex64:
        """Return the Fourier window of a map, for slicing up to ``max_radius`` Fourier pixels."""
        interpolation = Interpolation(KERNEL_WIDTH, self.padded)
        return transform_window(volume, interpolation, max_radius=max_radius, n_threads=n_threads)

    def image_spectra(
        self, images: Real, *, max_radius: float | None = None, n_threads: int = 1
    ) -> Complex64:
        """Return padded transforms (n, padded, padded//2+1) of images (n, box, box).

        With ``max_radius`` [Fourier pixels of the box] columns are zero beyond those that the
        kernels read for frequencies up to it.
        """
        box, padded = self.box, self.padded
        used = padded // 2 + 1
        if max_radius is not None:
            used = min(used, int(np.ceil(max_radius * self.scale)) + KERNEL_WIDTH // 2 + 1)
        factor = 1.0 / self.kernel_line
        factor = factor[:, None] * factor[None, :]
        # the half from the centre on begins the line, the other ends it; rows of zeros stay zero
        rows = np.zeros((len(images), box, padded), dtype=np.float32)
        for pixels, place in self._halves():
            np.multiply(images[:, :, pixels], factor[:, pixels], out=rows[:, :, place])
        lines = scipy.fft.rfft(rows, workers=n_threads)
        spectra = np.zeros((len(images), padded, padded // 2 + 1), dtype=np.complex64)
        columns = spectra[:, :, :used]
        for pixels, place in self._halves():
            columns[:, place] = lines[:, pixels, :used]
        done = scipy.fft.fft(columns, axis=1, overwrite_x=True, workers=n_threads)
        if not np.may_share_memory(done, spectra):
            columns[...] = done
        return spectra

    def _halves(self) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
        """Return where the two halves of a centred line are, and go in one with its origin at 0."""
        middle, behind = self.box // 2, self.padded - self.box // 2
        return (
            (slice(middle, self.box), slice(0, self.box - middle)),
            (slice(0, middle), slice(behind, self.padded)),
        )


def centred_transform(images: Real, *, n_threads: int = 1) -> Complex64:
    """Return rfft2 of images (n, box, box) with phases about the centre pixel box//2."""
    shifted = scipy.fft.ifftshift(images.astype(np.float32, copy=False), axes=(-2, -1))
    return np.asarray(scipy.fft.rfft2(shifted, workers=n_threads))


def centred_images(slices: Complex64, box: int, *, n_threads: int = 1) -> Float32:
    """Return images (n, box, box) of transforms (n, box, box//2+1) with phases about the centre."""
    images = scipy.fft.irfft2(slices, s=(box, box), workers=n_threads)
    return np.asarray(scipy.fft.fftshift(images, axes=(-2, -1)), dtype=np.float32)


def shift_images(spectra: Complex64, shifts: npt.ArrayLike) -> None:
    """Move the content of images by the phases of their rfft2 (n, box, box//2+1), in place.

    ``shifts`` (n, 2) are along x and y [pixels].
    """
    moved = np.asarray(shifts, dtype=np.float64)
    box = spectra.shape[1]
    for axis, frequency in ((0, scipy.fft.rfftfreq(box)), (1, scipy.fft.fftfreq(box))):
        turns = np.exp(-2j * np.pi * moved[:, axis, None] * frequency).astype(np.complex64)
        spectra *= turns[:, None, :] if axis == 0 else turns[:, :, None]
