"""Soft assignment: a particle's posterior over maps and poses, annealed from broad to sharp.

With log-likelihoods L_k of the matches kept and prior shares pi of the maps, a particle belongs to
match k with probability proportional to pi exp(L_k / T). At temperature T = 1 this is Bayes'
posterior over the candidates (Sigworth, J. Struct. Biol. 122 (1998) 328, eq. 8); a high temperature
lets every map share in every particle, so that none starves before it has found its own (Ueda &
Nakano, Neural Netw. 11 (1998) 271).
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import brentq

from mapsort._membership import group_by_class
from mapsort.array_types import Float64, Real
from mapsort.model.matches import Matches
from mapsort.model.membership import Membership
from mapsort.model.references import References

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
