"""Scores of particles against references, from the terms of the Gaussian likelihood."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mapsort.stages.fourier_grid import Float32


@dataclass(frozen=True)
class Scoring:
    """How a cross term f and a reference norm g (both in units of the noise) become a score.

    The score is the log-likelihood [nat] of the particle under Gaussian noise relative to an empty
    image, maximised over the particle's scale s >= 0, whose prior is normal about 1:
    max_s s f - s^2 g / 2 - (s - 1)^2 / 2 spread^2.

    Attributes
    ----------
    scale_spread : float
        Standard deviation of the particles' scales; infinity makes the score blind to the scale of
        the maps (f^2 / 2g), zero takes it as it is (f - g / 2).
    """

    scale_spread: float

    def scores(self, cross: Float32, norm: Float32) -> Float32:
        """Return scores of the same shape."""
        if self.scale_spread == 0.0:
            return np.asarray(cross - 0.5 * norm, dtype=np.float32)
        stiffness = np.float32(self.scale_spread**-2 if np.isfinite(self.scale_spread) else 0.0)
        width = np.maximum(norm + stiffness, np.finfo(np.float32).tiny)
        gain = 0.5 * np.maximum(cross + stiffness, 0.0) ** 2 / width
        return np.asarray(gain - 0.5 * stiffness, dtype=np.float32)
