"""Padded Fourier grids: real-space arrays to and from what the gridding kernels read.

Reading a Fourier grid between its points with the kernel phi multiplies the image by phi's
transform; the image is therefore divided by it first (forward) or afterwards (adjoint), which makes
both exact up to aliasing (Jackson et al., IEEE Trans. Med. Imaging 10 (1991) 473).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.fft

from mapsort import _core
from mapsort.physics.fourier_projection import Interpolation, kernel_profile, transform_window

__all__ = [
    "Complex64",
    "Float32",
    "FourierGrid",
    "centred_images",
    "centred_transform",
    "kernel_profile",
]

Float32 = npt.NDArray[np.float32]
Complex64 = npt.NDArray[np.complex64]

#: Width of the kernel that images and reconstructions are read and spread with.
KERNEL_WIDTH = _core.build()["kernel_width"]
#: Boxes from which slices are spread into a grid of 1.5 instead of 2 times the box.
LARGE_BOX = 384


def _corner_indices(box: int, padded: int) -> npt.NDArray[np.intp]:
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

    @classmethod
    def for_reconstruction(cls, box: int, pad: int = 0) -> FourierGrid:
        """Return the grid that slices are spread into: ``pad`` pixels if given.

        Else twice the box; of large boxes 1.5 times, which takes 0.4 of the memory and has errors
        near 1e-4, far below those of any data.
        """
        return cls.for_box(box, pad or (2 * box if box < LARGE_BOX else 3 * box // 2))

    @property
    def scale(self) -> float:
        """Grid points per Fourier pixel of the box; also the oversampling."""
        return self.padded / self.box

    @property
    def kernel_line(self) -> Float32:
        """Divisor of a line of the box that undoes the kernel."""
        return kernel_profile(self.box, self.padded, self.box).astype(np.float32)

    def volume_window(
        self, volume: npt.NDArray[np.floating], *, max_radius: float, n_threads: int = 1
    ) -> Complex64:
        """Return the Fourier window of a map, ready for slicing up to ``max_radius``.

        Parameters
        ----------
        volume : ndarray of shape (box, box, box)
        max_radius : float
            Highest frequency that will be read, in Fourier pixels of the box.
        """
        interpolation = Interpolation(KERNEL_WIDTH, self.padded)
        return transform_window(volume, interpolation, max_radius=max_radius, n_threads=n_threads)

    def image_spectra(self, images: npt.NDArray[np.floating], *, n_threads: int = 1) -> Complex64:
        """Return padded transforms (n, padded, padded//2+1) of images (n, box, box)."""
        line = self.kernel_line
        padded = np.zeros((len(images), self.padded, self.padded), dtype=np.float32)
        at = _corner_indices(self.box, self.padded)
        padded[:, at[:, None], at[None, :]] = images / (line[:, None] * line[None, :])
        return np.asarray(scipy.fft.rfft2(padded, workers=n_threads))

    def volume_from_window(self, window: Complex64 | Float32, *, n_threads: int = 1) -> Float32:
        """Return the array (box, box, box) of a window that samples were spread into.

        The kernel is undone: the exact adjoint of :meth:`volume_window` and of reading the
        samples. The transform is taken axis by axis, only of rows that hold something and only to
        pixels of the box, so that nothing of the padded size is ever in memory.
        """
        planes, rows, _ = window.shape
        line = self.kernel_line
        at = _corner_indices(self.box, self.padded)
        columns = min(planes, self.padded) // 2 + 1
        along_z = np.empty((self.box, rows, columns), dtype=np.complex64)
        for part in _blocks(rows, self.padded * columns):
            full = np.zeros((self.padded, part.stop - part.start, columns), dtype=np.complex64)
            _wrap_around(full, _with_mates(window, part, self.padded))
            turned = scipy.fft.ifft(full, axis=0, overwrite_x=True, workers=n_threads)
            along_z[:, part] = turned[at] * (self.padded / line)[:, None, None]
        volume = np.empty((self.box,) * 3, dtype=np.float32)
        for part in _blocks(self.box, self.padded * columns):
            volume[part] = self._plane_rows(along_z[part], at, line, n_threads)
        return volume

    def even_volume_from_window(self, window: Float32, *, n_threads: int = 1) -> Float32:
        """Return half of the array of a real window, whose array is even about its centre.

        Parameters
        ----------
        window : ndarray
            Real samples, for example weights.

        Returns
        -------
        ndarray of shape (box//2 + 1, box, box), float32
            Planes z = 0 to box//2 from the centre (of an even box the last is that of -box/2). As
            :meth:`volume_from_window`, in half of its time and memory: the transform along z of
            real rows, and its result, need one half only.
        """
        planes, rows, _ = window.shape
        line, kept = self.kernel_line, self.box // 2 + 1
        at = _corner_indices(self.box, self.padded)
        # the line at the distances 0 to box//2 from its centre: the kernel is even
        half_line = kernel_profile(self.box, self.padded, self.box)[self.box // 2 :: -1]
        half_line = half_line[:kept].astype(np.float32)
        columns = min(planes, self.padded) // 2 + 1
        along_z = np.empty((kept, rows, columns), dtype=np.complex64)
        for part in _blocks(rows, self.padded * columns):
            full = np.zeros((self.padded, part.stop - part.start, columns), dtype=np.float32)
            _wrap_around(full, _with_mates(window, part, self.padded))
            # the sum over exp(-i) of rfft is the conjugate of the one over exp(+i)
            turned = scipy.fft.rfft(full, axis=0, workers=n_threads)[:kept]
            along_z[:, part] = np.conj(turned) / half_line[:, None, None]
        volume = np.empty((kept, self.box, self.box), dtype=np.float32)
        for part in _blocks(kept, self.padded * columns):
            volume[part] = self._plane_rows(along_z[part], at, line, n_threads)
        return volume

    def _plane_rows(
        self, along_z: Complex64, at: npt.NDArray[np.intp], line: Float32, n_threads: int
    ) -> Float32:
        """Take planes (m, rows, columns) of the window to pixels along y and x."""
        full = np.zeros((len(along_z), self.padded, along_z.shape[2]), dtype=np.complex64)
        _wrap_around(full.swapaxes(0, 1), along_z.swapaxes(0, 1))
        turned = scipy.fft.ifft(full, axis=1, overwrite_x=True, workers=n_threads)[:, at]
        real = scipy.fft.irfft(turned, n=self.padded, axis=2, workers=n_threads)[:, :, at]
        scaled = real * (self.padded / line)[:, None] * (self.padded / line)
        return np.asarray(scaled, dtype=np.float32)


#: Elements of a block of rows that are transformed at a time.
_BLOCK_ELEMENTS = 1 << 23


def _blocks(n: int, elements_each: int) -> Iterator[slice]:
    """Divide n items into slices of bounded memory."""
    length = max(1, _BLOCK_ELEMENTS // elements_each)
    for first in range(0, n, length):
        yield slice(first, min(first + length, n))


def _with_mates(window: Complex64 | Float32, rows: slice, padded: int) -> Complex64 | Float32:
    """Return rows of a window for kx in [0, padded/2], with each element's mate added in.

    The mate of an element is its conjugate at the opposite frequency; elements beyond the Nyquist
    frequency, where kernels of samples below it reach, come back from the other side.
    """
    radius = window.shape[0] // 2
    halo, nyquist = window.shape[2] - radius - 1, padded // 2
    opposite = window[::-1, ::-1][:, rows]
    folded = window[:, rows, halo:].copy()
    folded[:, :, : halo + 1] += np.conj(opposite[:, :, halo::-1])
    for k in range(nyquist, radius + 1):
        folded[:, :, padded - k] += np.conj(opposite[:, :, halo + k])
    return folded[:, :, : nyquist + 1]


def _wrap_around(grid: Complex64 | Float32, centred: Complex64 | Float32) -> None:
    """Place the leading axis of `centred`, about its middle, around index 0 of `grid`."""
    at = _corner_indices(len(centred), len(grid))
    grid[at[: len(grid)]] = centred[: len(grid)]
    grid[at[len(grid) :]] += centred[len(grid) :]


def centred_transform(images: npt.NDArray[np.floating], *, n_threads: int = 1) -> Complex64:
    """Return rfft2 of images (n, box, box) with phases about the centre pixel box//2."""
    shifted = scipy.fft.ifftshift(images.astype(np.float32, copy=False), axes=(-2, -1))
    return np.asarray(scipy.fft.rfft2(shifted, workers=n_threads))


def centred_images(slices: Complex64, box: int, *, n_threads: int = 1) -> Float32:
    """Return images (n, box, box) of transforms (n, box, box//2+1) with phases about the centre."""
    images = scipy.fft.irfft2(slices, s=(box, box), workers=n_threads)
    return np.asarray(scipy.fft.fftshift(images, axes=(-2, -1)), dtype=np.float32)
