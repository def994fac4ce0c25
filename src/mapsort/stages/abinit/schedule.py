"""How rings, views and batches go on from round to round."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

#: Where the rounds begin and end [A], and the rings that this is limited to.
FIRST_ANG, LAST_ANG = 40.0, 12.0
LEAST_RINGS, MOST_FIRST_RINGS, MOST_RINGS = 3, 6, 24
#: Rings that poses are searched with among all, at most; with more, near the likeliest ones.
COARSE_RINGS = 7
#: Rings that batches are tried with, at most; with more, all particles are.
MOST_BATCH_RINGS = 9
#: Stages of rising resolution: of batches and of all particles.
BATCH_STAGES, LAST_STAGES = 5, 5
#: Of the first and the last stage: rounds, particles of a batch, part that a batch has in the
#: sums.
ROUNDS, BATCH, PART = (15, 4), (200, 400), (0.5, 0.25)
#: Step between views times rings [degrees], and its bounds.
_STEP, _FINEST, _COARSEST = 80.0, 8.0, 20.0
#: Shifts that are tried in the length of the last ring's wave, and the least step [boxes]. With
#: half as many, particles lie up to a sixth of the wave off along both axes; what suits them then
#: is a view that moves the map's parts, and the views of round molecules are not found.
_SHIFTS, _LEAST_SHIFT = 6, 1 / 96
#: Points of a ring, for up to so many rings.
_ANGLES = ((5, 24), (8, 32), (12, 48), (18, 64), (MOST_RINGS, 80))


@dataclass(frozen=True)
class Stage:
    """Rounds at one resolution."""

    rings: int
    #: Points of a ring.
    angles: int
    #: Between views.
    step_deg: float
    #: Between shifts [pixels].
    shift_step: float
    rounds: int
    #: Particles of a round.
    batch: int
    #: Part that a round has in the trailing sums.
    part: float

    @classmethod
    def at(cls, rings: int, box: int, progress: float = 1.0) -> Stage:
        """Return the stage of some rings, at 0 to 1 of the way."""

        def between(ends: tuple[float, float]) -> float:
            return float(ends[0] * (ends[1] / ends[0]) ** progress)

        return cls(
            rings=rings,
            angles=next(count for most, count in _ANGLES if rings <= most),
            step_deg=float(np.clip(_STEP / rings, _FINEST, _COARSEST)),
            shift_step=max(box / rings / _SHIFTS, _LEAST_SHIFT * box),
            rounds=round(between(ROUNDS)),
            batch=round(between(BATCH)),
            part=between(PART),
        )

    def coarse(self, box: int) -> Stage:
        """Return the stage whose rings tell which poses are likely at all."""
        return self if self.rings <= COARSE_RINGS else Stage.at(COARSE_RINGS, box)


@dataclass(frozen=True)
class Schedule:
    """All stages, in order."""

    #: Of some particles at a time.
    batches: list[Stage]
    #: Of all particles, one round each.
    last: list[Stage]


def schedule(box: int, apix: float, target_ang: float | None = None) -> Schedule:
    """Return the stages for images of a box [pixels] and pixel size [A].

    Parameters
    ----------
    target_ang : float, optional
        Resolution of the last stage, by default 12 A.
    """
    field = box * apix
    asked = round(field / (target_ang or LAST_ANG))
    last = max(LEAST_RINGS, min(asked, MOST_RINGS, (box - 1) // 2 - 3))
    widest = min(last, MOST_BATCH_RINGS)
    first = min(widest, int(np.clip(round(field / FIRST_ANG), LEAST_RINGS, MOST_FIRST_RINGS)))
    width = max(1, widest - first)
    rising = np.unique(_between(first, widest, BATCH_STAGES))
    return Schedule(
        [Stage.at(int(ring), box, (ring - first) / width) for ring in rising],
        [Stage.at(ring, box) for ring in _between(widest, last, LAST_STAGES)],
    )


def _between(first: int, last: int, count: int) -> list[int]:
    return [int(ring) for ring in np.rint(np.geomspace(first, last, count))]
