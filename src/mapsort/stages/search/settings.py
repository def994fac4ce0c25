"""How poses are searched, refined and scored, and what the images of an iteration share for it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from mapsort.array_types import Float32, Float64, Real
from mapsort.errors import ConfigError
from mapsort.modules.registry import BoundModule
from mapsort.modules.search_aligner import NEWTON_STEPS, Polish, SearchAligner
from mapsort.physics.scoring import Comparator, Scoring
from mapsort.stages.fourier_grid import FourierGrid

#: Share of the expected signal in the full band, which decides.
FULL_BAND = 0.99999
#: Rings below this are always in the band: coarser images have no orientation.
LOWEST_RING = 6
_ANY_POSE, _REFINED = SearchAligner(), Polish(NEWTON_STEPS)


@dataclass(frozen=True)
class SearchSettings:
    """How poses are found and references ranked; by default all by one scoring, and refined."""

    #: What references are ranked by in the end, as far as the search's kernels know it.
    scoring: Scoring
    #: What may differ between a particle and its reference, and how it is searched.
    aligner: SearchAligner = _ANY_POSE
    #: What a pair's pose is chosen by; None: ``scoring``.
    search: Scoring | None = None
    #: Continuous refinement of the best poses; None: they stay on the lattice.
    polish: Polish | None = _REFINED
    #: What it improves; None: as ``search``.
    polish_by: Scoring | None = None
    #: A comparator that ranks the best poses of each map anew, on the images themselves.
    pairs: BoundModule[..., float] | None = None
    #: Whether maps that are alike share views before the last levels of the search.
    shares_views: bool = True

    @property
    def ranking(self) -> Scoring:
        """What references are ranked by while their poses are searched with another scoring.

        Poses of one pair are the business of ``search``; references among each other are compared
        by correlation until the final scoring sees the best of them: a scalar product would prefer
        the strongest reference.
        """
        search = self.search or self.scoring
        if search.terms == self.scoring.terms:
            return self.scoring
        comparator = Comparator.CCC if search.comparator is Comparator.DOT else search.comparator
        return replace(search, comparator=comparator, scale_spread=float(np.inf))


@dataclass(frozen=True)
class SearchContext:
    """What the images of one iteration share, whatever they are compared with."""

    grid: FourierGrid
    #: Pixel size [A].
    apix: float
    #: Mean |N|^2 of the noise's transform in each shell of a particle image, (box//2 + 1,).
    noise_power: Real
    #: Largest shift searched [pixels].
    max_shift: float
    #: Highest ring compared, whatever the references hold; None for no limit.
    max_radius: int | None = None
    #: Width of the normal prior on shifts along each axis [pixels]; infinite for none.
    shift_spread: float = float("inf")
    n_threads: int = 1

    def highest_ring(self, signal_power: Real, scoring: Scoring) -> int:
        """Return the highest ring compared, by the references' content and what is asked for.

        Raises
        ------
        ConfigError
            If no ring is left to compare.
        """
        ang_per_ring = self.grid.box * self.apix
        power = signal_power / self.noise_power
        radius = min(_band_limit(power), self.max_radius or len(power))
        coarse, fine = scoring.lowest_ang, scoring.highest_ang
        if fine is not None:
            radius = min(radius, int(ang_per_ring / fine))
        lowest = 1 if coarse is None else int(np.ceil(ang_per_ring / coarse))
        if radius < max(lowest, 2):
            raise ConfigError(
                f"minres, maxres: no Fourier ring lies between {coarse} and {fine} A "
                "where the maps have signal; give a wider range"
            )
        return radius

    def ring_weight(self, signal_power: Real, scoring: Scoring, n_rings: int) -> Float32:
        """Return the weight of a Fourier term on each of the rings from 1 on."""
        ang_per_ring = self.grid.box * self.apix
        return scoring.ring_weight(signal_power, self.noise_power, n_rings, ang_per_ring)


def white_noise(box: int) -> Float64:
    """Return the power of white noise of unit variance in each shell, (box//2 + 1,)."""
    return np.full(box // 2 + 1, float(box) ** 2)


def _band_limit(power: Real) -> int:
    """Return the smallest ring below which nearly all of the signal lies, below Nyquist.

    ``power`` is the mean power of a projection on each ring, over that of the noise; ring k has
    2 pi k Fourier pixels.
    """
    cumulative = np.cumsum(np.arange(len(power)) * power)
    ring = int(np.searchsorted(cumulative, FULL_BAND * cumulative[-1]))
    return int(np.clip(ring, LOWEST_RING, len(power) - 2))
