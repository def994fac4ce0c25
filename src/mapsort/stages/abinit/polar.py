"""Particles and slices on rings: in-plane rotation is a phase of their angular orders."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.fft

from mapsort import _core
from mapsort.array_types import Complex64, Float32, Float64, Indices
from mapsort.stages.components.band import BandParticles
from mapsort.stages.components.observed import power_of
from mapsort.stages.components.slice_grid import FINENESS, SliceGrid

#: Rings of coefficients beyond the last one that is interpolated from them.
BEYOND = 2
#: Real space is weighted with 1 up to this distance [boxes] on each axis, then softly to 0 at the
#: edge: interpolation in Fourier space needs fewer neighbours then.
_FLAT = 0.4


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
        turn = 2 * np.pi * np.arange(self.half_angles) / self.angles
        circle = np.stack([np.cos(turn), np.sin(turn)], axis=1)
        radius = np.arange(1, self.rings + 1)
        return np.asarray((radius[:, None, None] * circle).reshape(-1, 2))

    def _plan(self, rotations: Float64) -> _core.LinearSlices:
        plan = _core.LinearSlices((FINENESS * self.points).astype(np.float32), self.side)
        plan.set_views(np.ascontiguousarray(rotations), n_threads=self.n_threads)
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

    @cached_property
    def _interpolation(self) -> tuple[Float32, Float32]:
        """What makes the points' real and imaginary parts of the coefficients', (m, points)."""
        band = self.band
        size = 8 * (self.rings + BEYOND)
        place = (np.arange(size + 1) - size // 2) / size
        weight = np.clip((0.5 - np.abs(place)) / (0.5 - _FLAT), 0.0, 1.0)
        weight = 0.5 - 0.5 * np.cos(np.pi * weight)
        most = self.rings + BEYOND
        # along each axis few frequencies differ
        apart = np.arange(-most, most + 1)[:, None, None] - self.points
        along = np.cos(2 * np.pi * apart[..., None] * place) @ weight / size
        x, y = np.rint(band.frequencies[: band.n_points(most)].T).astype(np.intp)
        own, mates = (
            along[most + sign * x, :, 0] * along[most + sign * y, :, 1] for sign in (1, -1)
        )
        return (own + mates).astype(np.float32), (own - mates).astype(np.float32)

    def particles(self, particles: BandParticles, rows: Indices) -> PolarParticles:
        """Return some particles on the rings.

        The origin, which a band does not hold, counts as 0: contrast transfer leaves little there.
        """
        n_known = self.band.n_points(self.rings + BEYOND)
        transfer = np.asarray(particles.transfer[rows, :n_known])
        spectra = np.asarray(particles.spectra[rows, :n_known])
        return PolarParticles(
            data=self._on_rings(spectra * transfer),
            transfer_power=transfer**2 @ self._circle_means,
            power=power_of(self._on_rings(spectra)).mean(axis=2),
        )

    def _on_rings(self, spectra: Complex64) -> Complex64:
        real, imaginary = self._interpolation
        found = np.empty((len(spectra), self.n_points), np.complex64)
        found.real = np.ascontiguousarray(spectra.real) @ real
        found.imag = np.ascontiguousarray(spectra.imag) @ imaginary
        return found.reshape(len(spectra), self.rings, self.half_angles)

    @cached_property
    def _circle_means(self) -> Float32:
        """What makes means over the circles of the coefficients' values, (m, rings).

        Exact for what goes with the radius as a parabola does: the plain mean of the coefficients
        of ring 2 is a fifth too high of what rises as steeply as transfer does there.
        """
        band, found = self.band, []
        radius = np.hypot(*band.frequencies[: band.n_points(self.rings + BEYOND)].T)
        for ring in range(1, self.rings + 1):
            apart = radius - ring
            near = np.flatnonzero(np.abs(apart) <= 1.0 + 1e-6)
            powers = apart[near] ** np.arange(3)[:, None]
            weights = np.zeros(len(radius))
            weights[near] = np.linalg.pinv(powers)[:, 0]
            found.append(weights)
        return np.asarray(np.stack(found, axis=1), np.float32)


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
    return np.asarray(found / np.float32(2 * count))


def half_rings(orders: Complex64) -> Complex64:
    """Return half rings (..., angles / 2) of angular orders (angles / 2 + 1, ...)."""
    count = len(orders) - 1
    number = np.arange(1, count).reshape(-1, *(1,) * (orders.ndim - 1))
    mates = orders[1:count].conj() * np.where(number % 2, -1, 1).astype(np.float32)
    whole = np.concatenate([orders, mates[::-1]])
    found = scipy.fft.ifft(whole, axis=0, overwrite_x=True)[:count] * np.float32(2 * count)
    return np.ascontiguousarray(np.moveaxis(found, 0, -1))
