"""What a single-map refinement keeps of its two half-sets from one iteration to the next."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mapsort.model.poses import Poses
from mapsort.options.refine import RefineOptions
from mapsort.physics.half_maps import HalfMapFsc
from mapsort.refinement.run import Run
from mapsort.stages.fourier_grid import Float32

#: Half-sets by number; see `mapsort.model.half_sets`.
HALF_NAMES = ("even", "odd")


@dataclass(frozen=True)
class SingleRun:
    """What stays the same through a refinement.

    Attributes
    ----------
    options : RefineOptions
    whole : Run
        The request for all particles, as one of several maps of which there is one.
    halves : tuple of Run
        The same for each half-set alone; nothing of one half is in the other.
    start_resolution_ang : float
        Where the starting map ends.
    structure_factor : ndarray of shape (m, 2) or None
        Frequency [1/A] and intensity that the final map is given.
    """

    options: RefineOptions
    whole: Run
    halves: tuple[Run, ...]
    start_resolution_ang: float
    structure_factor: npt.NDArray[np.float64] | None = None

    @property
    def n_particles(self) -> int:
        """Number of particles of both halves."""
        return len(self.whole.inputs.particles)

    def rows(self, half: int) -> npt.NDArray[np.intp]:
        """Return the numbers of the particles of a half, in their order."""
        return np.flatnonzero(self.whole.inputs.halves.half == half)

    @property
    def seed(self) -> int:
        """Random seed."""
        return self.whole.plan.seed


@dataclass(frozen=True)
class HalfState:
    """One half-set between two iterations.

    Attributes
    ----------
    reference : ndarray of shape (box, box, box)
        Filtered, masked map that the next iteration projects, made of this half alone.
    noise_power : ndarray of shape (box//2 + 1,)
        Mean |N|^2 of a particle's noise in each shell.
    poses : Poses or None
        Of this half's particles, the best and the next ones; None before the first iteration.
    """

    reference: Float32
    noise_power: npt.NDArray[np.float64]
    poses: Poses | None


@dataclass(frozen=True)
class SingleState:
    """A refinement between two iterations.

    Attributes
    ----------
    iteration : int
        0 for the prepared seeds.
    halves : tuple of HalfState
        Even, odd.
    resolution_ang : float
        At FSC 0.143 of the last iteration, or where the starting map ends.
    settled : bool
        Whether particles now move by less than the grid of views can tell: the search goes on
        about their poses only.
    map : ndarray or None
        Filtered map of both halves, for comparison with the next one.
    """

    iteration: int
    halves: tuple[HalfState, ...]
    resolution_ang: float
    settled: bool
    map: Float32


@dataclass(frozen=True)
class HalfOutcome:
    """What an iteration found for one half.

    Attributes
    ----------
    poses : Poses
    volume : ndarray of shape (box, box, box)
        Half map, unfiltered, not masked.
    noise_power : ndarray of shape (box//2 + 1,)
    scale : float
        Least-squares scale of the reference in the particles.
    highest_ring : int
    """

    poses: Poses
    volume: Float32
    noise_power: npt.NDArray[np.float64]
    scale: float
    highest_ring: int


@dataclass(frozen=True)
class SingleOutcome:
    """Everything an iteration found; the run directory's files are made from it.

    Attributes
    ----------
    state : SingleState
        Input of the next iteration.
    halves : tuple of HalfOutcome
    map : ndarray of shape (box, box, box)
        Mean of the halves, filtered by their FSC, masked.
    sharpened : ndarray of shape (box, box, box)
    mask : ndarray of shape (box, box, box)
        About the mean of the halves; it serves the FSC and the final map, never the references.
    curves : HalfMapFsc
    step_deg : float or None
        Step of the grid of views; None where the search was about the last poses only.
    bfactor_ang2 : float or None
        B that the map was sharpened by; None for none.
    angle_change_deg, shift_change_px : float or None
        Median turn and mean move of the particles since the last iteration.
    seconds : dict
        Time of each stage.
    """

    state: SingleState
    halves: tuple[HalfOutcome, ...]
    map: Float32
    sharpened: Float32
    mask: Float32
    curves: HalfMapFsc
    step_deg: float | None
    bfactor_ang2: float | None
    angle_change_deg: float | None
    shift_change_px: float | None
    seconds: dict[str, float]
