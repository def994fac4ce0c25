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
import numpy.typing as npt
import scipy.fft

from mapsort import _core
from mapsort.errors import ConfigError
from mapsort.model.poses import Poses
from mapsort.physics.filters import radial_power
from mapsort.physics.fourier_projection import FourierProjector
from mapsort.physics.scoring import Comparator, Scoring
from mapsort.stages.fourier_grid import Complex64, Float32
from mapsort.stages.search.search_levels import highest_ring

#: Slices of the map are read in so many poses about each candidate, at most.
MAX_STEPS = 12
#: Longest turn of one step [degrees]; farther away the slice's derivatives say nothing.
MAX_TURN_DEG = 8.0
#: Comparators whose terms are compared as they are: the search knows their derivatives.
_CLIMBED = (Comparator.LOGLIK, Comparator.CCC, Comparator.SQEUCLIDEAN)


@dataclass(frozen=True)
class LocalSearchPlan:
    """What is common to all particles of a search.

    Attributes
    ----------
    projectors : tuple of FourierProjector
        One per map.
    ring_weight : ndarray of shape (n_rings,)
        Weight of a Fourier term on rings 1, 2, ...
    apix : float
        Pixel size [A].
    max_shift : float
        Origins stay within this on either axis [pixels].
    scoring : Scoring
    """

    projectors: tuple[FourierProjector, ...]
    ring_weight: Float32
    apix: float
    max_shift: float
    scoring: Scoring

    def in_noise(self, ratio: npt.NDArray[np.floating]) -> LocalSearchPlan:
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
    volumes: Sequence[Float32],
    noise_power: npt.NDArray[np.floating],
    *,
    apix: float,
    max_shift: float,
    scoring: Scoring,
    max_radius: int | None = None,
    n_threads: int = 1,
) -> LocalSearchPlan:
    """Transform the maps and choose the band, as the matching does.

    Parameters
    ----------
    volumes : sequence of ndarray (box, box, box)
        Maps, white density.
    noise_power : ndarray of shape (box//2 + 1,)
        Mean |N|^2 of the noise's transform in each shell of a particle image.
    apix : float
        Pixel size [A].
    max_shift : float
        Largest shift [pixels].
    scoring : Scoring
        Of the comparators loglik, ccc and sqeuclidean.
    max_radius : int, optional
        Highest ring compared, whatever the maps hold.
    n_threads : int

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
    box = len(volumes[0])
    power = np.mean([radial_power(scipy.fft.rfftn(v))[: len(noise_power)] for v in volumes], axis=0)
    radius = highest_ring(power / noise_power, scoring, box * apix, max_radius)
    projectors = tuple(
        FourierProjector.plan(volume, max_radius=float(radius), n_threads=n_threads)
        for volume in volumes
    )
    weight = scoring.ring_weight(power, noise_power, radius, box * apix)
    return LocalSearchPlan(projectors, weight, apix, max_shift, scoring)


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
    plan : LocalSearchPlan
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
    np.clip(origin, -plan.max_shift, plan.max_shift, out=origin)
    cross = np.zeros(candidates.model.shape)
    norm = np.zeros(candidates.model.shape)
    poses = _core.PoseCandidates(rotation, origin, cross, norm)
    for model, projector in enumerate(plan.projectors):
        search = _core.PoseSearch(
            projector.for_kernels,
            plan.ring_weight,
            apix=plan.apix,
            max_turn=float(np.deg2rad(MAX_TURN_DEG)),
            max_origin=plan.max_shift,
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
