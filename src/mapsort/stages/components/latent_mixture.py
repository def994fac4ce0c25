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

#: Moves of a template in turn that gain nothing, after which the mixture stays as it is.
FRUITLESS_MOVES = 4
#: The same where only the likelihood is asked for.
FEW_MOVES = 2
#: Particles that templates are sought with; the mixture goes on with all.
SOUGHT_WITH = 20_000
#: Particles tried as the next template, and for how many rounds each of them climbs alone; pairs
#: of templates tried as one.
_CANDIDATES, _ALONE_ROUNDS = 32, 4
#: Rounds of all templates after one was added.
_CLIMBING_ROUNDS = 5
#: Gain [nat a particle] by which a move is worth it.
_WORTH = 1e-4
#: Rounds at most, and the gain [nat a particle] below which a mixture has settled.
_ROUNDS, _SETTLED = 60, 1e-5
#: Rounds before which it is not stopped.
_LEAST_ROUNDS = 6
#: No particle is less probably one of the other templates': what is left of 1 is rounding.
_LEAST = 1e-12
#: Particles dimmer than this, relative to the median, are no starting points: junk.
_DIM = 0.6


@dataclass(frozen=True)
class Mixture:
    """K templates in the space of the components."""

    #: Weights of the mean map (1) and the components, (K, q + 1).
    templates: Float64
    #: (K,).
    shares: Float64
    scales: ScaleModel
    #: Of the particles it was fitted to.
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
    moves: int = FRUITLESS_MOVES,
) -> Mixture:
    """Find K templates: they are added one by one, then moved while that gains.

    Sixteen assembly states are not found by templates that start all at once, for noise is far
    out, too (Verbeek et al., Neural Comput. 15 (2003) 469); and one by one, two states in three
    starts of ten stay one. So one more template is added, and the two most alike become one (Ueda
    et al., Neural Comput. 12 (2000) 2109).

    Parameters
    ----------
    n_classes : int
        K.
    rng : Generator
        Draws the starting points.
    junk : bool
        Whether some images may hold no particle.
    moves : int
        In turn that may gain nothing.
    """
    n = len(products.target)
    few = products if n <= SOUGHT_WITH else products.rows(np.arange(0, n, -(-n // SOUGHT_WITH)))
    points = _points(few)
    first = np.concatenate([[1.0], points.mean(axis=0)])[None]
    mixture = climbed(few, first, junk=junk, rounds=_CLIMBING_ROUNDS)
    while len(mixture.templates) < n_classes:
        mixture = _with_one_more(few, mixture, points, rng)
    mixture = climbed(few, mixture.templates, junk=junk)
    fruitless = 0
    while n_classes > 1 and fruitless < moves:
        more = _with_one_more(few, mixture, points, rng)
        moved = climbed(few, _with_two_made_one(few, more), junk=junk)
        gains = moved.log_likelihood > mixture.log_likelihood + _WORTH
        mixture, fruitless = (moved, 0) if gains else (mixture, fruitless + 1)
    return mixture if few is products else climbed(products, mixture.templates, junk=junk)


def held_out_likelihood(
    products: Products, n_classes: int, kept_out: Bool, rng: np.random.Generator, *, junk: bool
) -> Float64:
    """Return what K templates of some particles say of each of the others, (m,) [nat].

    Parameters
    ----------
    products : Products
        With components in which those kept out had no part.
    kept_out : ndarray of shape (n,), bool
    """
    learnt = products.rows(~kept_out)
    mixture = fit_mixture(learnt, n_classes, rng, junk=junk, moves=FEW_MOVES)
    return mixture.judge(products.rows(kept_out)).log_likelihood


def _points(products: Products) -> Float64:
    """Return coordinates (m, q) of particles that are bright enough, for a scale of 1."""
    prior = np.eye(products.target.shape[1])
    prior[0, 0] = SCALE_PRECISION
    found = np.linalg.solve(products.precision + prior, (products.target + prior[0])[..., None])
    scale = found[:, 0, 0]
    bright = scale >= _DIM * np.median(scale)
    return np.asarray(found[bright, 1:, 0] / np.maximum(scale[bright], 0.3)[:, None])


def _with_one_more(
    products: Products, mixture: Mixture, points: Float64, rng: np.random.Generator
) -> Mixture:
    """Return the mixture with another template, at the one of some points that gains most.

    Each of them climbs alone beside the mixture, which stays: a particle itself is a poor template
    of its class, and a class of one particle in a hundred would hardly be seen.
    """
    drawn = points[rng.integers(len(points), size=_CANDIDATES)]
    templates = np.concatenate([np.ones((_CANDIDATES, 1)), drawn], axis=1)
    shares = np.full(_CANDIDATES, 1 / (len(mixture.shares) + 1))
    for step in range(_ALONE_ROUNDS + 1):
        log, scale, square = _beside(products, mixture, templates, shares)
        gain = np.logaddexp(log, np.log1p(-shares))
        if step < _ALONE_ROUNDS:
            weight = np.exp(log - gain)
            templates = _explaining(*_sums(products, weight, scale, square))
            shares = (weight.sum(axis=0) + 1) / (len(weight) + 2)
    best = templates[gain.mean(axis=0).argmax()]
    junk = mixture.scales.junk is not None
    return climbed(
        products, np.vstack([mixture.templates, best]), junk=junk, rounds=_CLIMBING_ROUNDS
    )


def _with_two_made_one(products: Products, mixture: Mixture) -> Float64:
    """Return the templates with two of them made one, those by which the likelihood loses least."""
    found, templates, shares = mixture.found, mixture.templates, mixture.shares
    sums = _sums(products, found.responsibilities, found.scale, found.square)
    pairs = np.stack(np.triu_indices(len(shares), 1))
    united = _explaining(*(part[pairs].sum(axis=0) for part in sums))
    # what a union costs if every particle stays: most of the pairs need no closer look
    apart = united - templates[pairs]
    near = np.argsort(np.einsum("epa,epab,epb->p", apart, sums[0][pairs], apart))[:_CANDIDATES]
    pairs, united = pairs[:, near], united[near]
    log, _, _ = _beside(products, mixture, united, shares[pairs].sum(axis=0))
    own = found.responsibilities
    own = own + found.junk_like if found.junk_like.size else own
    others = np.maximum(1 - own[:, pairs].sum(axis=1), _LEAST)
    best = np.logaddexp(log, np.log(others)).mean(axis=0).argmax()
    return np.vstack([np.delete(templates, pairs[:, best], axis=0), united[best]])


def _beside(
    products: Products, mixture: Mixture, templates: Float64, shares: Float64
) -> tuple[Float64, Float64, Float64]:
    """Return how likely particles are of other templates, relative to the mixture.

    Parameters
    ----------
    templates : ndarray of shape (c, q + 1)
    shares : ndarray of shape (c,)
        Of each among all particles.

    Returns
    -------
    logarithm, scale and square of the scale, each of shape (n, c)
    """
    scales = mixture.scales
    log, scale, variance = scales.particle.evidence(*template_terms(products, templates))
    log += np.log(shares * (1 - scales.junk_share)) - mixture.found.log_likelihood[:, None]
    return log, scale, scale**2 + variance


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
        templates = templates_of(products, found)
        shares, scales = found.shares, scales.learnt(*terms, found)
    return now


def templates_of(products: Products, found: Judgement) -> Float64:
    """Return the templates that explain the particles of each."""
    return _explaining(*_sums(products, found.responsibilities, found.scale, found.square))


def _sums(
    products: Products, weight: Float64, scale: Float64, square: Float64
) -> tuple[Float64, Float64]:
    """Return precisions (K, q, q) and targets (K, q) of particles with weights (n, K)."""
    n, q = products.target.shape
    precision = (weight * square).T @ products.precision.reshape(n, -1)
    return precision.reshape(-1, q, q), (weight * scale).T @ products.target


def _explaining(precision: Float64, target: Float64) -> Float64:
    """Return the templates that explain such sums.

    The mean map counts once; the components' coordinates have the prior N(0, 1).
    """
    right = target[:, 1:] - precision[:, 1:, 0]
    prior = np.eye(right.shape[1])
    coordinates = np.linalg.solve(precision[:, 1:, 1:] + prior, right[..., None])
    return np.concatenate([np.ones((len(precision), 1)), coordinates[..., 0]], axis=1)
