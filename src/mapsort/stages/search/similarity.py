"""The whole similarity matrix: every particle against every reference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mapsort.array_types import Float32, Int32, Integer
from mapsort.model.matches import Matches

_NAMES = ("score", "alpha", "dx", "dy", "mirror")


@dataclass(frozen=True)
class Similarity:
    """Every particle against every reference; all arrays are (n, n_references).

    ``score`` is a log-likelihood as in Matches; alpha [degrees], dx, dy [pixels] and mirror are the
    transform of the particle onto the reference. Refined matches have their final values, the
    others those of the coarse level, bounded so that none beats a refined one of its particle.
    """

    score: Float32
    alpha: Float32
    dx: Float32
    dy: Float32
    mirror: Int32

    @classmethod
    def joined(cls, parts: Sequence[Similarity]) -> Similarity:
        """Return the matrix of consecutive chunks of particles."""
        return cls(**{name: np.concatenate([getattr(p, name) for p in parts]) for name in _NAMES})

    def rows(self, numbers: Integer) -> Similarity:
        """Return the rows of some particles, in this order."""
        return Similarity(**{name: getattr(self, name)[numbers] for name in _NAMES})

    @classmethod
    def of_matches(cls, matches: Matches, n_references: int) -> Similarity:
        """Return the matrix of matches alone: pairs that were not compared come last, unaligned."""
        shape = (len(matches), n_references)
        zero = np.zeros(shape, dtype=np.float32)
        score = np.broadcast_to(_below(matches), shape)
        empty = cls(score, zero, zero, zero, np.zeros(shape, dtype=np.int32))
        return empty.with_matches(matches)

    def with_matches(self, matches: Matches) -> Similarity:
        """Return the matrix with these matches in their places, and no other pair above them."""
        values = {name: np.array(getattr(self, name)) for name in _NAMES}
        values["score"] = np.minimum(self.score, _below(matches)).astype(np.float32)
        row, column = np.nonzero(matches.reference >= 0)
        reference = matches.reference[row, column]
        for name, matrix in values.items():
            matrix[row, reference] = getattr(matches, name)[row, column]
        return Similarity(**values)


def _below(matches: Matches) -> Float32:
    """Return a little less than the worst score of each particle's matches, (n, 1)."""
    worst = np.min(np.where(matches.reference >= 0, matches.score, np.inf), axis=1)
    margin = np.maximum(1e-4, 1e-6 * np.abs(worst))
    return np.asarray(worst - margin, dtype=np.float32)[:, None]


@dataclass(frozen=True)
class CoarseScores:
    """Scores of all pairs at the coarse level, and the kernel's codes of their alignments."""

    score: Float32
    code: Int32
    origins: Float32
    n_angles: int

    def similarity(self, matches: Matches) -> Similarity:
        """Return the whole matrix with the refined matches in their places."""
        shift, rest = np.divmod(self.code, 2 * self.n_angles)
        alpha = (rest // 2 * (2 * np.pi / self.n_angles)).astype(np.float32)
        x, y = self.origins[shift, 0], self.origins[shift, 1]
        cos, sin = np.cos(alpha), np.sin(alpha)
        coarse = Similarity(
            self.score,
            np.rad2deg(alpha),
            cos * x + sin * y,
            -sin * x + cos * y,
            np.asarray(rest % 2, dtype=np.int32),
        )
        return coarse.with_matches(matches)
