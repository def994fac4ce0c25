"""Brightness of particles: about 1 if they are the molecule, less if they are junk.

A junk image is like any map by chance, or a little by its lump; how much of a map's slice it holds
tells it from a particle better than its likelihood does. The scale is integrated out.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np

from mapsort.array_types import Bool, Float64, Indices
from mapsort.engines.chunks import Rows

#: Particles whose worth the starting values of a distribution keep while it is learnt.
PRIOR_PARTICLES = 10.0
#: Particles are never dimmer than this relative to a map of them, before the map is scaled.
LEAST_GAUGE = 1e-3
#: The more probable of two.
MORE_PROBABLE = 0.5
#: Junk is never more probable than this before an image is looked at.
MOST_JUNK = 0.9


@dataclass(frozen=True)
class ScaleDistribution:
    """Normal distribution of the scale of one kind of images, with the values it began from."""

    mean: float
    deviation: float
    #: Mean and deviation that count as some particles when it is learnt.
    start: tuple[float, float]

    def evidence(self, norm: Float64, cross: Float64) -> tuple[Float64, Float64, Float64]:
        """Integrate ``exp(cross s - norm s^2 / 2)`` over the scale s.

        Returns
        -------
        logarithm, mean and variance of s, each of the shape of ``norm``
        """
        variance = self.deviation**2
        precision = norm + 1 / variance
        mean = (cross + self.mean / variance) / precision
        log = precision * mean**2 - self.mean**2 / variance - np.log(precision * variance)
        return 0.5 * log, mean, 1 / precision

    def learnt(self, weight: Float64, mean: Float64, variance: Float64) -> ScaleDistribution:
        """Return the distribution of images of these posterior means and variances."""
        total = float(weight.sum()) + PRIOR_PARTICLES
        first, spread = self.start
        centre = (float((weight * mean).sum()) + PRIOR_PARTICLES * first) / total
        square = float((weight * ((mean - centre) ** 2 + variance)).sum())
        square += PRIOR_PARTICLES * (spread**2 + (first - centre) ** 2)
        return ScaleDistribution(centre, float(np.sqrt(square / total)), self.start)


@dataclass(frozen=True)
class Judgement:
    """What each of n images is, among K maps and junk."""

    #: (n, K).
    responsibilities: Float64
    #: Probability of junk that is like map k, (n, K); rows of both add up to 1.
    junk_like: Float64
    #: scale and square, (n, K): posterior mean of a particle's scale and of its square, for each
    #: map.
    scale: Float64
    square: Float64
    #: [nat], (n,).
    log_likelihood: Float64

    @property
    def junk(self) -> Float64:
        """Probability that each image is junk, (n,)."""
        return np.asarray(self.junk_like.sum(axis=1))

    @property
    def particles(self) -> Bool:
        """Which images are no more probably junk than not, (n,)."""
        return np.asarray(self.junk <= MORE_PROBABLE)

    @property
    def shares(self) -> Float64:
        """Of the maps among particles, (K,); none is 0."""
        counts = self.responsibilities.sum(axis=0)
        return np.asarray((counts + 1) / (counts.sum() + len(counts)))

    @property
    def labels(self) -> Indices:
        """The most probable map of each image, or K for junk, (n,)."""
        return np.asarray(np.column_stack([self.responsibilities, self.junk]).argmax(axis=1))

    def among(self, rows: Rows, n: int) -> Judgement:
        """Return these images as some of n, the rest in no class."""
        if len(self.log_likelihood) == n:
            return self

        def spread(values: Float64) -> Float64:
            every = np.zeros((n, *values.shape[1:]))
            every[rows] = values
            return every

        # not `astuple`, which copies the arrays first
        return Judgement(*(spread(getattr(self, item.name)) for item in fields(self)))

    def gauged(self, unit: float) -> Judgement:
        """Return the same with scales in another unit."""
        return replace(self, scale=self.scale / unit, square=self.square / unit**2)

    @property
    def own_scale(self) -> Float64:
        """Scale of each particle, mean over its maps, (n,)."""
        weight = self.responsibilities + 1e-9
        return np.asarray((weight * self.scale).sum(axis=1) / weight.sum(axis=1))


@dataclass(frozen=True)
class ScaleModel:
    """Scales of particles and of junk, and how many images are junk."""

    particle: ScaleDistribution = ScaleDistribution(1.0, 0.15, (1.0, 0.15))
    #: None: all images are particles.
    junk: ScaleDistribution | None = ScaleDistribution(0.4, 0.25, (0.4, 0.25))
    junk_share: float = 0.05

    @classmethod
    def start(cls, *, junk: bool) -> ScaleModel:
        """Return what is known before any image was seen."""
        return cls() if junk else cls(junk=None, junk_share=0.0)

    def judge(self, norm: Float64, cross: Float64, shares: Float64) -> Judgement:
        """Tell what images are.

        Parameters
        ----------
        norm, cross : ndarray of shape (n, K), float64
            The log likelihood of map k at the scale s is ``cross s - norm s^2 / 2``.
        shares : ndarray of shape (K,)
            Of the maps among particles.
        """
        log, scale, variance = self.particle.evidence(norm, cross)
        log = log + np.log(shares * (1 - self.junk_share))
        every = log
        if self.junk is not None:
            log_junk = self.junk.evidence(norm, cross)[0] + np.log(shares * self.junk_share)
            every = np.concatenate([log, log_junk], axis=1)
        top = every.max(axis=1, keepdims=True)
        weight = np.exp(every - top)
        total = weight.sum(axis=1, keepdims=True)
        weight /= total
        own, junk = weight[:, : norm.shape[1]], weight[:, norm.shape[1] :]
        likelihood = (top + np.log(total))[:, 0]
        return Judgement(own, junk, scale, scale**2 + variance, likelihood)

    def learnt(self, norm: Float64, cross: Float64, found: Judgement) -> ScaleModel:
        """Return the model that explains what was found."""
        spread = found.square - found.scale**2
        particle = self.particle.learnt(found.responsibilities, found.scale, spread)
        if self.junk is None:
            return ScaleModel(particle, None, 0.0)
        _, scale, variance = self.junk.evidence(norm, cross)
        junk = self.junk.learnt(found.junk_like, scale, variance)
        # junk that were as bright as particles could not be told from them
        limit = 0.7 * particle.mean
        if junk.mean > limit:
            junk = ScaleDistribution(limit, junk.deviation, junk.start)
        share = (float(found.junk_like.sum()) + 1) / (len(norm) + 20)
        return ScaleModel(particle, junk, min(share, MOST_JUNK))

    def settled(
        self, norm: Float64, cross: Float64, shares: Float64, rounds: int
    ) -> tuple[ScaleModel, Judgement]:
        """Judge and learn in turn; return the model and the last judgement."""
        model, found = self, self.judge(norm, cross, shares)
        for _ in range(rounds):
            model = model.learnt(norm, cross, found)
            found = model.judge(norm, cross, shares)
        return model, found

    def divided(self, gauge: float) -> ScaleModel:
        """Return the model of scales divided by a number."""
        particle = ScaleDistribution(1.0, self.particle.deviation / gauge, self.particle.start)
        return ScaleModel(particle, self.junk, self.junk_share)
