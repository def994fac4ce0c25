"""Transforms between a ball of frequencies and a cube about the origin in real space.

A grid twice as fine as the box leaves a twelfth of real space to the particle's window, and half of
the frequencies to the last ring's ball. Sums over just these take half the time of fast transforms
of all, and are products of matrices: what lies at opposite places is added and subtracted first,
which leaves cosines and sines of a quarter of the terms.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.fft

from mapsort.array_types import Complex64, Float32
from mapsort.engines.chunks import chunk_ranges

#: Complex numbers that are worked on together, so that they stay in the nearest memory.
_AT_ONCE = 65_536


@dataclass(frozen=True)
class CubeTransforms:
    """Transforms of a grid's maps, frequencies centred along z and y and from 0 along x."""

    #: Edge of the grid; odd.
    side: int
    #: Farthest point of the cube along each axis.
    reach: int
    #: Radius of the ball [grid points of Fourier space]: what is beyond counts as 0.
    radius: int
    n_threads: int = 1

    @property
    def _half(self) -> int:
        return self.side // 2

    @cached_property
    def _tables(self) -> tuple[Float32, Float32]:
        """Cosines and sines of places from 0 to reach, by frequencies from 0 to half."""
        turns = np.outer(np.arange(self.reach + 1), np.arange(self._half + 1)) % self.side
        angle = 2 * np.pi / self.side * turns
        return np.cos(angle).astype(np.float32), np.sin(angle).astype(np.float32)

    def to_cube(self, volumes: Complex64) -> Float32:
        """Return maps (c, c, c, q) in the cube of transforms (side, side, side // 2 + 1, q)."""
        side, half, q = self.side, self._half, volumes.shape[3]
        lines = np.zeros((2 * self.reach + 1, side, half + 1, q), np.complex64)
        for rows, extent in self._rows(q):
            part = volumes[half - extent : half + extent + 1, rows, : extent + 1]
            lines[:, rows, : extent + 1] = self._to_places(part)
        part = np.empty((2 * self.reach + 1, 2 * self.reach + 1, half + 1, q), np.complex64)
        for planes in self._planes(q):
            part[planes] = self._to_places(lines[planes].swapaxes(0, 1)).swapaxes(0, 1)
        maps = scipy.fft.irfft(part, n=side, axis=2, workers=self.n_threads)
        maps = np.take(maps, np.arange(-self.reach, self.reach + 1) % side, axis=2)
        maps *= np.float32(1 / side**2)
        return maps

    def of_cube(self, maps: Float32) -> Complex64:
        """Return the transforms of maps (c, c, c, q) that are zero outside the cube."""
        side, half, q = self.side, self._half, maps.shape[3]
        padded = np.zeros((*maps.shape[:2], side, q), np.float32)
        padded[:, :, np.arange(-self.reach, self.reach + 1) % side] = maps
        part = np.asarray(scipy.fft.rfft(padded, axis=2, workers=self.n_threads), np.complex64)
        lines = np.empty((2 * self.reach + 1, side, half + 1, q), np.complex64)
        for planes in self._planes(q):
            lines[planes] = self._to_frequencies(part[planes].swapaxes(0, 1), half).swapaxes(0, 1)
        whole = np.zeros((side, side, half + 1, q), np.complex64)
        for rows, extent in self._rows(q):
            found = self._to_frequencies(lines[:, rows, : extent + 1], extent)
            whole[half - extent : half + extent + 1, rows, : extent + 1] = found
        return whole

    def _rows(self, q: int) -> Iterator[tuple[slice, int]]:
        """Yield some rows along y, and how far the ball extends there along z and x."""
        length = max(1, _AT_ONCE // (self.side * (self._half + 1) * q))
        for rows in chunk_ranges(self.side, length):
            nearest = max(rows.start - self._half, self._half - rows.stop + 1, 0)
            if nearest <= self.radius:
                yield rows, min(max(math.isqrt(self.radius**2 - nearest**2), 1), self._half)

    def _planes(self, q: int) -> list[slice]:
        """Return ranges of the cube's planes."""
        length = max(1, _AT_ONCE // (self.side * (self._half + 1) * q))
        return chunk_ranges(2 * self.reach + 1, length)

    def _to_places(self, part: Complex64) -> Complex64:
        """Sum frequencies -f to f along the first axis, for each place of the cube."""
        last = len(part) // 2
        cosine, sine = (table[:, : last + 1] for table in self._tables)
        return _turned(part, cosine, sine, 1)

    def _to_frequencies(self, part: Complex64, last: int) -> Complex64:
        """Sum places of the cube along the first axis, for each frequency from -last to last."""
        cosine, sine = (table[:, : last + 1].T for table in self._tables)
        return _turned(part, cosine, sine, -1)


def _turned(part: Complex64, cosine: Float32, sine: Float32, sign: int) -> Complex64:
    """Return sums of (2 f + 1, ..) at (2 g + 1, ..) times exp(sign i angle), 0 being in the middle.

    cosine and sine (g + 1, f + 1) of the angles from 0 on.
    """
    middle, ahead = len(part) // 2, len(cosine) - 1
    up, down = part[middle + 1 :], part[:middle][::-1]
    even = np.empty((middle + 1, *part.shape[1:]), np.complex64)
    even[0] = part[middle]
    np.add(up, down, out=even[1:])
    same = _product(cosine, even)
    across = _product(sine[1:, 1:], up - down) * np.complex64(sign * 1j)
    found = np.empty((2 * ahead + 1, *part.shape[1:]), np.complex64)
    found[ahead] = same[0]
    np.add(same[1:], across, out=found[ahead + 1 :])
    np.subtract(same[1:], across, out=found[:ahead][::-1])
    return found


def _product(table: Float32, values: Complex64) -> Complex64:
    """Return table (g, f) times complex values (f, ..), contiguous."""
    shape = values.shape[1:]
    # not -1: there may be nothing
    flat = values.reshape(len(values), math.prod(shape)).view(np.float32)
    return (np.ascontiguousarray(table) @ flat).view(np.complex64).reshape(len(table), *shape)
