"""Which references go on from the first level of a search.

Scores are log-likelihoods of what was compared, so that their posterior tells where a particle's
best reference will be found, however many references that are: a clear particle is left with few of
them, a weak one with many.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mapsort.array_types import Bool, Float32, Int32, Integer
from mapsort.model.references import References


@dataclass(frozen=True)
class Window:
    """How far below the best one references may be."""

    #: Below the best one of all.
    nats: float
    #: And below the best one of their own map, which says how probable that map is.
    own_nats: float


#: exp(-7) is a thousandth of the best one's probability, and poses between those of lattice and
#: projections lose some more.
UNKNOWN = Window(12.0, 7.0)
#: Where the particle's last poses are candidates, too, this is for poses that it may have changed
#: to: all that a search of every reference found (80 particles of 128 px at SNR 0.05).
KNOWN = Window(6.0, 4.0)


def likely(
    scores: Float32,
    references: References,
    counts: Sequence[tuple[int, int]],
    window: Window = UNKNOWN,
) -> Int32:
    """Return the references that may be a particle's best, (n, k), best first.

    Parameters
    ----------
    scores : ndarray of shape (n, n_references)
        Log-likelihoods [nat] on the first level.
    counts : sequence of (int, int)
        How many of each map go on at least and at most; of equal scores the first.

    Returns
    -------
    ndarray of shape (n, k), int32
        -1 where a particle has fewer.
    """
    best = scores.max(axis=1, keepdims=True)
    kept = np.zeros(scores.shape, dtype=bool)
    for model, (least, most) in enumerate(counts):
        own = scores[:, references.block(model)]
        if not most:
            continue
        ranked = -np.partition(-own, (0, least - 1, most - 1), axis=1)
        floor = np.minimum(best - window.nats, ranked[:, :1] - window.own_nats)
        wanted = np.clip((own >= floor).sum(axis=1, keepdims=True), least, most)
        floor = np.clip(floor, ranked[:, most - 1, None], ranked[:, least - 1, None])
        kept[:, references.block(model)] = _first(own, floor, wanted)
    return _best_first(scores, kept)


def _first(scores: Float32, floor: Float32, wanted: Integer) -> Bool:
    """Return which scores are above the floor, and the first that equal it: ``wanted`` in all."""
    above, level = scores > floor, scores == floor
    room = wanted - above.sum(axis=1, keepdims=True)
    return np.asarray(above | (level & (np.cumsum(level, axis=1) <= room)))


def _best_first(scores: Float32, kept: Bool) -> Int32:
    """Return the columns of what is kept in each row, by falling score."""
    count = kept.sum(axis=1)
    row, column = np.nonzero(kept)
    place = np.arange(len(row)) - np.repeat(np.cumsum(count) - count, count)
    listed = np.full((len(scores), int(count.max(initial=1))), -1, dtype=np.int32)
    value = np.full(listed.shape, -np.inf, dtype=np.float32)
    listed[row, place], value[row, place] = column, scores[row, column]
    order = np.argsort(-value, axis=1, kind="stable")
    return np.ascontiguousarray(np.take_along_axis(listed, order, axis=1))
