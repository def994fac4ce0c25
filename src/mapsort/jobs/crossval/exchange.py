"""Whether a set, refined from another set's map, returns to its own: compared by halves apart."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from mapsort.array_types import Float32, Float64, Indices, Real
from mapsort.jobs.refine import RefinedMap
from mapsort.physics.fsc import (
    N_SECTORS,
    curve_of,
    drawn_counts,
    fsc,
    independent_counts,
    sector_terms,
)
from mapsort.physics.image_moves import transform_image
from mapsort.physics.registration3d import register_maps

#: Shells count as far as the halves of all three refinements agree by this.
MEASURED = 0.3
#: Refinements from other maps may end in a frame turned by so much, and moved by so little of the
#: box; rotations that are tried lie so far apart.
TURNED_DEG, MOVED, STEP_DEG = 30.0, 0.06, 15.0
#: Draws of the bootstrap, and how many standard errors a margin must exceed zero by.
DRAWS, SIGNIFICANT = 500, 2.0

Pair = tuple[Float32, Float32]


@dataclass(frozen=True)
class SetReturn:
    """Set ``number``, refined from map ``start``, compared with the maps of both sets.

    Attributes
    ----------
    number, start : int
        Map numbers, from 1.
    path : Path
        Run directory of the refinement.
    resolution_ang : float
        Of its independent half maps, at FSC 0.143.
    fsc_own, fsc_start : float
        Mean FSC of its map with those of its own set and of the starting map's set, over the
        shells in which all of them are measured.
    likeness_own, likeness_start : float
        The same between halves without common particles, and freed from their noise: 1 means the
        same structure.
    margin : float
        ``likeness_own - likeness_start``.
    margin_error : float
        Its standard error, by bootstrap over directions of Fourier space.
    """

    number: int
    start: int
    path: Path
    resolution_ang: float
    fsc_own: float
    fsc_start: float
    likeness_own: float
    likeness_start: float
    margin: float
    margin_error: float

    @property
    def name(self) -> str:
        """What was refined from where, in words."""
        return f"set {self.number} from map {self.start}"

    @property
    def returns(self) -> bool:
        """Whether it is nearer to its own set's map, by more than chance."""
        return self.margin > SIGNIFICANT * self.margin_error

    @property
    def stays(self) -> bool:
        """Whether it is nearer to the map it started from, by more than chance."""
        return self.margin < -SIGNIFICANT * self.margin_error

    @property
    def words(self) -> str:
        """``returns``, ``stays``, or ``between`` where neither is sure."""
        return "returns" if self.returns else "stays" if self.stays else "between"


def compare_return(
    number: int, start: int, returned: RefinedMap, own: RefinedMap, other: RefinedMap
) -> SetReturn:
    """Compare a set refined from another map with both sets refined from their own.

    Parameters
    ----------
    number, start : int
        Of the set, and of the map it started from.
    returned : RefinedMap
        The set refined from the other map.
    own, other : RefinedMap
        The set refined from its own map, and the other set refined from its own.

    Notes
    -----
    A set's maps share the noise of its particles. Therefore an even half of ``returned`` is
    compared with the odd half of ``own``, and the other way round; halves of ``other`` have no
    particle in common with it anyway. Halves of small sets are noisier, which lowers their FSC with
    anything: each is divided by the geometric mean of the FSC between the halves on either side
    (Spearman, Am. J. Psychol. 15 (1904) 72: correction for attenuation).
    """
    mask = np.maximum(own.mask.data, other.mask.data)
    to_own, to_other = _moved(returned, own), _moved(returned, other)

    def terms(a: Float32, b: Float32) -> Float64:
        return sector_terms(a * mask, b * mask)

    itself, of_own, of_other = terms(*to_own), terms(*_data(own)), terms(*_data(other))
    crossed = [terms(a, b) for a, b in zip(to_own, _data(own)[::-1], strict=True)]
    apart = [terms(a, b) for a in to_other for b in _data(other)]
    with_own = _Compared(crossed, (itself, of_own))
    with_other = _Compared(apart, (itself, of_other))
    every = np.ones(N_SECTORS)
    reliable = np.min([curve_of(t, every) for t in (itself, of_own, of_other)], axis=0)
    shells = measured_shells(reliable)
    counts_in_shells = independent_counts(len(mask), ndim=3)[shells].astype(np.float64)
    weight = counts_in_shells * np.clip(reliable[shells], 0.05, 1.0)

    def mean(curve: Float64) -> float:
        return float(np.average(curve[shells], weights=weight))

    def margin(counts: Real) -> float:
        return mean(with_own.likeness(counts)) - mean(with_other.likeness(counts))

    return SetReturn(
        number=number,
        start=start,
        path=returned.path,
        resolution_ang=returned.resolution_ang,
        fsc_own=mean(_fsc_of_means(to_own, _data(own), mask)),
        fsc_start=mean(_fsc_of_means(to_other, _data(other), mask)),
        likeness_own=mean(with_own.likeness(every)),
        likeness_start=mean(with_other.likeness(every)),
        margin=margin(every),
        margin_error=float(np.std([margin(counts) for counts in drawn_counts(DRAWS)])),
    )


@dataclass(frozen=True)
class _Compared:
    """Sums over sectors (`sector_terms`) of half maps of two refinements, and within each."""

    between: list[Float64]
    within: tuple[Float64, Float64]

    def likeness(self, counts: Real) -> Float64:
        """Return the curve of their likeness, every sector counted so many times."""
        between = np.mean([curve_of(t, counts) for t in self.between], axis=0)
        return likeness(between, *(curve_of(t, counts) for t in self.within))


def likeness(between: Float64, within_a: Float64, within_b: Float64) -> Float64:
    """Return the FSC that two maps would have without noise, from those of their halves."""
    least = MEASURED**2
    return np.asarray(between / np.sqrt(np.maximum(within_a * within_b, least)))


def measured_shells(reliability: Float64) -> Indices:
    """Return the shells from 1 to the first at which reliability has fallen below `MEASURED`."""
    low = np.flatnonzero(reliability[1:] < MEASURED)
    last = int(low[0]) + 1 if len(low) else len(reliability)
    # where hardly anything is measured, at least two shells
    return np.arange(1, max(last, 3))


def _fsc_of_means(a: Pair, b: Pair, mask: Float32) -> Float64:
    return fsc(0.5 * (a[0] + a[1]) * mask, 0.5 * (b[0] + b[1]) * mask)


def _data(refined: RefinedMap) -> Pair:
    even, odd = refined.half_maps
    return even.data, odd.data


def _moved(moving: RefinedMap, fixed: RefinedMap) -> Pair:
    """Return the halves of one map in the frame of another, by a rigid motion of the whole."""
    reach = int(np.ceil(MOVED * fixed.map.box))
    pose = register_maps(
        moving.map.data,
        fixed.map.data,
        rotations_within(TURNED_DEG, STEP_DEG),
        reach_px=(reach,) * 3,
        step_deg=STEP_DEG,
    )
    even, odd = _data(moving)
    return transform_image(even, pose.matrix), transform_image(odd, pose.matrix)


def rotations_within(largest_deg: float, step_deg: float) -> Float64:
    """Return rotations up to an angle, about so far from each other, (n, 3, 3)."""
    n = int(largest_deg // step_deg)
    line = step_deg * np.arange(-n, n + 1)
    vectors = np.stack(np.meshgrid(line, line, line, indexing="ij"), axis=-1).reshape(-1, 3)
    near = vectors[np.linalg.norm(vectors, axis=1) <= largest_deg]
    return np.asarray(Rotation.from_rotvec(near, degrees=True).as_matrix())
