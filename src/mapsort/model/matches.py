"""The outcome of matching: for each particle its best references and how it lies on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np

from mapsort.array_types import Float32, Float64, Int32, Integer
from mapsort.geometry.pose import match_to_pose
from mapsort.model.references import References


@dataclass(frozen=True)
class Matches:
    """Best references of n particles, ``top`` each, best first; all arrays are (n, top).

    The alignment (alpha, dx, dy, mirror) is EMAN's 2-D transform of the *particle* onto the
    reference: rotate, then translate, then mirror x.

    Attributes
    ----------
    reference : ndarray, int32
        Number of the reference; -1 where there is none.
    score : ndarray, float32
        Log-likelihood [nat] relative to an empty image; larger is better, -inf where there is none.
    quality : ndarray, float32
        Correlation with the reference in units of its standard deviation under pure noise.
    alpha : ndarray, float32
        In-plane rotation [degrees].
    dx, dy : ndarray, float32
        Translation after the rotation [pixels].
    mirror : ndarray, int32
        0 or 1.
    """

    reference: Int32
    score: Float32
    quality: Float32
    alpha: Float32
    dx: Float32
    dy: Float32
    mirror: Int32

    def __len__(self) -> int:
        return len(self.reference)

    def part(self, where: slice) -> Matches:
        """Return the matches of a range of particles, without copying them."""
        return Matches(**{item.name: getattr(self, item.name)[where] for item in fields(self)})

    def rows(self, numbers: Integer) -> Matches:
        """Return the matches of some particles, in this order."""
        return Matches(
            **{
                item.name: np.ascontiguousarray(getattr(self, item.name)[numbers])
                for item in fields(self)
            }
        )

    def taken(self, rows: Integer, columns: Integer) -> Matches:
        """Return single matches, one per pair of row and column, top = 1."""
        return Matches(
            **{
                item.name: np.ascontiguousarray(getattr(self, item.name)[rows, columns, None])
                for item in fields(self)
            }
        )

    def copied(self) -> Matches:
        """Return a copy with arrays of its own, that poses can be placed in."""
        return Matches(**{item.name: getattr(self, item.name).copy() for item in fields(self)})

    def place(self, rows: Integer, columns: Integer, other: Matches) -> None:
        """Put the poses of other matches, (n, 1), in place; scores and references stay."""
        for name in ("alpha", "dx", "dy", "mirror"):
            getattr(self, name)[rows, columns] = getattr(other, name)[:, 0]

    def ordered(self) -> Matches:
        """Return the same matches, each particle's best first."""
        return self.taken_along(np.argsort(-self.score, axis=1, kind="stable"))

    def taken_along(self, columns: Integer) -> Matches:
        """Return these columns (n, m) of each row."""
        return Matches(
            **{
                item.name: np.take_along_axis(getattr(self, item.name), columns, axis=1)
                for item in fields(self)
            }
        )

    def placing(self, row: int, column: int = 0) -> Float64:
        """Return the (2, 3) matrix that lays a particle onto its reference: x -> M (R x + t)."""
        alpha = np.deg2rad(float(self.alpha[row, column]))
        cos, sin = np.cos(alpha), np.sin(alpha)
        dx, dy = float(self.dx[row, column]), float(self.dy[row, column])
        matrix = np.array([[cos, sin, dx], [-sin, cos, dy]])
        if self.mirror[row, column]:
            matrix[0] *= -1.0
        return matrix

    @property
    def origin(self) -> Float32:
        """Shift [pixels] that centres each particle (RELION's origin), (n, top, 2)."""
        a = np.deg2rad(self.alpha.astype(np.float64))
        cos, sin = np.cos(a), np.sin(a)
        x = cos * self.dx - sin * self.dy
        y = sin * self.dx + cos * self.dy
        return np.stack([x, y], axis=-1).astype(np.float32)

    def poses(self, references: References, column: int = 0) -> tuple[Float64, Float64]:
        """Return (rotations (n, 3, 3), origins (n, 2) [pixels]) of one column's matches."""
        rotations = references.rotations[self.reference[:, column]]
        return match_to_pose(
            rotations,
            self.alpha[:, column],
            self.dx[:, column],
            self.dy[:, column],
            self.mirror[:, column],
        )

    def map_probabilities(self, references: References) -> Float64:
        """Return the probability of each map, (n, n_models), from the best match to each.

        Equal prior probabilities; every map stands for its best pose.
        """
        best = np.full((len(self), references.n_models), -np.inf)
        rows = np.arange(len(self))
        for column in range(self.reference.shape[1]):
            present = self.reference[:, column] >= 0
            model = references.model[self.reference[:, column]]
            np.maximum.at(best, (rows[present], model[present]), self.score[present, column])
        weights = np.exp(best - best.max(axis=1, keepdims=True))
        return np.asarray(weights / weights.sum(axis=1, keepdims=True))

    def renumbered(self, offset: int) -> Matches:
        """Return the same with reference numbers that count from ``offset``."""
        if offset == 0:
            return self
        reference = np.where(self.reference >= 0, self.reference + offset, -1)
        return replace(self, reference=reference.astype(np.int32))

    def best_of_model(self, references: References, model: int) -> Matches:
        """Return each particle's best match with one map, top = 1."""
        own = np.where(self.reference >= 0, references.model[self.reference] == model, False)
        column = np.argmax(np.where(own, self.score, -np.inf), axis=1)
        return self.taken(np.arange(len(self)), column)

    @classmethod
    def merged(cls, parts: Sequence[Matches], references: References, *, per_map: int) -> Matches:
        """Return the best ``per_map`` matches with each map out of several sets of matches.

        The sets are of the same particles with different references; best first.
        """
        every = cls(
            **{
                item.name: np.concatenate([getattr(part, item.name) for part in parts], axis=1)
                for item in fields(cls)
            }
        )
        model = np.where(every.reference >= 0, references.model[every.reference], -1)
        columns = []
        for m in range(references.n_models):
            own = np.where(model == m, every.score, -np.inf)
            count = min(per_map, int((model == m).sum(axis=1).min()))
            columns.append(np.argsort(-own, axis=1, kind="stable")[:, :count])
        chosen = np.concatenate(columns, axis=1)
        rows = np.arange(len(every))[:, None]
        score = np.where(every.reference[rows, chosen] >= 0, every.score[rows, chosen], -np.inf)
        chosen = np.take_along_axis(chosen, np.argsort(-score, axis=1, kind="stable"), axis=1)
        return cls(
            **{
                item.name: np.ascontiguousarray(getattr(every, item.name)[rows, chosen])
                for item in fields(cls)
            }
        )

    @classmethod
    def joined(cls, parts: Sequence[Matches]) -> Matches:
        """Return the matches of consecutive chunks of particles as one."""
        return cls(
            **{
                item.name: np.concatenate([getattr(part, item.name) for part in parts])
                for item in fields(cls)
            }
        )
