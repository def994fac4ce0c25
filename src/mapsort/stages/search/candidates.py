"""Candidates of particles: references, and how particles lie on them, for the kernels to fill."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mapsort import _core
from mapsort.array_types import Bool, Float32, Indices, Int32
from mapsort.model.references import References
from mapsort.physics.scoring import Scoring

#: Candidates so many nats below the best one of their map are not refined: they would stay there.
REFINED_NATS = 12.0
#: And those that are farther below it do not go on from one level to the next.
CARRIED_NATS = 16.0


@dataclass(frozen=True)
class Started:
    """Candidates of particles to begin with: ``reference`` (n, k), -1 for none; ``origin`` [px]."""

    reference: Int32
    origin: Float32

    def rows(self, rows: Indices) -> Started:
        """Return those of some of the particles."""
        return Started(self.reference[rows], self.origin[rows])

    def columns(self, columns: slice) -> Started:
        """Return some of those of each particle."""
        return Started(self.reference[:, columns], self.origin[:, columns])


@dataclass
class Candidates:
    """Arrays (n, K) that the kernels fill in place."""

    reference: Int32
    origin: Float32
    alpha: Float32
    mirror: Int32
    cross: Float32
    norm: Float32

    @classmethod
    def at(cls, reference: Int32, origin: Float32) -> Candidates:
        """Return candidates that nothing is known of but their shifts."""
        shape = reference.shape
        return cls(
            np.ascontiguousarray(reference),
            np.ascontiguousarray(origin),
            np.zeros(shape, np.float32),
            np.zeros(shape, np.int32),
            np.zeros(shape, np.float32),
            np.zeros(shape, np.float32),
        )

    def after(self, first: Started) -> Candidates:
        """Return others, and after them these, but for the references that are among the others."""
        own = np.where(self.among(first), np.int32(-1), self.reference)
        return Candidates.at(
            np.concatenate([first.reference, own], axis=1),
            np.concatenate([first.origin, self.origin], axis=1),
        )

    def among(self, others: Started) -> Bool:
        """Return which references are among others, (n, K)."""
        same = self.reference[:, :, None] == others.reference[:, None, :]
        return np.asarray(same.any(axis=2))

    def for_kernels(self) -> _core.Candidates:
        """Return the same arrays for the kernels."""
        return _core.Candidates(**vars(self))

    def scores(self, scoring: Scoring) -> Float32:
        """Return the score of each, -inf where there is none."""
        scores = scoring.scores(self.cross, self.norm)
        scores[self.reference < 0] = -np.inf
        return scores

    def copied(self) -> Candidates:
        """Return a copy that the kernels do not touch."""
        return Candidates(**{name: values.copy() for name, values in vars(self).items()})

    def restored(self, before: Candidates, max_change_px: float | None) -> bool:
        """Take back poses whose shift changed by more than allowed; say whether there were any."""
        if max_change_px is None:
            return False
        far = np.linalg.norm(self.origin - before.origin, axis=-1) > max_change_px
        self.origin[far] = before.origin[far]
        self.alpha[far] = before.alpha[far]
        return bool(far.any())

    def taken(self, columns: Indices) -> Candidates:
        """Return these columns of each row, (n, k)."""
        rows = np.arange(len(self.reference))[:, None]
        return Candidates(
            **{name: np.ascontiguousarray(a[rows, columns]) for name, a in vars(self).items()}
        )


def best_of_each_map(
    candidates: Candidates, scores: Float32, references: References, count: int
) -> Candidates:
    """Return the ``count`` best candidates of each map, best first; -1 where there are fewer."""
    model = np.where(candidates.reference >= 0, references.model[candidates.reference], -1)
    columns, there = [], []
    for m in range(references.n_models):
        block = references.block(m)
        # As many as every particle has: with more of one map than of another, a particle would
        # be compared with them unequally. Where some have none, as many as others have.
        held = (model == m).sum(axis=1)
        least = int(held.min()) if len(held) else 0
        most = least or int(held.max(initial=0)) or block.stop - block.start
        order = np.argsort(-np.where(model == m, scores, -np.inf), axis=1, kind="stable")
        columns.append(order[:, : min(count, most)])
        there.append(np.take_along_axis(model, columns[-1], axis=1) == m)
    column, own = np.concatenate(columns, axis=1), np.concatenate(there, axis=1)
    # the best first: all others are searched about their shifts, too
    value = np.where(own, np.take_along_axis(scores, column, axis=1), -np.inf)
    order = np.argsort(-value, axis=1, kind="stable")
    best = candidates.taken(np.take_along_axis(column, order, axis=1))
    best.reference[~np.take_along_axis(own, order, axis=1)] = -1
    return best


def far_below(
    candidates: Candidates,
    scores: Float32,
    references: References,
    *,
    nats: float = REFINED_NATS,
    at_least: int = 1,
) -> Bool:
    """Return which candidates are ``nats`` below the best of their map, (n, K).

    So many of each map, the best, are not.
    """
    model = np.where(candidates.reference >= 0, references.model[candidates.reference], -1)
    far = np.zeros(scores.shape, dtype=bool)
    for m in range(references.n_models):
        own = np.where(model == m, scores, -np.inf)
        ranked = -np.sort(-own, axis=1)
        least = min(at_least, scores.shape[1]) - 1
        floor = np.minimum(ranked[:, :1] - nats, ranked[:, least : least + 1])
        far |= (model == m) & (scores < floor)
    return far
