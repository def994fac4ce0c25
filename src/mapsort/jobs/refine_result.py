"""What a finished single-map refinement hands over."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from mapsort.model.volume import Volume


@dataclass(frozen=True)
class RefinedMap:
    """A finished single-map refinement.

    Attributes
    ----------
    path : Path
        The run directory.
    map : Volume
        Mean of the half maps, filtered by their FSC, masked.
    sharpened : Volume
        The same with its amplitudes restored.
    half_maps : tuple of Volume
        Even and odd, unfiltered, not masked.
    mask : Volume
    resolution_ang : float
        Where the corrected FSC of the half maps falls below 0.143.
    assignments : DataFrame
        One row per particle: half-set, pose, score.
    convergence : list of dict
        One record per iteration, as in convergence.json.
    """

    path: Path
    map: Volume
    sharpened: Volume
    half_maps: tuple[Volume, ...]
    mask: Volume
    resolution_ang: float
    assignments: pd.DataFrame
    convergence: list[dict[str, Any]]

    @property
    def maps(self) -> tuple[Volume, ...]:
        """The map, as the one of a run's maps."""
        return (self.map,)
