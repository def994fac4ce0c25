"""What one iteration hands to the next."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from mapsort.array_types import Bool, Float32, Float64
from mapsort.model.matches import Matches
from mapsort.model.poses import Poses
from mapsort.refinement.known_classes import KnownClasses


@dataclass(frozen=True)
class Learnt:
    """What an iteration learnt of the particles, for the next one.

    Attributes
    ----------
    scale_spread : float or None
        Standard deviation of the particles' scales; None before it is known.
    shift_spread : float
        Width of the prior on shifts along each axis [pixels]; infinite before it is known.
    group_noise : ndarray of shape (n_groups, box//2 + 1), or None
        Noise spectrum of each optics group; None where there is one group.
    misfit : ndarray of shape (n,), or None
        By how many robust deviations what is left of a particle, when its map is taken from it, is
        less like noise than what is left of others.
    still : ndarray of shape (n,), bool, or None
        Particles that lay on the same map, and on the same view or one beside it, in the last two
        iterations; None where searching everywhere costs little.
    """

    scale_spread: float | None = None
    shift_spread: float = float("inf")
    group_noise: Float64 | None = None
    misfit: Float64 | None = None
    still: Bool | None = None


@dataclass(frozen=True)
class State:
    """What one iteration hands to the next.

    Attributes
    ----------
    iteration : int
        0 for the prepared seeds.
    references : tuple of ndarray (box, box, box)
        Filtered, masked maps that the next iteration projects.
    noise_power : ndarray of shape (box//2 + 1,)
        Mean |N|^2 of a particle's noise in each shell; with independent half-sets that of each,
        (2, box//2 + 1).
    matches : Matches or None
        Of the iteration that made this state.
    shares : ndarray of shape (n_models,) or None
        Fraction of the particles that each map held in it.
    halves : tuple of two tuples of ndarray, or None
        With ``--halves``, the references of the two half-sets; ``references``
        are then their means, for show.
    trial : int
        Which of several starts it comes from, from 0.
    soft_since : int
        First iteration that shared particles by their probabilities, 0 if there was none yet.
    known : KnownClasses or None
        Classes that particles stay in, where they were found before the iterations.
    poses : Poses or None
        With independent half-sets: the best poses of each particle, from the first iteration on.
    resolution_ang : float
        With them: at FSC 0.143 of the last iteration, or where the starting map ends.
    settled : bool
        With them: whether particles move by less than the grid of views can tell, so that the
        search goes on about their poses only.
    """

    iteration: int
    references: tuple[Float32, ...]
    noise_power: Float64
    matches: Matches | None
    shares: Float64 | None = None
    halves: tuple[tuple[Float32, ...], tuple[Float32, ...]] | None = None
    learnt: Learnt = field(default_factory=Learnt)
    trial: int = 0
    soft_since: int = 0
    known: KnownClasses | None = None
    poses: Poses | None = None
    resolution_ang: float = float("inf")
    settled: bool = False

    def maps_only(self) -> State:
        """Return it without the matches of every particle: little to send elsewhere."""
        learnt = replace(self.learnt, misfit=None, still=None)
        return replace(self, matches=None, poses=None, halves=None, known=None, learnt=learnt)

    def noise_ratios(self) -> list[Float64]:
        """Return the noise of each optics group over that of all particles, by shell."""
        if self.learnt.group_noise is None:
            return [np.ones_like(self.noise_power)]
        return [power / self.noise_power for power in self.learnt.group_noise]

    def of_part(self, part: int) -> State:
        """Return the state of one half-set: with its own references, and noise if it has."""
        if self.halves is None:
            return self
        noise = self.noise_power if self.noise_power.ndim == 1 else self.noise_power[part]
        return replace(self, references=self.halves[part], noise_power=noise)

    @property
    def reference_sets(self) -> tuple[tuple[Float32, ...], ...]:
        """The sets of maps that half-sets are matched with; one without ``--halves``."""
        return (self.references,) if self.halves is None else self.halves
