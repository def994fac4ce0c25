"""Continuous poses of particles: several candidates of each, best first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mapsort.array_types import Bool, Float32, Float64, Int32, Integer
from mapsort.model.matches import Matches
from mapsort.model.references import References


@dataclass(frozen=True)
class Poses:
    """Candidate poses of n particles, ``k`` each."""

    #: Number of the map (from 0), (n, k); -1 where there is no candidate.
    model: Int32
    #: Object to view, (n, k, 3, 3); the unit matrix where there is no candidate.
    rotation: Float64
    #: Shift that centres the particle (RELION's origin) [pixels], (n, k, 2).
    origin: Float64
    #: As `Matches.score` [nat], (n, k); -inf where there is no candidate.
    score: Float32

    def __len__(self) -> int:
        return len(self.model)

    @classmethod
    def of_matches(cls, matches: Matches, references: References) -> Poses:
        """Return the poses that matches with projections stand for, column by column."""
        n, k = matches.reference.shape
        found = [matches.poses(references, column) for column in range(k)]
        there = matches.reference >= 0
        rotation = np.stack([rotations for rotations, _ in found], axis=1)
        return cls(
            np.where(there, references.model[matches.reference], -1).astype(np.int32),
            np.where(there[..., None, None], rotation, np.eye(3)),
            np.stack([origins for _, origins in found], axis=1).reshape(n, k, 2),
            matches.score,
        )

    def taken(self, columns: Integer) -> Poses:
        """Return these columns (n, m) of each row."""
        rows = np.arange(len(self))[:, None]
        return Poses(
            self.model[rows, columns],
            self.rotation[rows, columns],
            self.origin[rows, columns],
            self.score[rows, columns],
        )

    def first(self, count: int) -> Poses:
        """Return the first ``count`` columns, or as many as there are."""
        n, k = self.model.shape
        return self.taken(np.broadcast_to(np.arange(min(count, k)), (n, min(count, k))))

    def rows(self, numbers: Integer | slice) -> Poses:
        """Return the poses of some particles, in this order."""
        return Poses(
            self.model[numbers], self.rotation[numbers], self.origin[numbers], self.score[numbers]
        )

    def ranked(self) -> Poses:
        """Return the same, the best of each particle first."""
        return self.taken(np.argsort(-self.score, axis=1, kind="stable"))

    def best_of_each_map(self, n_models: int, count: int = 1) -> Poses:
        """Return each particle's ``count`` best candidates with every map, best first.

        Where a particle has fewer with a map there is no candidate (``model`` -1).
        """
        parts = []
        for model in range(n_models):
            own = self.only(self.model == model).ranked()
            parts.append(own.first(count))
        return Poses.beside(parts).ranked()

    def at_copies(self, copies: Sequence[Float64]) -> Poses:
        """Return every candidate R at all copies R S of its map, (n, k times the most copies).

        ``copies`` are the operations S of each map, (c, 3, 3).
        """
        count = max(map(len, copies))
        operations = np.tile(np.eye(3), (len(copies), count, 1, 1))
        for own, given in zip(operations, copies, strict=True):
            own[: len(given)] = given
        held = np.arange(count) < np.array([len(own) for own in copies])[:, None]
        n, k = self.model.shape
        there = held[self.model] & (self.model[..., None] >= 0)
        rotation = self.rotation[:, :, None] @ operations[self.model]
        return Poses(
            np.repeat(self.model, count, axis=1),
            rotation.reshape(n, k * count, 3, 3),
            np.repeat(self.origin, count, axis=1),
            np.repeat(self.score, count, axis=1),
        ).only(there.reshape(n, k * count))

    def only(self, kept: Bool) -> Poses:
        """Return the candidates for which ``kept`` (n, k) holds; the others are none."""
        return Poses(
            np.where(kept, self.model, -1).astype(np.int32),
            np.where(kept[..., None, None], self.rotation, np.eye(3)),
            np.where(kept[..., None], self.origin, 0.0),
            np.where(kept, self.score, -np.inf).astype(np.float32),
        )

    @classmethod
    def beside(cls, parts: list[Poses]) -> Poses:
        """Return the candidates of the same particles from several sources, side by side."""
        return cls(
            np.concatenate([part.model for part in parts], axis=1),
            np.concatenate([part.rotation for part in parts], axis=1),
            np.concatenate([part.origin for part in parts], axis=1),
            np.concatenate([part.score for part in parts], axis=1),
        )

    @classmethod
    def joined(cls, parts: list[Poses]) -> Poses:
        """Return the poses of consecutive chunks of particles as one."""
        return cls(
            np.concatenate([part.model for part in parts]),
            np.concatenate([part.rotation for part in parts]),
            np.concatenate([part.origin for part in parts]),
            np.concatenate([part.score for part in parts]),
        )
