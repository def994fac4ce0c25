"""Populations of classes with errors, and how sure classes are, at known poses.

Particles are judged by maps made without their fold, so that no particle finds its own noise in a
map. How far apart the classes lie along the maps' differences is taken from the particles, too.
What a classification of such particles makes of known classes needs no images: at a known pose the
cross terms of a particle with the maps are normal, and their means and covariances are the products
of the maps' slices.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy  # its parts are loaded when they are used

from mapsort.array_types import Float64, Indices, Integer
from mapsort.stages.components.class_maps import own_maps
from mapsort.stages.components.held_out_split import Seen
from mapsort.stages.components.judged_classes import refined_maps
from mapsort.stages.components.latent_mixture import climbed, template_terms
from mapsort.stages.components.observed import Products
from mapsort.stages.components.scale import Judgement, ScaleModel

#: Rounds of the maps before each class's own: the directions in which they differ matter, not how
#: far.
ROUNDS = 1
#: Rounds in which the temperature is learnt.
TEMPERATURE_ROUNDS = 4
#: Draws of the particles for the errors of the shares, and how many particles at most: of fewer
#: draws the error is so uncertain that 1.96 of them hold the truth in less than 94 of 100 cases.
ERROR_DRAWS, MOST_DRAWN = 48, 2000
#: Draws of each simulated particle, and bins of the reliability curve.
DRAWS, BINS = 4, 10
#: Part of a map's power that single precision leaves of the difference of equal maps: where classes
#: are one structure, they may be.
_ROUNDING = 1e-5


@dataclass(frozen=True)
class Populations:
    """How many particles each of K classes holds, junk apart."""

    #: Particles by their most probable class, (K,).
    counts: Indices
    #: Sums of posterior probabilities, (K,).
    sums: Float64
    #: shares and errors, (K,): maximum-likelihood shares, and their standard errors.
    shares: Float64
    errors: Float64
    #: Shares of the counts, corrected by the confusion matrix, (K,).
    corrected: Float64
    #: Probability that a particle of class i is put into class j, (K, K).
    confusion: Float64
    #: What log likelihoods are divided by, so that posteriors are not too sure.
    temperature: float
    #: Of simulated particles by their highest probability, (BINS, 3): its mean, how many of them
    #: were right, and part of the particles.
    reliability: Float64

    @property
    def calibration_error(self) -> float:
        """Expected calibration error: mean distance of probability and truth."""
        told, right, weight = self.reliability.T
        return float(np.sum(weight * np.abs(told - right)))


def populations(seen: Seen, classes: Integer, *, seed: int) -> Populations:
    """Find the populations, beginning with known classes.

    Parameters
    ----------
    classes : ndarray of shape (n,)
        First assignments from 0; every class has members.
    seed : int
        Of what is drawn.
    """
    observed, grid, junk = seen.polished.observed, seen.grid, seen.settings.junk
    n, k = len(classes), int(classes.max()) + 1
    own = np.zeros((n, k))
    own[np.arange(n), classes] = 1.0
    ones = np.ones((n, k))
    first = Judgement(own, np.zeros((n, k if junk else 0)), ones, ones, np.zeros(n))
    refined = refined_maps(observed, grid, first, junk=junk, rounds=ROUNDS, told=lambda: None)
    products = Products.of(observed, grid, own_maps(observed, grid, refined.found).maps)
    model, found = settled(products, classes, junk=junk)
    return collected(products, found, model, seed)


@dataclass(frozen=True)
class Model:
    """How particles are judged."""

    scales: ScaleModel
    #: Weights of the maps in each class's template, (K, K).
    templates: Float64
    temperature: float

    def judge(self, products: Products, shares: Float64) -> Judgement:
        """Tell what particles are."""
        norm, cross = template_terms(products, self.templates)
        return self.scales.judge(norm / self.temperature, cross / self.temperature, shares)


def settled(products: Products, classes: Integer, *, junk: bool) -> tuple[Model, Judgement]:
    """Find where the classes lie in the space of the maps, their shares and the temperature.

    Maps are filtered, a small class's most: its map lies between its particles and the others, and
    would draw these to it. So classes may lie anywhere in the space that the maps span.

    Parameters
    ----------
    products : Products
        Of particles with K maps made without them.
    classes : ndarray of shape (n,)
        To begin with.
    junk : bool
        Whether some images may hold no particle.
    """
    k = products.target.shape[1]
    basis = _basis(k)
    templates = np.asarray(np.linalg.inv(basis).T, np.float64)
    temperature = learnt_temperature(products, classes, np.eye(k))
    for _ in range(TEMPERATURE_ROUNDS):
        warm = products.tempered(temperature).along(basis)
        mixture = climbed(warm, templates, junk=junk)
        templates = mixture.templates
        model = Model(mixture.scales, templates @ basis.T, temperature)
        found = mixture.found
        labels = found.responsibilities.argmax(axis=1)
        temperature = learnt_temperature(products, labels, model.templates)
    return model, found


def learnt_temperature(products: Products, classes: Integer, templates: Float64) -> float:
    """Return the variance of what tells maps apart, over that of the noise; at least 1.

    Errors of the poses and of the maps, neighbours and ice tell maps apart as noise does, and the
    noise's spectrum does not know of them: posteriors would be too sure. What is along a particle's
    own template is taken out, for that is its scale. The median tells, for some particles are in a
    wrong class.

    Parameters
    ----------
    classes : ndarray of shape (n,)
    templates : ndarray of shape (K, K)
        Weights of the maps in each class's template.
    """
    k, own = products.target.shape[1], templates[classes]
    apart = np.eye(k)[:, :-1] - np.eye(k)[:, -1:]
    seen = np.einsum("nab,nb->na", products.precision, own)
    norm = np.maximum(np.sum(seen * own, axis=1), np.finfo(np.float64).tiny)
    along = np.sum(products.target * own, axis=1) / norm
    shared = seen @ apart
    left = products.target @ apart - along[:, None] * shared
    covariance = apart.T @ products.precision @ apart
    covariance = covariance - shared[:, :, None] * (shared / norm[:, None])[:, None, :]
    rounding = _ROUNDING * norm[:, None, None] * np.eye(k - 1)
    inverse = np.linalg.inv(covariance + rounding)
    squares = np.einsum("na,nab,nb->n", left, inverse, left)
    return max(1.0, float(np.median(squares) / scipy.stats.chi2.median(k - 1)))


def collected(products: Products, found: Judgement, model: Model, seed: int) -> Populations:
    """Return the populations of particles (n) that were judged by a model."""
    k = found.responsibilities.shape[1]
    good = found.particles
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
        errors=share_errors(products, model, junk=found.junk_like.shape[1] > 0, seed=seed),
        corrected=_corrected(counts / max(counts.sum(), 1), confusion),
        confusion=confusion,
        temperature=model.temperature,
        reliability=simulated.reliability,
    )


def share_errors(products: Products, model: Model, *, junk: bool, seed: int) -> Float64:
    """Return standard errors of the shares, (K,), by drawing particles anew.

    Where the classes lie is found again in every draw: with classes held fast the likelihood's
    curvature would promise too much.
    """
    n, k = products.target.shape
    size, rng = min(n, MOST_DRAWN), np.random.default_rng(seed)
    basis = _basis(k)
    warm = products.tempered(model.temperature)
    templates = np.asarray(np.linalg.solve(basis, model.templates.T).T, np.float64)
    found = [
        climbed(warm.rows(rng.integers(0, n, size)).along(basis), templates, junk=junk).shares
        for _ in range(ERROR_DRAWS)
    ]
    return np.asarray(np.std(found, axis=0, ddof=1) * np.sqrt(size / n))


def _basis(k: int) -> Float64:
    """Return the mean of K maps, and their differences from the last, as columns of weights."""
    basis = np.full((k, k), 1.0 / k)
    basis[:, 1:] = np.eye(k)[:, :-1] - np.eye(k)[:, -1:]
    return basis


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
        seen = products.along(model.templates.T)
        # maps may be equal: no direction need hold anything
        power, axes = np.linalg.eigh(model.temperature * seen.precision)
        root = axes * np.sqrt(np.maximum(power, 0.0))[:, None, :]
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


def reliability(probability: Float64, truth: Integer) -> Float64:
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
