"""Subtract a part of a map from particles: what it looks like at their poses, under their CTF."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mapsort.array_types import Float32, Float64, Int64
from mapsort.physics.fourier_projection import FourierProjector
from mapsort.stages.fourier_grid import centred_images, shift_images


@dataclass(frozen=True, kw_only=True)
class PosedParticles:
    """Where n particles lie, and how they were seen."""

    #: Object to view, (n, 3, 3).
    rotations: Float64
    #: Shift that centres each particle [pixels], (n, 2).
    origins: Float64
    #: Gives the contrast transfer functions of a range, (m, box, box//2+1), or None.
    transfer: Callable[[slice], Float32 | None]

    def images(self, projector: FourierProjector, where: slice, *, n_threads: int = 1) -> Float32:
        """Return what a map looks like to the particles of a range, (m, box, box)."""
        slices = projector.cartesian(self.rotations[where], n_threads=n_threads)
        shift_images(slices, -self.origins[where])
        transfer = self.transfer(where)
        if transfer is not None:
            slices *= transfer
        return centred_images(slices, projector.box, n_threads=n_threads)


class ScaleFit:
    """Least squares: how many times a map's images are in the particles, but for their mean."""

    def __init__(self) -> None:
        self._cross = self._power = self._total = 0.0
        self._pixels = 0

    def add(self, images: Float32, predicted: Float32) -> None:
        """Count some images, (n, box, box), and what the map predicts of them."""
        seen, expected = (
            values - values.mean(axis=(1, 2), keepdims=True) for values in (images, predicted)
        )
        self._cross += float(np.sum(seen * expected, dtype=np.float64))
        self._power += float(np.sum(expected * expected, dtype=np.float64))
        self._total += float(np.sum(seen * seen, dtype=np.float64))
        self._pixels += images.size

    @property
    def scale(self) -> float:
        """The scale; negative where density is dark in the images."""
        return self._cross / max(self._power, np.finfo(np.float64).tiny)

    @property
    def error(self) -> float:
        """Its standard error, all of the images taken as noise."""
        tiny = np.finfo(np.float64).tiny
        return float(np.sqrt(self._total / max(self._pixels * self._power, tiny)))


def windows(images: Float32, places: Int64, box: int) -> Float32:
    """Cut windows out of images, each about a place of its own.

    Parameters
    ----------
    images : ndarray of shape (n, size, size)
    places : ndarray of shape (n, 2), int64
        x and y of the pixel that comes to box//2, from the one at size//2.
    box : int
        Edge of the windows. What lies beyond an edge comes from the opposite one.

    Returns
    -------
    ndarray of shape (n, box, box)
    """
    size = images.shape[1]
    along = np.arange(box) - box // 2 + size // 2
    x, y = ((places[:, axis, None] + along) % size for axis in (0, 1))
    every = np.arange(len(images))[:, None, None]
    return np.asarray(images[every, y[:, :, None], x[:, None, :]], dtype=np.float32)


def volume_window(volume: Float32, place: Int64, box: int) -> Float32:
    """Cut a cube out of a map as `windows` does of images, about a voxel (x, y, z)."""
    size = len(volume)
    along = np.arange(box) - box // 2 + size // 2
    x, y, z = ((step + along) % size for step in place)
    return np.ascontiguousarray(volume[np.ix_(z, y, x)])


def new_places(posed: PosedParticles, centre: Int64) -> tuple[Int64, Float64]:
    """Return where windows about a voxel of the map lie, and the particles' origins there.

    Parameters
    ----------
    centre : ndarray of shape (3,), int64
        x, y, z of the voxel from the map's centre.

    Returns
    -------
    places : ndarray of shape (n, 2), int64
        As `windows` takes them.
    origins : ndarray of shape (n, 2), float64
        Less than a pixel [pixels]: for a map about that voxel.
    """
    seen = (posed.rotations @ centre)[:, :2] - posed.origins
    places = np.rint(seen).astype(np.int64)
    return places, places - seen
