"""Soft assignment: particles to views, in-plane angles and shifts of all maps at once.

With the noise N(0, s_r^2) of ring r and half a plane counted, the log likelihood of a pose is
``sum_r pi r mean_ring(2 Re(conj(X) C P) - C^2 |P|^2) / s_r^2`` and what no pose changes. The sum
over rings is a matrix product for each angular order; all in-plane angles are one short transform.

Views and shifts are the same for all particles, or each particle's own: their arrays begin with an
axis of length g, which is 1 or the number of particles.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from mapsort import _core
from mapsort.array_types import Complex64, Float32, Float64, Indices
from mapsort.stages.abinit.junk import ALL_PARTICLES, Kinds, Prior, told_apart, without_map
from mapsort.stages.abinit.polar import PolarGrid, PolarParticles, half_rings, orders_of
from mapsort.stages.components.observed import power_of

#: Poses that are less likely than the best by more than this [nat] count as this: e^-40 is nothing.
_LEAST = -40.0
#: Nor do views count, in the sums, that have no more than this part of any particle.
_LEAST_SHARE = 1e-5


@dataclass(frozen=True)
class Poses:
    """The poses that particles are tried in, but for in-plane angles."""

    #: Views, object to view, of all maps (q is 1) or of each, (g, q, v, 3, 3).
    rotations: Float64
    #: Shifts that centre a particle, x before y [pixels], (g, s, 2).
    origins: Float64
    #: Logarithm of their probability, (g, s).
    origin_prior: Float64


@dataclass(frozen=True)
class Slices:
    """Slices of maps, and what is known of their noise."""

    grid: PolarGrid
    #: The views of each map in turn, (g, K v, rings, angles / 2).
    data: Complex64
    #: Logarithm of the probability of each, (K v,).
    prior: Float64
    #: Mean power of the noise of a particle's transform, within its circle, (rings,).
    noise: Float64
    #: Part of the noise's power that the circle about the particle leaves: of so many coefficients
    #: as well are the others independent.
    circle: float
    #: Of images, before they are looked at.
    kinds: Prior = ALL_PARTICLES

    @property
    def weight(self) -> Float32:
        """What a ring's mean counts: its coefficients of half a plane, over the noise."""
        return ring_weight(self.noise, self.circle)

    @property
    def power(self) -> Float32:
        """Mean power of each ring, (g, K v, rings)."""
        return np.asarray(power_of(self.data).mean(axis=-1), np.float32)


def ring_weight(noise: Float64, circle: float) -> Float32:
    """Return what the mean over each ring counts in the log likelihood, (rings,)."""
    radius = np.arange(1, len(noise) + 1)
    return np.asarray(np.pi * circle * radius / noise, np.float32)


@dataclass(frozen=True)
class Sums:
    """What a batch of particles adds to the maps; sums of several batches add up."""

    #: Particles times their transfer, in each view, by probability, (g, K v, rings, angles / 2).
    numerator: Complex64
    #: Squared transfer, likewise, (g, K v, rings).
    density: Float32
    #: Power that the slices leave of the particles, and the noise's of junk, expected, (rings,).
    residual: Float64
    #: Particles in each view of each map, (g, K v).
    share: Float64
    #: Squared shifts, along both axes [pixels^2].
    shift_square: float
    likelihood: float
    #: How much likelier each is as a particle than as junk, (n,) [nat].
    odds: Float64
    #: Images.
    count: int

    def __add__(self, other: Sums) -> Sums:
        names = [item.name for item in fields(self) if item.name != "odds"]
        added = {name: getattr(self, name) + getattr(other, name) for name in names}
        return Sums(**added, odds=np.concatenate([self.odds, other.odds]))

    @property
    def mean_shift_square(self) -> float:
        """Of the particles; 0 if there are none [pixels^2]."""
        return self.shift_square / max(float(self.share.sum()), float(np.finfo(float).tiny))

    @property
    def misfit(self) -> float:
        """Log likelihood that half of the images lose by the maps' errors [nat]."""
        return max(0.0, -float(np.median(self.odds))) if len(self.odds) else 0.0


@dataclass(frozen=True)
class Scored:
    """Particles against all poses."""

    #: Log likelihood of each pose, but for ``constant``, (n, s, angles, K v).
    score: Float32
    #: Of the particles, shifted, (angles / 2 + 1, n, s, rings).
    orders: Complex64
    #: (n,).
    constant: Float64


def scored(particles: PolarParticles, slices: Slices, poses: Poses) -> Scored:
    """Compare particles with slices in all poses."""
    grid = slices.grid
    phase = (2 * np.pi / grid.band.box) * (poses.origins @ grid.points.T).astype(np.float32)
    # a particle centred by the origin o is its transform times exp(-2 pi i k.o / box)
    turns = np.empty(phase.shape, np.complex64)
    turns.real, turns.imag = np.cos(phase), -np.sin(phase)
    turns = turns.reshape(*phase.shape[:2], grid.rings, -1)
    moved = orders_of(particles.data[:, None] * turns)
    orders = np.ascontiguousarray(np.moveaxis(moved, -1, 0))
    weighted = orders_of(slices.data) * (2 * slices.weight)[:, None]
    views = np.ascontiguousarray(np.transpose(weighted, (3, 0, 2, 1)))
    kept = (particles.transfer_power * slices.weight)[:, None] @ np.swapaxes(slices.power, 1, 2)
    same = poses.origin_prior[..., None] + (slices.prior - kept)
    score = _core.score_poses(orders=orders, views=views, same=same.astype(np.float32))
    constant = without_map(particles.power, slices.noise, slices.circle) - np.log(grid.angles)
    return Scored(score, orders, constant)


@dataclass(frozen=True)
class Chances:
    """How probable poses are, the likeliest pose of each particle having 1."""

    #: (n, s, angles, K v).
    pose: Float32
    #: Sums over angles, (n, s, K v).
    sums: Float32
    #: Log likelihood over all poses, (n,) [nat].
    evidence: Float64


def chances(found: Scored) -> Chances:
    """Return how probable poses are, in the place of their scores."""
    top, sums = _core.pose_chances(found.score, least=_LEAST)
    total = sums.sum(axis=(1, 2), dtype=np.float64)
    return Chances(found.score, sums, top + np.log(total) + found.constant)


@dataclass(frozen=True)
class Best:
    """Each particle's likeliest pose in each map."""

    #: The likelier, the higher, (n, K): of use among the maps of one particle.
    score: Float64
    #: (n, K, 3, 3).
    rotations: Float64
    #: [pixels], (n, K, 2).
    origins: Float64
    #: Probability that there is no particle, (n,).
    junk: Float64

    @property
    def likeliest(self) -> tuple[Indices, Float64, Float64]:
        """Each particle's likeliest map, from 0, (n,), its view (n, 3, 3) and origin (n, 2)."""
        number = self.score.argmax(axis=1)
        each = np.arange(len(number))
        return number, self.rotations[each, number], self.origins[each, number]

    def of(self, rows: Indices) -> Best:
        """Return those of some particles."""
        return Best(*(getattr(self, item.name)[rows] for item in fields(self)))

    @staticmethod
    def joined(parts: list[Best]) -> Best:
        """Return those of all, in order."""
        names = [item.name for item in fields(Best)]
        return Best(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


def best_poses(score: Float32, poses: Poses, junk: Float64 | None = None) -> Best:
    """Return likeliest poses.

    Parameters
    ----------
    score : ndarray of shape (n, s, angles, K v), float32
        Scores or probabilities of the views of each map in turn.
    junk : ndarray of shape (n,), optional
        Probability that there is no particle; by default 0.
    """
    n, n_origins, angles, count = score.shape
    own_views, maps, views = poses.rotations.shape[:3]
    by_map = np.moveaxis(score.reshape(n, n_origins, angles, count // views, views), 3, 1)
    flat = by_map.reshape(n, count // views, -1)
    best = flat.argmax(axis=2)
    origin, angle, view = np.unravel_index(best, by_map.shape[2:])
    turn = 2 * np.pi * angle / angles
    in_plane = np.zeros((*best.shape, 3, 3))
    in_plane[..., 0, 0] = in_plane[..., 1, 1] = np.cos(turn)
    in_plane[..., 0, 1], in_plane[..., 1, 0] = np.sin(turn), -np.sin(turn)
    in_plane[..., 2, 2] = 1.0
    own = np.arange(n)[:, None]
    number = np.arange(count // views) % maps
    return Best(
        np.take_along_axis(flat, best[..., None], axis=2)[..., 0].astype(np.float64),
        in_plane @ poses.rotations[own % own_views, number, view],
        poses.origins[own % len(poses.origins), origin],
        np.zeros(n) if junk is None else junk,
    )


def expected(particles: PolarParticles, slices: Slices, poses: Poses) -> Sums:
    """Return what particles add to the maps, by the probabilities of their poses.

    Views that are each particle's own have sums of their own.
    """
    found = scored(particles, slices, poses)
    chance = chances(found)
    kinds = told_kinds(particles, slices, chance)
    return sums_of(particles, slices, poses, found.orders, chance, kinds)


def told_kinds(particles: PolarParticles, slices: Slices, chance: Chances) -> Kinds:
    """Tell particles from junk by all poses."""
    return told_apart(chance.evidence, particles.power, slices.noise, slices.circle, slices.kinds)


def sums_of(
    particles: PolarParticles,
    slices: Slices,
    poses: Poses,
    orders: Complex64,
    chance: Chances,
    kinds: Kinds,
) -> Sums:
    """Return the sums of particles by the probabilities of their poses.

    Parameters
    ----------
    orders : ndarray of shape (angles / 2 + 1, n, s, rings), complex64
        Of the particles, shifted, as of `Scored`.
    """
    n, _, n_views = chance.sums.shape
    own, grid = len(slices.data), slices.grid
    particle = 1.0 - kinds.junk
    by_view = chance.sums.sum(axis=1)
    part = particle.astype(np.float32) / by_view.sum(axis=1)
    by_view = (by_view * part[:, None]).reshape(own, n // own, n_views)
    # of many views most have next to nothing of any of the particles
    seen = np.flatnonzero(by_view.max(axis=(0, 1)) > _LEAST_SHARE).astype(np.int32)
    mixed = _core.mix_poses(
        chances=chance.pose,
        sums=chance.sums,
        orders=orders * part[:, None, None],
        seen=seen,
        each=own > 1,
    )
    numerator = np.zeros((own, n_views, grid.rings, grid.half_angles), np.complex64)
    numerator[:, seen] = half_rings(mixed)
    transfer = particles.transfer_power.reshape(own, n // own, -1)
    density = np.swapaxes(by_view, 1, 2) @ transfer
    agreed = (numerator.conj() * slices.data).real.mean(axis=3).sum(axis=(0, 1), dtype=np.float64)
    kept = np.sum(density * slices.power, axis=(0, 1), dtype=np.float64)
    noise = kinds.junk_noise.sum(axis=0)
    by_origin = chance.sums.sum(axis=2, dtype=np.float64) * part[:, None]
    return Sums(
        numerator=numerator,
        density=density,
        residual=particle @ particles.power + noise - 2 * agreed + kept,
        share=by_view.sum(axis=1, dtype=np.float64),
        shift_square=float(np.sum(by_origin * np.sum(poses.origins**2, axis=2))),
        likelihood=float(kinds.log_likelihood.sum()),
        odds=kinds.odds,
        count=n,
    )
