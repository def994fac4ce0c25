"""Local search: the best pose about candidates, continuous in view, in-plane angle and shift.

The matching compares with projections on a grid of views, whose step (several degrees) is far
coarser than what the particles tell. From the best candidates of that grid, or from poses known
before, the likelihood is climbed in all five degrees of freedom at once: the map is sliced at the
pose itself, and the slice's derivatives give gradient and curvature (a Levenberg-Marquardt search:
Marquardt, J. Soc. Indust. Appl. Math. 11 (1963) 431). CTF, noise weights and the treatment of the
particle's scale are those of the matching. So are the scores, but for how the band's ends are
counted: the matching integrates over rings, this sums over the terms of the plane.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from mapsort import _core
from mapsort.array_types import Complex64, Float32, Real
from mapsort.errors import ConfigError
from mapsort.model.poses import Poses
from mapsort.physics.fourier_projection import FourierProjector
from mapsort.physics.scoring import Comparator, Scoring
from mapsort.stages.project import signal_power
from mapsort.stages.search.settings import SearchContext

#: Slices of the map are read in so many poses about each candidate, at most.
MAX_STEPS = 12
#: Longest turn of one step [degrees]; farther away the slice's derivatives say nothing.
MAX_TURN_DEG = 8.0
#: Comparators whose terms are compared as they are: the search knows their derivatives.
_CLIMBED = (Comparator.LOGLIK, Comparator.CCC, Comparator.SQEUCLIDEAN)


@dataclass(frozen=True)
class LocalSearchPlan:
    """What is common to all particles of a search."""

    #: One per map.
    projectors: tuple[FourierProjector, ...]
    #: Weight of a Fourier term on rings 1, 2, .., (n_rings,).
    ring_weight: Float32
    #: Origins stay within its ``max_shift`` on either axis.
    context: SearchContext
    scoring: Scoring

    def in_noise(self, ratio: Real) -> LocalSearchPlan:
        """Return the plan for particles whose noise has ``ratio`` times the power, by shell."""
        if not self.scoring.comparator.whitens:
            return self
        weight = self.ring_weight / ratio[1 : len(self.ring_weight) + 1]
        return replace(self, ring_weight=np.ascontiguousarray(weight, dtype=np.float32))

    @property
    def highest_ring(self) -> int:
        """Highest frequency compared, in Fourier pixels."""
        return len(self.ring_weight)

    @property
    def stiffness(self) -> float:
        """How stiffly the particle's scale is bound to 1, as the kernel takes it."""
        if self.scoring.scale_spread == 0.0:
            return float("inf")
        return float(self.scoring.scale_spread) ** -2


def plan_local_search(
    volumes: Sequence[Float32], context: SearchContext, scoring: Scoring
) -> LocalSearchPlan:
    """Transform the maps and choose the band, as the matching does.

    Parameters
    ----------
    volumes : sequence of ndarray (box, box, box)
        Maps, white density.
    scoring : Scoring
        Of the comparators loglik, ccc and sqeuclidean.

    Raises
    ------
    ConfigError
        For another comparator, or if no ring is left to compare.
    """
    if scoring.comparator not in _CLIMBED:
        known = ", ".join(comparator.value for comparator in _CLIMBED)
        raise ConfigError(
            f"simcmp={scoring.comparator.value}: the local search takes {known}; "
            "use one of them, or no local search"
        )
    power = signal_power(volumes)
    radius = context.highest_ring(power, scoring)
    projectors = tuple(
        FourierProjector.plan(volume, max_radius=float(radius), n_threads=context.n_threads)
        for volume in volumes
    )
    weight = context.ring_weight(power, scoring, radius)
    return LocalSearchPlan(projectors, weight, context, scoring)


def search_locally(
    plan: LocalSearchPlan,
    transforms: Complex64,
    ctf: Float32,
    candidates: Poses,
    *,
    max_steps: int = MAX_STEPS,
    n_threads: int = 1,
) -> Poses:
    """Climb to the best pose about every candidate.

    Parameters
    ----------
    transforms : ndarray of shape (n, box, box//2+1), complex64
        Of the particles, phases about the centre (`centred_transform` of the treated images).
    ctf : ndarray of shape (n, 7), float32
        CTF coefficients (`ctf_coefficients`).
    candidates : Poses
        Where to begin, (n, k); from a projection's match (`Poses.of_matches`) or from before.
    max_steps : int
        Slices read about each candidate, at most; 0 only scores the candidates.
    n_threads : int
        The result does not depend on it.

    Returns
    -------
    Poses
        The candidates where they arrived, (n, k), best first, with their scores.
    """
    rotation = np.array(candidates.rotation, dtype=np.float64, order="C")
    origin = np.array(candidates.origin, dtype=np.float64, order="C")
    max_shift = plan.context.max_shift
    np.clip(origin, -max_shift, max_shift, out=origin)
    cross = np.zeros(candidates.model.shape)
    norm = np.zeros(candidates.model.shape)
    poses = _core.PoseCandidates(rotation, origin, cross, norm)
    for model, projector in enumerate(plan.projectors):
        search = _core.PoseSearch(
            projector.for_kernels,
            plan.ring_weight,
            apix=plan.context.apix,
            max_turn=float(np.deg2rad(MAX_TURN_DEG)),
            max_origin=max_shift,
            stiffness=plan.stiffness,
        )
        search.climb(
            transforms,
            ctf,
            poses,
            chosen=np.ascontiguousarray(candidates.model == model, dtype=np.int32),
            max_steps=max_steps,
            n_threads=n_threads,
        )
    scores = plan.scoring.scores(cross.astype(np.float32), norm.astype(np.float32))
    scores[candidates.model < 0] = -np.inf
    return Poses(candidates.model, rotation, origin, scores).ranked()
