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
    """What an iteration learnt of the particles, for the next one."""

    #: Standard deviation of the particles' scales; None before it is known.
    scale_spread: float | None = None
    #: Width of the prior on shifts along each axis [pixels]; infinite before it is known.
    shift_spread: float = float("inf")
    #: Noise spectrum of each optics group, (n_groups, box//2 + 1); None where there is one group.
    group_noise: Float64 | None = None
    #: By how many robust deviations what is left of a particle, when its map is taken from it, is
    #: less like noise than what is left of others, (n,).
    misfit: Float64 | None = None
    #: Particles that lay on the same map, and on the same view or one beside it, in the last two
    #: iterations, (n,); None where searching everywhere costs little.
    still: Bool | None = None


@dataclass(frozen=True)
class State:
    """What one iteration hands to the next."""

    #: 0 for the prepared seeds.
    iteration: int
    #: Filtered, masked maps that the next iteration projects, each (box, box, box).
    references: tuple[Float32, ...]
    #: Mean |N|^2 of a particle's noise in each shell, (box//2 + 1,); with independent half-sets
    #: that of each, (2, box//2 + 1).
    noise_power: Float64
    #: Of the iteration that made this state.
    matches: Matches | None
    #: Fraction of the particles that each map held in it, (n_models,).
    shares: Float64 | None = None
    #: With ``--halves``, the references of the two half-sets; ``references`` are then their means,
    #: for show.
    halves: tuple[tuple[Float32, ...], tuple[Float32, ...]] | None = None
    learnt: Learnt = field(default_factory=Learnt)
    #: Which of several starts it comes from, from 0.
    trial: int = 0
    #: First iteration that shared particles by their probabilities, 0 if there was none yet.
    soft_since: int = 0
    #: Classes that particles stay in, where they were found before the iterations.
    known: KnownClasses | None = None
    #: Of classes from one map, before the first iteration: share of each class that lay elsewhere,
    #: of a sample in the classes' maps and after each search for views, (n, n_models).
    elsewhere: Float64 | None = None
    #: With independent half-sets: the best poses of each particle, from the first iteration on.
    poses: Poses | None = None
    #: With them: at FSC 0.143 of the last iteration, or where the starting map ends.
    resolution_ang: float = float("inf")
    #: With them: whether particles move by less than the grid of views can tell, so that the search
    #: goes on about their poses only.
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
