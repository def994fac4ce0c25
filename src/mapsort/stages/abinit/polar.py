"""Particles and slices on rings: in-plane rotation is a phase of their angular orders."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
import scipy.fft

from mapsort import _core
from mapsort.array_types import Complex64, Float32, Float64, Indices
from mapsort.stages.components.band import Band, BandParticles
from mapsort.stages.components.observed import power_of
from mapsort.stages.components.slice_grid import FINENESS, SliceGrid

#: Rings of coefficients beyond the last one that is interpolated from them.
BEYOND = 2
#: Images lie within a square of this edge, and a point of them spread by their transfer within one
#: of the other [boxes].
_IMAGE, _SPREAD = 0.9, 0.7
#: What interpolation takes for noise, as a part of the power of what it interpolates: little
#: enough to leave errors of a hundredth, and as much as keeps its equations well-posed.
_DOUBT = 1e-3
#: Resolutions whose interpolation is kept: those of a search.
_KEPT = 16


@dataclass(frozen=True)
class PolarGrid(SliceGrid):
    """The grid whose slices are rings 1 to ``rings``, half of each: (rings, angles / 2) points."""

    #: Points of a whole ring; even.
    angles: int = 32

    @property
    def half_angles(self) -> int:
        """Points of half a ring; the others are Friedel mates."""
        return self.angles // 2

    @property
    def n_points(self) -> int:
        """Points of a slice."""
        return self.rings * self.half_angles

    @cached_property
    def points(self) -> Float64:
        """Frequencies of the points in Fourier pixels of the box, (rings * angles / 2, 2)."""
        return _points(self.rings, self.angles)

    def _plan(self, rotations: Float64) -> _core.LinearSlices:
        plan = _core.LinearSlices((FINENESS * self.points).astype(np.float32), self.side)
        plan.set_views(np.ascontiguousarray(rotations))
        return plan

    def polar_slices(self, volumes: Complex64, rotations: Float64) -> Complex64:
        """Return slices of several maps, (q k, rings, angles / 2): the views of each map in turn.

        Parameters
        ----------
        volumes : ndarray of shape (voxels, q), complex64
        rotations : ndarray of shape (k, 3, 3)
        """
        slices = np.moveaxis(self.slices(volumes, rotations), -1, 0)
        return np.ascontiguousarray(slices).reshape(-1, self.rings, self.half_angles)

    def particles(self, particles: BandParticles, rows: Indices) -> PolarParticles:
        """Return some particles on the rings.

        Transforms and transfer are interpolated each by itself, and multiplied there: what a map
        leaves of a particle is then a square, and the noise is that of the transform. Their product
        has twice the extent in real space, more than the interpolation holds; and transfer that
        goes up and down within a ring has no mean about it that fits what is on it.
        """
        n_known = self.band.n_points(self.rings + BEYOND)
        real, imaginary, spread = _interpolation(self.band, self.rings, self.angles)
        spectra = np.asarray(particles.spectra[rows, :n_known])
        seen = np.empty((len(rows), self.n_points), np.complex64)
        seen.real = np.ascontiguousarray(spectra.real) @ real
        seen.imag = np.ascontiguousarray(spectra.imag) @ imaginary
        transfer = np.asarray(particles.transfer[rows, :n_known]) @ spread
        by_ring = (len(rows), self.rings, self.half_angles)
        return PolarParticles(
            data=(seen * transfer).reshape(by_ring),
            transfer_power=np.square(transfer).reshape(by_ring).mean(axis=2),
            power=power_of(seen).reshape(by_ring).mean(axis=2),
        )


def _points(rings: int, angles: int) -> Float64:
    turn = 2 * np.pi * np.arange(angles // 2) / angles
    circle = np.stack([np.cos(turn), np.sin(turn)], axis=1)
    radius = np.arange(1, rings + 1)
    return np.asarray((radius[:, None, None] * circle).reshape(-1, 2))


@lru_cache(maxsize=_KEPT)
def _interpolation(band: Band, rings: int, angles: int) -> tuple[Float32, Float32, Float32]:
    """Return what makes the points' real and imaginary parts, and transfer, (m, points) each.

    Kept: its equations take the time of some hundred particles, and every round asks for it.
    """
    known = band.frequencies[: band.n_points(rings + BEYOND)].astype(np.float64)
    points = _points(rings, angles)
    kinds = ((_IMAGE, 1), (_IMAGE, -1), (_SPREAD, 1))
    real, imaginary, spread = (_kriging(known, points, *kind) for kind in kinds)
    return real, imaginary, spread


def _kriging(known: Float64, points: Float64, extent: float, mate: int) -> Float32:
    """Return what makes values at the points of those of known coefficients, (m, points).

    The expected value of what is anything within a square of real space, given the coefficients
    and their Friedel mates: it needs neither the origin, which a band does not hold, nor rings
    far beyond.

    Parameters
    ----------
    known, points : ndarray of shape (m, 2) and (points, 2)
        Frequencies.
    extent : float
        Edge of the square [boxes].
    mate : int
        What a Friedel mate is of a coefficient: 1 of real parts, -1 of imaginary ones.
    """

    def alike(places: Float64) -> Float64:
        at, mates = (
            np.prod(np.sinc(extent * (own[:, None] - places)), axis=2) for own in (known, -known)
        )
        return np.asarray(at + mate * mates)

    among = alike(known) + _DOUBT * np.eye(len(known))
    return np.linalg.solve(among, alike(points)).astype(np.float32)


@dataclass(frozen=True)
class PolarParticles:
    """Some particles on rings."""

    #: Their transforms times their contrast transfer, (n, rings, angles / 2).
    data: Complex64
    #: Mean square of the transfer over each ring, (n, rings).
    transfer_power: Float32
    #: Mean power of the transforms themselves, (n, rings).
    power: Float32

    def __len__(self) -> int:
        return len(self.data)


def orders_of(half: Complex64) -> Complex64:
    """Return angular orders 0 to angles / 2 of half rings (..., angles / 2), the orders last."""
    count = half.shape[-1]
    rings = np.concatenate([half, half.conj()], axis=-1)
    found = scipy.fft.fft(rings, axis=-1, overwrite_x=True)[..., : count + 1]
    return np.asarray(found * np.float32(0.5 / count))


def half_rings(orders: Complex64) -> Complex64:
    """Return half rings (..., angles / 2) of angular orders (angles / 2 + 1, ...)."""
    count = len(orders) - 1
    number = np.arange(1, count).reshape(-1, *(1,) * (orders.ndim - 1))
    mates = orders[1:count].conj() * np.where(number % 2, -1, 1).astype(np.float32)
    whole = np.concatenate([orders, mates[::-1]])
    found = scipy.fft.ifft(whole, axis=0, overwrite_x=True)[:count] * np.float32(2 * count)
    return np.ascontiguousarray(np.moveaxis(found, 0, -1))
