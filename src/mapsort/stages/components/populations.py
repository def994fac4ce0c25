"""Populations of classes with errors, and how sure classes are, at known poses.

Particles are judged by maps made without their fold, so that no particle finds its own noise in a
map. How far apart the maps are is taken from the particles, too: of the difference between noisy
maps only a part is there. What a classification of such particles makes of known classes needs no
images: at a known pose the cross terms of a particle with the maps are normal, and their means and
covariances are the products of the maps' slices.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from mapsort.stages.components.band import Float64
from mapsort.stages.components.class_maps import refine_maps
from mapsort.stages.components.held_out_split import Seen
from mapsort.stages.components.latent_mixture import template_terms
from mapsort.stages.components.observed import Products
from mapsort.stages.components.scale import Judgement, ScaleModel

#: Rounds of the maps, and steps of the populations.
ROUNDS, STEPS = 6, 200
#: Shares that change by less have settled.
_STILL = 1e-6
#: Rounds in which the temperature is learnt.
TEMPERATURE_ROUNDS = 4
#: Parts of the difference between the maps that are tried.
PARTS = np.linspace(0.3, 1.3, 41)
#: Draws of each particle in the bootstrap, and bins of the reliability curve.
DRAWS, BINS = 4, 10


@dataclass(frozen=True)
class Populations:
    """How many particles each of K classes holds, junk apart.

    Attributes
    ----------
    counts : ndarray of shape (K,), intp
        Particles by their most probable class.
    sums : ndarray of shape (K,), float64
        Sums of posterior probabilities.
    shares, errors : ndarray of shape (K,), float64
        Maximum-likelihood shares, and their standard errors.
    corrected : ndarray of shape (K,), float64
        Shares of the counts, corrected by the confusion matrix.
    confusion : ndarray of shape (K, K), float64
        Probability that a particle of class i is put into class j.
    part : float
        Part of the difference between the maps that the particles show; below 1, posteriors from
        the maps as they are would be too sure.
    temperature : float
        What log likelihoods are divided by, so that posteriors are not too sure.
    reliability : ndarray of shape (BINS, 3), float64
        Of simulated particles by their highest probability: its mean, how many of them were right,
        and part of the particles.
    """

    counts: npt.NDArray[np.intp]
    sums: Float64
    shares: Float64
    errors: Float64
    corrected: Float64
    confusion: Float64
    part: float
    temperature: float
    reliability: Float64

    @property
    def calibration_error(self) -> float:
        """Expected calibration error: mean distance of probability and truth."""
        told, right, weight = self.reliability.T
        return float(np.sum(weight * np.abs(told - right)))


def populations(
    seen: Seen, classes: npt.NDArray[np.integer], *, seed: int
) -> tuple[Populations, Judgement]:
    """Find the populations, beginning with known classes.

    Parameters
    ----------
    seen : Seen
    classes : ndarray of shape (n,)
        First assignments from 0; every class has members.
    seed : int
        Of the bootstrap.

    Returns
    -------
    Populations
    Judgement
        What each particle is, by maps made without it.
    """
    observed, grid, junk = seen.polished.observed, seen.grid, seen.junk
    n, k = len(classes), int(classes.max()) + 1
    own = np.zeros((n, k))
    own[np.arange(n), classes] = 1.0
    ones = np.ones((n, k))
    first = Judgement(own, np.zeros((n, k if junk else 0)), ones, ones, np.zeros(n))
    refined = refine_maps(observed, grid, first, ScaleModel.start(junk=junk), ROUNDS, lambda: None)
    products = Products.of(observed, grid, refined.maps.maps)
    scales, _ = ScaleModel.start(junk=junk).settled(
        products.norm, products.target, refined.found.shares, ROUNDS
    )
    model = Model(scales, _part(products, scales, refined.found.shares), 1.0)
    found = model.judge(products, refined.found.shares)
    for _ in range(TEMPERATURE_ROUNDS):
        model = replace(model, temperature=learnt_temperature(products, found, model))
        found = model.settled(products, found.shares)
    return collected(products, found, model, seed), found


@dataclass(frozen=True)
class Model:
    """How particles are judged: by which part of the maps' difference, in how much noise."""

    scales: ScaleModel
    part: float
    temperature: float

    def templates(self, k: int) -> Float64:
        """Return weights of the K maps: their mean, and a part of the differences from it."""
        return _templates(k, self.part)

    def judge(self, products: Products, shares: Float64) -> Judgement:
        """Tell what particles are."""
        norm, cross = template_terms(products, self.templates(len(shares)))
        return self.scales.judge(norm / self.temperature, cross / self.temperature, shares)

    def settled(self, products: Products, shares: Float64) -> Judgement:
        """Judge with the likeliest shares: the likelihood has no other maximum."""
        for _ in range(STEPS):
            found = self.judge(products, shares)
            if np.abs(found.shares - shares).max() < _STILL:
                break
            shares = found.shares
        return found


def learnt_temperature(products: Products, found: Judgement, model: Model) -> float:
    """Return the variance of what tells maps apart, over that of the noise; at least 1.

    Errors of the poses and of the maps, neighbours and ice tell maps apart as noise does, and the
    noise's spectrum does not know of them: posteriors would be too sure.
    """
    k = products.target.shape[1]
    apart = np.eye(k)[:, :-1] - np.eye(k)[:, -1:]
    covariance = apart.T @ products.precision @ apart
    trace = np.trace(covariance, axis1=1, axis2=2)[:, None, None]
    inverse = np.linalg.inv(covariance + 1e-9 * (trace + 1e-9) * np.eye(k - 1))
    told = products.target @ apart
    expected = np.einsum("ba,nbc,kc->nka", apart, products.precision, model.templates(k))
    left = told[:, None] - found.scale[..., None] * expected
    squares = np.einsum("nka,nab,nkb->nk", left, inverse, left)
    weight = found.responsibilities
    return max(1.0, float((weight * squares).sum() / (weight.sum() * (k - 1))))


def _templates(k: int, part: float) -> Float64:
    """Return weights of the K maps: their mean, and a part of the differences from it."""
    return np.full((k, k), (1.0 - part) / k) + part * np.eye(k)


def _part(products: Products, scales: ScaleModel, shares: Float64) -> float:
    """Return the part of the differences between maps that the particles show."""
    likelihoods = [
        scales.judge(
            *template_terms(products, _templates(len(shares), part)), shares
        ).log_likelihood.mean()
        for part in PARTS
    ]
    return float(PARTS[int(np.argmax(likelihoods))])


def collected(products: Products, found: Judgement, model: Model, seed: int) -> Populations:
    """Return the populations of particles (n) that were judged by a model."""
    k = found.responsibilities.shape[1]
    good = found.junk <= 0.5
    posterior = found.responsibilities[good]
    posterior = posterior / posterior.sum(axis=1, keepdims=True)
    shares = posterior.mean(axis=0)
    counts = np.bincount(posterior.argmax(axis=1), minlength=k)
    simulated = _Simulated.of(
        products.rows(np.flatnonzero(good)), found.own_scale[good], model, shares, seed
    )
    confusion = simulated.confusion
    return Populations(
        counts=counts,
        sums=posterior.sum(axis=0),
        shares=shares,
        errors=share_errors(posterior, shares),
        corrected=_corrected(counts / max(counts.sum(), 1), confusion),
        confusion=confusion,
        part=model.part,
        temperature=model.temperature,
        reliability=simulated.reliability,
    )


def share_errors(posterior: Float64, shares: Float64) -> Float64:
    """Return standard errors of maximum-likelihood shares, (K,), from their Fisher information.

    Parameters
    ----------
    posterior : ndarray of shape (n, K)
        At these shares.
    shares : ndarray of shape (K,)
    """
    k = len(shares)
    # All but the last are free.
    slope = posterior[:, :-1] / shares[:-1] - posterior[:, -1:] / shares[-1]
    covariance = np.linalg.pinv(slope.T @ slope)
    full = np.zeros((k, k))
    full[:-1, :-1] = covariance
    full[-1, :-1] = full[:-1, -1] = -covariance.sum(axis=0)
    full[-1, -1] = covariance.sum()
    return np.sqrt(np.maximum(np.diagonal(full), 0.0))


def _corrected(observed: Float64, confusion: Float64) -> Float64:
    """Return shares that the confusion matrix makes these of, none negative."""
    exact = np.linalg.lstsq(confusion.T, observed, rcond=None)[0]
    exact = np.maximum(exact, 0.0)
    return np.asarray(exact / max(float(exact.sum()), 1e-12))


@dataclass(frozen=True)
class _Simulated:
    """Particles drawn from the maps, with the data's CTF, noise, brightness and poses."""

    confusion: Float64
    reliability: Float64

    @classmethod
    def of(
        cls,
        products: Products,
        scale: Float64,
        model: Model,
        shares: Float64,
        seed: int,
    ) -> _Simulated:
        n, k = products.target.shape
        rng = np.random.default_rng(seed)
        seen = products.along(model.templates(k).T)
        root = np.linalg.cholesky(seen.precision + 1e-9 * np.eye(k) * seen.precision.max())
        root *= np.sqrt(model.temperature)
        counts, truth, told = np.zeros((k, k)), [], []
        for _ in range(DRAWS):
            true = rng.choice(k, size=n, p=shares)
            mean = scale[:, None] * seen.precision[np.arange(n), :, true]
            cross = mean + np.einsum("nab,nb->na", root, rng.standard_normal((n, k)))
            terms = seen.norm / model.temperature, cross / model.temperature
            probability = model.scales.judge(*terms, shares).responsibilities
            probability = probability / np.maximum(probability.sum(axis=1, keepdims=True), 1e-12)
            np.add.at(counts, (true, probability.argmax(axis=1)), 1.0)
            truth.append(true)
            told.append(probability)
        confusion = (counts + 1e-9) / (counts + 1e-9).sum(axis=1, keepdims=True)
        return cls(confusion, reliability(np.concatenate(told), np.concatenate(truth)))


def reliability(probability: Float64, truth: npt.NDArray[np.integer]) -> Float64:
    """Return the reliability curve, (BINS, 3), of probabilities (n, K) of known classes (n,).

    Columns are the mean of the highest probability, how many were right, and part of the particles.
    """
    best = probability.argmax(axis=1)
    highest = probability[np.arange(len(best)), best]
    least = 1.0 / probability.shape[1]
    place = np.clip(((highest - least) / (1.0 - least) * BINS).astype(np.intp), 0, BINS - 1)
    count = np.maximum(np.bincount(place, minlength=BINS), 1e-12)
    told = np.bincount(place, highest, BINS) / count
    right = np.bincount(place, best == truth, BINS) / count
    return np.stack([told, right, count / len(best)], axis=1)
