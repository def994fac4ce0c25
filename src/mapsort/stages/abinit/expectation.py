"""Soft assignment: each particle to all views, in-plane angles and shifts of all maps at once.

With the noise N(0, s_r^2) of ring r and half a plane counted, the log likelihood of a pose is
``sum_r pi r mean_ring(2 Re(conj(X) C P) - C^2 |P|^2) / s_r^2`` and what no pose changes. The sum
over rings is a matrix product for each angular order; all in-plane angles are one short transform.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import scipy.fft

from mapsort.array_types import Complex64, Float32, Float64, Indices
from mapsort.stages.abinit.polar import PolarGrid, PolarParticles, half_rings, orders_of
from mapsort.stages.components.observed import power_of

#: Poses that are less likely than the best by more than this [nat] count as this: e^-40 is nothing.
_LEAST = -40.0


@dataclass(frozen=True)
class Poses:
    """The poses that particles are tried in, but for in-plane angles.

    Attributes
    ----------
    rotations : ndarray of shape (d, 3, 3), float64
        Views: object to view.
    origins : ndarray of shape (s, 2), float64
        Shifts that centre a particle, x before y [pixels].
    origin_prior : ndarray of shape (s,), float64
        Logarithm of their probability.
    """

    rotations: Float64
    origins: Float64
    origin_prior: Float64

    def __len__(self) -> int:
        return len(self.rotations) * len(self.origins)


@dataclass(frozen=True)
class Slices:
    """Slices of K maps at d views, and what is known of their noise.

    Attributes
    ----------
    data : ndarray of shape (K d, rings, angles / 2), complex64
    prior : ndarray of shape (K d,), float64
        Logarithm of the probability of each.
    noise : ndarray of shape (rings,), float64
        Mean power of the noise of a particle's transform, within its circle.
    circle : float
        Part of the noise's power that the circle about the particle leaves: of so many coefficients
        as well are the others independent.
    """

    grid: PolarGrid
    data: Complex64
    prior: Float64
    noise: Float64
    circle: float

    @property
    def weight(self) -> Float32:
        """What a ring's mean counts: its coefficients of half a plane, over the noise."""
        return ring_weight(self.noise, self.circle)

    @property
    def power(self) -> Float32:
        """Mean power of each ring, (K d, rings)."""
        return np.asarray(power_of(self.data).mean(axis=2), np.float32)


def ring_weight(noise: Float64, circle: float) -> Float32:
    """Return what the mean over each ring counts in the log likelihood, (rings,)."""
    radius = np.arange(1, len(noise) + 1)
    return np.asarray(np.pi * circle * radius / noise, np.float32)


def without_map(power: Float32, noise: Float64, circle: float) -> Float64:
    """Return the log likelihood of particles that hold nothing but noise, (n,) [nat].

    Parameters
    ----------
    power : ndarray of shape (n, rings)
    noise : ndarray of shape (rings,)
    """
    radius = np.arange(1, len(noise) + 1)
    normal = np.pi * circle * float(np.sum(radius * np.log(noise)))
    return np.asarray(-(power.astype(np.float64) @ ring_weight(noise, circle)) - normal)


@dataclass(frozen=True)
class Sums:
    """What a batch of particles adds to the maps; sums of several batches add up.

    Attributes
    ----------
    numerator : ndarray of shape (K d, rings, angles / 2), complex64
        Particles times their transfer, in each view, by probability.
    density : ndarray of shape (K d, rings), float32
        Squared transfer, likewise.
    residual : ndarray of shape (rings,), float64
        Power that the slices leave of the particles, expected.
    share : ndarray of shape (K d,), float64
        Particles in each view of each map.
    shift_square : float
        Squared shifts, along both axes [pixels^2].
    count : int
        Particles.
    """

    numerator: Complex64
    density: Float32
    residual: Float64
    share: Float64
    shift_square: float
    likelihood: float
    count: int

    def __add__(self, other: Sums) -> Sums:
        names = [item.name for item in fields(self)]
        return Sums(**{name: getattr(self, name) + getattr(other, name) for name in names})


@dataclass(frozen=True)
class Scored:
    """Particles against all poses.

    Attributes
    ----------
    score : ndarray of shape (angles, n, s, K d), float32
        Log likelihood of each pose, but for ``constant``.
    orders : ndarray of shape (angles / 2 + 1, n s, rings), complex64
        Of the particles, shifted.
    constant : ndarray of shape (n,), float64
    """

    score: Float32
    orders: Complex64
    constant: Float64


def scored(particles: PolarParticles, slices: Slices, poses: Poses) -> Scored:
    """Compare particles with all slices in all poses."""
    grid, n, n_shifts = slices.grid, len(particles), len(poses.origins)
    phase = (2 * np.pi / grid.band.box) * (poses.origins @ grid.points.T)
    # a particle centred by the origin o is its transform times exp(-2 pi i k.o / box)
    turns = np.exp(-1j * phase).astype(np.complex64).reshape(n_shifts, grid.rings, -1)
    moved = orders_of(particles.data[:, None] * turns)
    orders = np.ascontiguousarray(np.moveaxis(moved, -1, 0)).reshape(-1, n * n_shifts, grid.rings)
    weighted = orders_of(slices.data) * (2 * slices.weight)[:, None]
    product = orders.conj() @ np.ascontiguousarray(np.transpose(weighted, (2, 1, 0)))
    score = scipy.fft.irfft(product, n=grid.angles, axis=0, overwrite_x=True)
    score = score.reshape(grid.angles, n, n_shifts, -1)
    score *= np.float32(grid.angles)
    norm = (particles.transfer_power * slices.weight) @ slices.power.T
    score -= (norm - slices.prior.astype(np.float32))[None, :, None, :]
    score += poses.origin_prior.astype(np.float32)[:, None]
    constant = without_map(particles.power, slices.noise, slices.circle) - np.log(grid.angles)
    return Scored(score, orders, constant)


def probabilities(found: Scored) -> tuple[Float32, Float64]:
    """Return the probability of each pose, in the place of the scores, and the log evidence (n,).

    Parameters
    ----------
    found : Scored
        Whose scores are overwritten.
    """
    score = found.score
    top = score.max(axis=(0, 2, 3))
    score -= top[:, None, None]
    np.maximum(score, np.float32(_LEAST), out=score)
    np.exp(score, out=score)
    total = score.sum(axis=(0, 2, 3), dtype=np.float64)
    score /= total.astype(np.float32)[:, None, None]
    return score, top + np.log(total) + found.constant


def likelihoods(particles: PolarParticles, slices: Slices, poses: Poses) -> Float64:
    """Return each particle's log likelihood over all poses, (n,) [nat]."""
    return probabilities(scored(particles, slices, poses))[1]


def best_poses(
    particles: PolarParticles, slices: Slices, poses: Poses
) -> tuple[Indices, Float64, Float64]:
    """Return each particle's likeliest pose.

    Returns
    -------
    number : ndarray of shape (n,)
        Map, from 0.
    rotations : ndarray of shape (n, 3, 3)
    origins : ndarray of shape (n, 2)
    """
    score = scored(particles, slices, poses).score
    best = np.moveaxis(score, 1, 0).reshape(len(particles), -1).argmax(axis=1)
    shape = (len(score), len(poses.origins), len(slices.data))
    angle, origin, reference = np.unravel_index(best, shape)
    turn = 2 * np.pi * angle / slices.grid.angles
    in_plane = np.zeros((len(particles), 3, 3))
    in_plane[:, 0, 0] = in_plane[:, 1, 1] = np.cos(turn)
    in_plane[:, 0, 1], in_plane[:, 1, 0] = np.sin(turn), -np.sin(turn)
    in_plane[:, 2, 2] = 1.0
    number, view = np.divmod(reference, len(poses.rotations))
    return number, in_plane @ poses.rotations[view], poses.origins[origin]


def expected(particles: PolarParticles, slices: Slices, poses: Poses) -> Sums:
    """Return what particles add to the maps, by the probabilities of their poses."""
    found = scored(particles, slices, poses)
    chance, evidence = probabilities(found)
    n, n_references = len(particles), len(slices.data)
    by_view = chance.sum(axis=(0, 2))
    by_origin = chance.sum(axis=(0, 3)).sum(axis=0, dtype=np.float64)
    waves = scipy.fft.rfft(chance.reshape(len(chance), -1, n_references), axis=0)
    numerator = half_rings(np.transpose(waves, (0, 2, 1)) @ found.orders)
    density = by_view.T @ particles.transfer_power
    agreed = (numerator.conj() * slices.data).real.mean(axis=2).sum(axis=0, dtype=np.float64)
    kept = np.sum(density * slices.power, axis=0, dtype=np.float64)
    return Sums(
        numerator=numerator,
        density=density,
        residual=particles.power.sum(axis=0, dtype=np.float64) - 2 * agreed + kept,
        share=by_view.sum(axis=0, dtype=np.float64),
        shift_square=float(by_origin @ np.sum(poses.origins**2, axis=1)),
        likelihood=float(evidence.sum()),
        count=n,
    )
