"""Particles into classes: by their best references, or by their posterior over maps and poses.

With log-likelihoods L_k of the matches kept and prior shares pi of the maps, a particle belongs to
match k with probability proportional to pi exp(L_k / T). At temperature T = 1 this is Bayes'
posterior over the candidates (Sigworth, J. Struct. Biol. 122 (1998) 328, eq. 8); a high temperature
lets every map share in every particle, so that none starves before it has found its own (Ueda &
Nakano, Neural Netw. 11 (1998) 271). A nearly empty class starts anew from the particles that the
others explain worst.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import scipy  # its parts are loaded when they are used
from scipy.optimize import brentq

from mapsort._membership import group_by_class
from mapsort.array_types import Bool, Float32, Float64, Int32, Int64, Integer, Real
from mapsort.model.matches import Matches
from mapsort.model.membership import Membership
from mapsort.model.references import References


def classify(
    matches: Matches, n_classes: int, *, sep: int = 1, allowed: Bool | None = None
) -> Membership:
    """Return the members of each class (reference) of all maps, all of them in use.

    Parameters
    ----------
    sep : int
        How many classes a particle enters: its ``sep`` best references, each with weight 1/sep.
    allowed : ndarray of shape (n,), bool, optional
        Particles that may enter a class; by default all.

    Raises
    ------
    ValueError
        If fewer than ``sep`` matches per particle are there.
    """
    n, top = matches.reference.shape
    if not 1 <= sep <= top:
        raise ValueError(f"sep: expected 1 to {top} (the matches kept), got {sep}")
    columns = matches.reference[:, :sep]
    if allowed is not None:
        columns = np.where(allowed[:, None], columns, -1)
    chosen = np.ascontiguousarray(columns).ravel()
    start, entry = group_by_class(chosen.astype(np.intc), n_classes)
    return _membership(start, entry, np.ones(len(entry), dtype=np.bool_), n, sep)


def given_membership(
    classes: Integer, used: Bool, n_classes: int, *, weight: Float32 | None = None
) -> Membership:
    """Return the members of classes that are known already: those of each particle, (n, sep).

    ``used`` says whether it goes into the average; ``weight``, by default equal, is the share of
    the particle in each class: where it is 0 the particle is no member.
    """
    chosen = classes if weight is None else np.where(weight > 0, classes, -1)
    start, entry = group_by_class(np.ascontiguousarray(chosen, np.intc).ravel(), n_classes)
    members = _membership(start, entry, used.ravel()[entry], *classes.shape)
    return members if weight is None else replace(members, weight=weight.ravel()[entry])


def _membership(start: Int64, entry: Int64, used: Bool, n: int, sep: int) -> Membership:
    entered: Int64 = np.bincount(entry // sep, minlength=n)
    particle = entry // sep
    return Membership(
        start=start,
        particle=particle,
        column=entry % sep,
        used=used,
        weight=(1.0 / entered[particle]).astype(np.float32),
    )


#: Iterations after which the posterior is taken as it is.
ANNEALED_AFTER = 4
#: Memberships below this probability are dropped.
LEAST_PROBABILITY = 0.01
#: Temperatures tried: from Bayes' posterior to one that tells nothing apart.
_HIGHEST = 1e4


def posterior(
    matches: Matches,
    references: References,
    *,
    shares: Real | None = None,
    temperature: float = 1.0,
) -> Float64:
    """Return the probability of each match, (n, top); the rows add up to 1.

    The temperature divides the log-likelihoods [nat]; the maps' prior ``shares`` are equal by
    default.
    """
    present = matches.reference >= 0
    logarithm = np.where(present, matches.score.astype(np.float64) / temperature, -np.inf)
    if shares is not None:
        prior = np.log(np.maximum(shares, 1e-12))
        logarithm += np.where(present, prior[references.model[matches.reference]], 0.0)
    weight = np.exp(logarithm - logarithm.max(axis=1, keepdims=True))
    return np.asarray(weight / weight.sum(axis=1, keepdims=True))


def map_posterior(probability: Float64, matches: Matches, references: References) -> Float64:
    """Return the probability of each map, (n, n_models), summed over its matches."""
    model = np.where(matches.reference >= 0, references.model[matches.reference], -1)
    return np.stack(
        [np.where(model == m, probability, 0.0).sum(axis=1) for m in range(references.n_models)],
        axis=1,
    )


def effective_classes(probability: Real) -> Float64:
    """Return the effective number of classes of each particle, (n,): 1 over the sum of squares.

    Of probabilities (n, K), which need not add up to 1: from 1 where one class is sure to K.
    """
    total = np.maximum(probability.sum(axis=1, dtype=np.float64), 1e-300)
    squares = np.maximum(np.square(probability, dtype=np.float64).sum(axis=1), 1e-300)
    return np.asarray(total**2 / squares)


def starting_temperature(matches: Matches, references: References) -> float:
    """Return the temperature at which the likeliest map has half of what certainty would add.

    The mean over particles of the greatest map probability is then (1 + 1/K) / 2 for K maps; at
    least 1, and 1 for a single map.
    """
    n_models = references.n_models
    if n_models == 1:
        return 1.0

    def surplus(logarithm: float) -> float:
        probability = posterior(matches, references, temperature=float(np.exp(logarithm)))
        best = map_posterior(probability, matches, references).max(axis=1)
        return float(best.mean()) - 0.5 * (1.0 + 1.0 / n_models)

    if surplus(0.0) <= 0:
        return 1.0
    if surplus(np.log(_HIGHEST)) >= 0:
        return _HIGHEST
    return float(np.exp(brentq(surplus, 0.0, np.log(_HIGHEST), xtol=0.01)))


def annealed(start: float, iteration: int, *, over: int = ANNEALED_AFTER) -> float:
    """Return the temperature of an iteration (from 1), falling by equal factors to 1.

    That is reached after ``over`` iterations.
    """
    left = max(0.0, 1.0 - (iteration - 1) / over)
    return float(start**left)


def soft_membership(matches: Matches, probability: Float64, n_classes: int) -> Membership:
    """Return the members of each class with their probabilities (n, top) as weights.

    Rows may add up to less than 1 where a particle counts for less.
    """
    row, column = np.nonzero((probability >= LEAST_PROBABILITY) & (matches.reference >= 0))
    chosen = matches.reference[row, column].astype(np.intc)
    start, entry = group_by_class(chosen, n_classes)
    kept = np.where(probability >= LEAST_PROBABILITY, probability, 0.0)
    whole = np.maximum(kept.sum(axis=1), np.finfo(np.float64).tiny)
    weight = kept * (probability.sum(axis=1) / whole)[:, None]
    row, column = row[entry], column[entry]
    return Membership(
        start=start,
        particle=row,
        column=column,
        used=np.ones(len(entry), dtype=np.bool_),
        weight=weight[row, column].astype(np.float32),
    )


#: A class with less than this fraction of an equal share is nearly empty.
NEARLY_EMPTY_SHARE = 0.04
#: Fraction of the donor's particles that a nearly empty class receives.
DONATED = 0.25


def nearly_empty(matches: Matches, references: References) -> list[int]:
    """Return the maps that (nearly) no particle matches best."""
    model = references.model[matches.reference[:, 0]]
    count = np.bincount(model, minlength=references.n_models)
    equal = len(matches) / references.n_models
    return [int(m) for m in np.flatnonzero(count < NEARLY_EMPTY_SHARE * equal)]


def reseeded(matches: Matches, references: References, empty: list[int]) -> Matches:
    """Return matches in which each nearly empty class takes over the worst explained particles.

    The map with most particles gives its worst-scoring quarter, with their poses: each goes to the
    projection of that class's map in the direction nearest to that of its match.
    """
    chosen = matches.reference.copy()
    for model in empty:
        owner = references.model[chosen[:, 0]]
        donor = int(np.bincount(owner, minlength=references.n_models).argmax())
        members = np.flatnonzero(owner == donor)
        worst = members[np.argsort(matches.score[members, 0], kind="stable")]
        worst = worst[: max(1, int(DONATED * len(worst)))]
        chosen[worst, 0] = _nearest(references, chosen[worst, 0], model)
    return replace(matches, reference=chosen)


def shuffled(
    matches: Matches, references: References, rng: np.random.Generator, image: Int64
) -> Matches:
    """Return matches in which each image goes to a map drawn at random, poses kept.

    ``image`` (n,) is the number of each particle's image: copies of one go to the same map.
    """
    chosen = matches.reference.copy()
    model = rng.integers(0, references.n_models, int(image.max(initial=-1)) + 1)[image]
    for m in range(references.n_models):
        rows = np.flatnonzero((model == m) & (references.model[chosen[:, 0]] != m))
        chosen[rows, 0] = _nearest(references, chosen[rows, 0], m)
    return replace(matches, reference=chosen)


def _nearest(references: References, numbers: Int32, model: int) -> Int32:
    """Return the reference of a map whose rotation is nearest to each of these references'."""
    block = references.block(model)
    # the trace of R S^T is the sum of products of their elements, 1 + 2 cos(angle between them):
    # what lies nearest as nine numbers is turned least
    tree = scipy.spatial.cKDTree(references.rotations[block].reshape(-1, 9))
    nearest = tree.query(references.rotations[numbers].reshape(-1, 9))[1]
    return np.asarray(np.asarray(nearest) + block.start, dtype=np.int32)
