"""Junk: images of noise alone, or of other things than particles, whose rings hold any power.

A lump of ice or a contaminant fits no slice of a map, though it is brighter than noise. What such
things look like is not known; their power in each ring is taken to be anything from the noise's
up, all phases equally likely.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy  # its parts are loaded when they are used
import scipy.special

from mapsort.array_types import Float32, Float64

#: Power of a ring of other things over the noise's: factors of sqrt(2), which is as near as the
#: dozen coefficients of a ring tell, up to 128.
_POWERS = np.sqrt(2.0) ** np.arange(15)
#: Part of the images that is junk, at least and at most.
LEAST_JUNK, MOST_JUNK = 0.01, 0.9
#: The likelier of two kinds.
MORE_PROBABLE = 0.5


@dataclass(frozen=True)
class Prior:
    """What is known of an image before it is looked at."""

    #: Probability that there is no particle.
    junk: float = 0.0
    #: Log likelihood that particles lose because maps are not yet right [nat]. As long as they are
    #: not, most particles fit them no better than things of any power; so junk is what fits them
    #: worse than half of the images do.
    misfit: float = 0.0

    @classmethod
    def learnt(cls, junk: float, misfit: float) -> Prior:
        """Return it of what a start has learnt."""
        return cls(min(max(junk, LEAST_JUNK), MOST_JUNK), misfit)

    def told(self, particle: Float64, junk: Float64) -> tuple[Float64, Float64]:
        """Return the logarithms of both kinds' likelihoods times their probability, (n,) each."""
        with np.errstate(divide="ignore"):
            return particle + self.misfit + np.log1p(-self.junk), junk + np.log(self.junk)


#: No image is junk.
ALL_PARTICLES = Prior()


@dataclass(frozen=True)
class Kinds:
    """What n images are."""

    #: Probability that there is no particle, (n,).
    junk: Float64
    #: How much likelier an image is as a particle, without the maps' misfit, (n,) [nat].
    odds: Float64
    #: Power of the noise in an image that is junk, times the probability that it is, (n, rings).
    junk_noise: Float64
    #: Of each image, whatever it is, (n,) [nat].
    log_likelihood: Float64


def told_apart(
    evidence: Float64, power: Float32, noise: Float64, circle: float, prior: Prior
) -> Kinds:
    """Tell particles from junk.

    Parameters
    ----------
    evidence : ndarray of shape (n,)
        Log likelihood of the images as particles, over all poses [nat].
    power : ndarray of shape (n, rings)
    noise : ndarray of shape (rings,)
    circle : float
        Part of the noise's power that the circle about the particles leaves.
    """
    alone, (rings, other_noise) = without_map(power, noise, circle), _others(power, noise, circle)
    other = rings.sum(axis=1)
    either = np.logaddexp(alone, other)
    particle, none = prior.told(evidence, either - np.log(2.0))
    junk = scipy.special.expit(none - particle)
    part = np.exp(other - either)[:, None]
    junk_noise = junk[:, None] * ((1.0 - part) * power + part * other_noise)
    odds = particle - none - prior.misfit
    return Kinds(junk, odds, junk_noise, np.logaddexp(particle, none))


def junk_evidence(power: Float32, noise: Float64, circle: float) -> Float64:
    """Return the log likelihood of images as junk: half of it is noise alone, (n,) [nat]."""
    other = _others(power, noise, circle)[0].sum(axis=1)
    return np.asarray(np.logaddexp(without_map(power, noise, circle), other) - np.log(2.0))


def without_map(power: Float32, noise: Float64, circle: float) -> Float64:
    """Return the log likelihood of images that hold nothing but noise, (n,) [nat].

    Parameters
    ----------
    power : ndarray of shape (n, rings)
    noise : ndarray of shape (rings,)
    """
    return np.asarray(_by_ring(power, noise, circle, np.ones(1))[:, :, 0].sum(axis=1))


def _others(power: Float32, noise: Float64, circle: float) -> tuple[Float64, Float64]:
    """Return what rings are of which the power is anything from the noise's up.

    Returns
    -------
    likelihood : ndarray of shape (n, rings)
        [nat].
    noise : ndarray of shape (n, rings)
        Power that is the noise's, expected.
    """
    every = _by_ring(power, noise, circle, _POWERS) - np.log(len(_POWERS))
    likelihood = scipy.special.logsumexp(every, axis=2)
    chance = np.exp(every - likelihood[:, :, None])
    return likelihood, power * (chance @ (1.0 / _POWERS))


def _by_ring(power: Float32, noise: Float64, circle: float, factors: Float64) -> Float64:
    """Return the log likelihood of each ring with the noise times each factor, (n, rings, m)."""
    counted = np.pi * circle * np.arange(1, len(noise) + 1)[:, None]
    variance = noise[:, None] * factors
    return np.asarray(
        -(power.astype(np.float64)[:, :, None] / variance + np.log(variance)) * counted
    )
