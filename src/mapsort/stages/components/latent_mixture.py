"""Classes in the space of the components: K templates, each particle with its own precision.

A particle's coordinates are uncertain, and in directions that depend on its view: as points they
would be clustered by their noise (0.86 of the labels in common with the truth, 0.90 with their
precisions). Here the likelihood of a template is the particle's own, and its scale is integrated
out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mapsort.array_types import Bool, Float64
from mapsort.stages.components.decomposition import SCALE_PRECISION
from mapsort.stages.components.observed import Products
from mapsort.stages.components.scale import Judgement, ScaleModel

#: Starts with other candidates; the likeliest result is kept.
STARTS = 12
#: Particles that starts are tried on; the best goes on with all.
TRIED_ON = 20_000
#: Particles tried as the next template, how many of them are climbed from, and for how long.
_CANDIDATES, _CLIMBED, _CLIMBING_ROUNDS = 12, 3, 5
#: The same where only the likelihood is asked for.
_FEW_STARTS = 3
#: Rounds of a start at most, and the gain [nat a particle] below which it has settled.
_ROUNDS, _SETTLED = 60, 1e-5
#: Rounds before which a start is not stopped.
_LEAST_ROUNDS = 6
#: Particles dimmer than this, relative to the median, are no starting points: junk.
_DIM = 0.6


@dataclass(frozen=True)
class Mixture:
    """K templates in the space of the components.

    Attributes
    ----------
    templates : ndarray of shape (K, q + 1), float64
        Weights of the mean map (1) and the components.
    shares : ndarray of shape (K,), float64
    found : Judgement
        Of the particles it was fitted to.
    """

    templates: Float64
    shares: Float64
    scales: ScaleModel
    found: Judgement

    @property
    def log_likelihood(self) -> float:
        """Mean over the particles [nat]."""
        return float(self.found.log_likelihood.mean())

    def judge(self, products: Products) -> Judgement:
        """Tell what other particles are."""
        return self.scales.judge(*template_terms(products, self.templates), self.shares)


def template_terms(products: Products, templates: Float64) -> tuple[Float64, Float64]:
    """Return norms and cross terms (n, K) of particles with templates (K, q + 1)."""
    n, q = products.target.shape
    squares = np.einsum("ka,kb->abk", templates, templates).reshape(q * q, -1)
    return products.precision.reshape(n, -1) @ squares, products.target @ templates.T


def fit_mixture(
    products: Products,
    n_classes: int,
    rng: np.random.Generator,
    *,
    junk: bool,
    starts: int = STARTS,
) -> Mixture:
    """Find K templates: expectation maximisation from several starts.

    Parameters
    ----------
    n_classes : int
        K.
    rng : Generator
        Draws the starting points.
    junk : bool
        Whether some images may hold no particle.
    starts : int
        For one class there is only one.
    """
    n = len(products.target)
    sample = products if n <= TRIED_ON else products.rows(np.arange(0, n, -(-n // TRIED_ON)))
    points = _points(sample)
    tried = [
        climbed(sample, _grown(sample, points, n_classes, rng, junk=junk), junk=junk)
        for _ in range(starts if n_classes > 1 else 1)
    ]
    best = _likeliest(tried)
    return best if sample is products else climbed(products, best.templates, junk=junk)


def held_out_likelihood(
    products: Products, n_classes: int, kept_out: Bool, rng: np.random.Generator, *, junk: bool
) -> Float64:
    """Return what K templates of some particles say of each of the others, (m,) [nat].

    Parameters
    ----------
    products : Products
        With components in which those kept out had no part.
    kept_out : ndarray of shape (n,), bool
    rng : Generator
    """
    learnt = products.rows(~kept_out)
    mixture = fit_mixture(learnt, n_classes, rng, junk=junk, starts=_FEW_STARTS)
    return mixture.judge(products.rows(kept_out)).log_likelihood


def _points(products: Products) -> Float64:
    """Return coordinates (m, q) of particles that are bright enough, for a scale of 1."""
    prior = np.eye(products.target.shape[1])
    prior[0, 0] = SCALE_PRECISION
    found = np.linalg.solve(products.precision + prior, (products.target + prior[0])[..., None])
    scale = found[:, 0, 0]
    bright = scale >= _DIM * np.median(scale)
    return np.asarray(found[bright, 1:, 0] / np.maximum(scale[bright], 0.3)[:, None])


def _grown(
    products: Products, points: Float64, count: int, rng: np.random.Generator, *, junk: bool
) -> Float64:
    """Return templates (count, q + 1), added one by one where the likelihood gains most.

    All at once, at particles far from each other, they find 16 assembly states in one start of
    ten: noise is far out, too (Verbeek et al., Neural Comput. 15 (2003) 469).
    """
    templates = np.concatenate([[1.0], points.mean(axis=0)])[None]
    scales = ScaleModel.start(junk=junk)
    while len(templates) < count:
        drawn = points[rng.integers(len(points), size=_CANDIDATES)]
        drawn = np.concatenate([np.ones((len(drawn), 1)), drawn], axis=1)
        norm, cross = template_terms(products, np.concatenate([templates, drawn]))
        first = np.arange(len(templates))
        shares = np.full(len(templates) + 1, 1 / (len(templates) + 1))
        gains = []
        for number in range(len(templates), norm.shape[1]):
            columns = np.append(first, number)
            found = scales.judge(norm[:, columns], cross[:, columns], shares)
            gains.append(found.log_likelihood.mean())
        best = np.argsort(gains)[::-1][:_CLIMBED]
        tried = [
            climbed(products, np.vstack([templates, one]), junk=junk, rounds=_CLIMBING_ROUNDS)
            for one in drawn[best]
        ]
        templates = _likeliest(tried).templates
    return templates


def _likeliest(tried: list[Mixture]) -> Mixture:
    return max(tried, key=lambda mixture: mixture.log_likelihood)


def climbed(
    products: Products, templates: Float64, *, junk: bool, rounds: int = _ROUNDS
) -> Mixture:
    """Return where expectation maximisation leads from these templates (K, q + 1)."""
    shares, scales = np.full(len(templates), 1 / len(templates)), ScaleModel.start(junk=junk)
    before = -np.inf
    for step in range(rounds):
        terms = template_terms(products, templates)
        found = scales.judge(*terms, shares)
        now = Mixture(templates, shares, scales, found)
        if now.log_likelihood - before < _SETTLED and step >= _LEAST_ROUNDS:
            break
        before = now.log_likelihood
        templates = _templates(products, found)
        shares, scales = found.shares, scales.learnt(*terms, found)
    return now


def _templates(products: Products, found: Judgement) -> Float64:
    """Return the templates that explain the particles of each."""
    n, q = products.target.shape
    weight = found.responsibilities
    squares = (weight * found.square).T @ products.precision.reshape(n, -1)
    precision = squares.reshape(-1, q, q)
    target = (weight * found.scale).T @ products.target
    # the mean map counts once; the components' coordinates have the prior N(0, 1)
    right = target[:, 1:] - precision[:, 1:, 0]
    coordinates = np.linalg.solve(precision[:, 1:, 1:] + np.eye(q - 1), right[..., None])
    return np.concatenate([np.ones((len(precision), 1)), coordinates[..., 0]], axis=1)
