"""The whole similarity matrix: every particle against every reference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mapsort.model.matches import Matches
from mapsort.stages.fourier_grid import Float32


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
    mirror: npt.NDArray[np.int32]

    @classmethod
    def joined(cls, parts: Sequence[Similarity]) -> Similarity:
        """Return the matrix of consecutive chunks of particles."""
        names = ("score", "alpha", "dx", "dy", "mirror")
        return cls(**{name: np.concatenate([getattr(p, name) for p in parts]) for name in names})

    @classmethod
    def interleaved(cls, parts: Sequence[Similarity]) -> Similarity:
        """Return the matrix of particles that were dealt out in turn to several parts."""
        whole = cls.joined(parts)
        if len(parts) == 1:
            return whole
        dealt = [np.arange(k, len(whole.score), len(parts)) for k in range(len(parts))]
        return whole.rows(np.argsort(np.concatenate(dealt)))

    def rows(self, numbers: npt.NDArray[np.integer]) -> Similarity:
        """Return the rows of some particles, in this order."""
        names = ("score", "alpha", "dx", "dy", "mirror")
        return Similarity(**{name: getattr(self, name)[numbers] for name in names})


@dataclass(frozen=True)
class CoarseScores:
    """Scores of all pairs at the coarse level, and the kernel's codes of their alignments."""

    score: Float32
    code: npt.NDArray[np.int32]
    origins: Float32
    n_angles: int

    def similarity(self, matches: Matches) -> Similarity:
        """Return the whole matrix with the refined matches in their places."""
        shift, rest = np.divmod(self.code, 2 * self.n_angles)
        alpha = (rest // 2 * (2 * np.pi / self.n_angles)).astype(np.float32)
        x, y = self.origins[shift, 0], self.origins[shift, 1]
        cos, sin = np.cos(alpha), np.sin(alpha)
        worst = np.min(np.where(matches.reference >= 0, matches.score, np.inf), axis=1)
        limit = (worst - np.maximum(1e-4, 1e-6 * np.abs(worst)))[:, None]
        whole = Similarity(
            np.minimum(self.score, limit).astype(np.float32),
            np.rad2deg(alpha),
            cos * x + sin * y,
            -sin * x + cos * y,
            np.asarray(rest % 2, dtype=np.int32),
        )
        row, column = np.nonzero(matches.reference >= 0)
        reference = matches.reference[row, column]
        for name in ("score", "alpha", "dx", "dy", "mirror"):
            getattr(whole, name)[row, reference] = getattr(matches, name)[row, column]
        return whole
