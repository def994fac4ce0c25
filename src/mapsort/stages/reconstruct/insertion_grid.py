"""The Fourier grid that slices are inserted into, and its way back to real space.

Spreading samples with the kernel phi multiplies the array that they stand for by phi's transform,
by which it is divided here (Jackson et al., IEEE Trans. Med. Imaging 10 (1991) 473).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import scipy.fft

from mapsort import _core
from mapsort.array_types import Complex64, Float32
from mapsort.physics.fourier_projection import kernel_profile
from mapsort.stages.fourier_grid import corner_indices

#: Size of the grid in boxes. The point spread function of the weights is needed at twice the box's
#: extent, and a margin for the kernel.
OVERSAMPLING = 2.5
#: Boxes from which memory matters more, and their grid.
LARGE_BOX, LARGE_BOX_OVERSAMPLING = 384, 2.2
#: Width of the kernel that slices are spread with.
INSERTION_WIDTH = _core.build()["insertion_width"]
#: Coarser boxes save nothing worth the change from this part of the box on.
WORTH_IT = 0.9
#: Elements of a block of rows that are transformed at a time.
_BLOCK_ELEMENTS = 1 << 20


@dataclass(frozen=True)
class InsertionGrid:
    """A padded Fourier grid for the slices of boxes of one size.

    Parameters
    ----------
    box : int
        Edge of images and maps in pixels.
    padded : int
        Edge of the padded array, even.

    Notes
    -----
    With a kernel of five points whose shape is that for an oversampling of padded / box / 2, noise
    that fills its extent has errors of 4e-4 in slices and 2e-3 in the point spread function
    (formula: `mapsort.physics.fourier_projection`), most of them at the extent's faces; in the
    grid of large boxes 1e-3 and 1e-2.
    """

    box: int
    padded: int

    @classmethod
    def for_box(cls, box: int, pad: int = 0) -> InsertionGrid:
        """Return the grid of a box: at least ``pad`` pixels, and at least what the weights need."""
        least = OVERSAMPLING if box < LARGE_BOX else LARGE_BOX_OVERSAMPLING
        half = max((pad + 1) // 2, int(np.ceil(0.5 * least * box - 1e-9)))
        return cls(box, 2 * scipy.fft.next_fast_len(half))

    def within(self, radius: float) -> InsertionGrid:
        """Return the grid of the coarsest box of the same extent that holds this band.

        The box's Fourier pixels, and so slices up to ``radius`` of them, are the same.
        """
        box = 2 * scipy.fft.next_fast_len(max(4, int(np.ceil(radius))))
        if box >= WORTH_IT * self.box:
            return self
        return InsertionGrid.for_box(box, int(np.ceil(self.scale * box - 1e-9)))

    @property
    def scale(self) -> float:
        """Grid points per Fourier pixel of the box."""
        return self.padded / self.box

    def window_shape(self, max_radius: float) -> tuple[int, int, int]:
        """Return the shape of the window for frequencies up to ``max_radius`` Fourier pixels."""
        return _core.window_shape(max_radius * self.scale, width=INSERTION_WIDTH)

    def _kernel_line(self, size: int) -> Float32:
        """Return the divisor of a centred line of ``size`` pixels that undoes the kernel."""
        line = kernel_profile(size, self.padded, 2 * self.box, INSERTION_WIDTH)
        return line.astype(np.float32)

    def volume(self, window: Complex64, *, n_threads: int = 1) -> Float32:
        """Return the array (box, box, box) of a window that samples were spread into.

        The exact adjoint of a map's window and of reading the samples. The transform is taken axis
        by axis, only of rows that hold something and only to pixels of the box, so that nothing of
        the padded size is ever in memory.
        """
        planes, rows, _ = window.shape
        line = self._kernel_line(self.box)
        at = corner_indices(self.box, self.padded)
        columns = min(planes, self.padded) // 2 + 1
        along_z = np.empty((self.box, rows, columns), dtype=np.complex64)
        for part in _blocks(rows, self.padded * columns):
            full = np.zeros((self.padded, part.stop - part.start, columns), dtype=np.complex64)
            _wrap_around(full, _with_mates(window, part, self.padded))
            turned = scipy.fft.ifft(full, axis=0, overwrite_x=True, workers=n_threads)
            along_z[:, part] = turned[at] * (self.padded / line)[:, None, None]
        volume = np.empty((self.box,) * 3, dtype=np.float32)
        for part in _blocks(self.box, self.padded * columns):
            volume[part] = self._plane_rows(along_z[part], self.box, n_threads)
        return volume

    def point_spread(self, window: Float32, *, n_threads: int = 1) -> Float32:
        """Return half of the even array of a window of real samples, at twice the box's extent.

        Returns
        -------
        ndarray of shape (box + 1, 2 box, 2 box), float32
            Planes z = 0 to box from the centre (the last is that of -box). As :meth:`volume`, in
            half of its time and memory: the transform along z of real rows, and its result, need
            one half only.
        """
        planes, rows, _ = window.shape
        size, kept = 2 * self.box, self.box + 1
        # the line at the distances 0 to box from its centre: the kernel is even
        half_line = self._kernel_line(size)[self.box :: -1]
        columns = min(planes, self.padded) // 2 + 1
        along_z = np.empty((kept, rows, columns), dtype=np.complex64)
        for part in _blocks(rows, self.padded * columns):
            full = np.zeros((self.padded, part.stop - part.start, columns), dtype=np.float32)
            _wrap_around(full, _with_mates(window, part, self.padded))
            # the sum over exp(-i) of rfft is the conjugate of the one over exp(+i)
            turned = scipy.fft.rfft(full, axis=0, workers=n_threads)[:kept]
            along_z[:, part] = np.conj(turned) / half_line[:, None, None]
        volume = np.empty((kept, size, size), dtype=np.float32)
        for part in _blocks(kept, self.padded * columns):
            volume[part] = self._plane_rows(along_z[part], size, n_threads)
        return volume

    def _plane_rows(self, along_z: Complex64, size: int, n_threads: int) -> Float32:
        """Take planes (m, rows, columns) of the window to ``size`` pixels along y and x."""
        line, at = self._kernel_line(size), corner_indices(size, self.padded)
        full = np.zeros((len(along_z), self.padded, along_z.shape[2]), dtype=np.complex64)
        _wrap_around(full.swapaxes(0, 1), along_z.swapaxes(0, 1))
        turned = scipy.fft.ifft(full, axis=1, overwrite_x=True, workers=n_threads)[:, at]
        real = scipy.fft.irfft(turned, n=self.padded, axis=2, workers=n_threads)[:, :, at]
        scaled = real * (self.padded / line)[:, None] * (self.padded / line)
        return np.asarray(scaled, dtype=np.float32)


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
    at = corner_indices(len(centred), len(grid))
    grid[at[: len(grid)]] = centred[: len(grid)]
    grid[at[len(grid) :]] += centred[len(grid) :]
