"""The references of one iteration: projection directions of all maps in one list."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mapsort.array_types import Float64, Int32
from mapsort.geometry.euler import eman_to_matrix


@dataclass(frozen=True)
class References:
    """Orientations of the projections, those of map 1 first, then map 2, and so on."""

    #: EMAN az, alt, phi [degrees], (n, 3).
    eulers: Float64
    #: Number of the map (from 0) that each reference belongs to, (n,).
    model: Int32
    n_models: int

    @classmethod
    def of_models(cls, eulers: Sequence[Float64]) -> References:
        """Return the references of maps whose orientations are given one array per map."""
        model = np.repeat(np.arange(len(eulers)), [len(e) for e in eulers]).astype(np.int32)
        return cls(np.concatenate(eulers), model, len(eulers))

    def __len__(self) -> int:
        return len(self.model)

    @property
    def rotations(self) -> Float64:
        """Object to view matrices, (n, 3, 3)."""
        return np.ascontiguousarray(eman_to_matrix(self.eulers))

    def part(self, where: slice) -> References:
        """Return some consecutive references; maps keep their numbers, and may have none."""
        return References(self.eulers[where], self.model[where], self.n_models)

    def block(self, model: int) -> slice:
        """Return where the references of one map stand in the list."""
        first, last = np.searchsorted(self.model, [model, model + 1])
        return slice(int(first), int(last))
