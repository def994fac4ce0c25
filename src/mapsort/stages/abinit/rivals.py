"""Starts beside the best one: how much less likely they are, and whether they found the same.

Of a map with symmetry a particle has several views that are equally right, and each start takes any
of them. Views of two starts then differ although the starts agree: their maps are the same, and
their views differ by the few turns that leave the map as it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
import scipy.fft

from mapsort.array_types import Float32, Float64
from mapsort.physics.fsc import fsc
from mapsort.physics.image_moves import transform_image
from mapsort.physics.resample import fourier_resample
from mapsort.stages.abinit.agreement import MIRROR, Frame, brought_onto
from mapsort.stages.map_register import other_hand

#: Starts are equally likely within so many standard errors, and different from this angle on.
EQUAL, DIFFERENT_DEG = 2.0, 45.0
#: Maps are the same of which all shells correlate so well, but for the last one.
_SAME = 0.5
#: Box that maps are compared in, and particles whose views propose how one map lies to another.
_BOX, _PROPOSE = 32, 12
#: Turns within this angle are the same [degrees].
_NEAR_DEG = 20.0
#: Each turn that leaves a map as it is has this part, at least, of the particles it would have if
#: all had as many; together they have this part of all.
_LEAST_PART, _MOST_PART = 0.25, 0.6
#: Orders of the cubic groups, by the fold of their main axis.
_CUBIC = {3: ("tet", 12), 4: ("oct", 24), 5: ("icos", 60)}
#: Part of a group's turns that may be missed: few particles are seen by each of many.
_MISSED = 0.15


@dataclass(frozen=True)
class Rival:
    """A start beside the best one, for particles that are kept out."""

    #: behind and error: how much less likely it makes a particle, and the standard error [nat].
    behind: float
    error: float
    #: Median angle between the particles' directions, in the frame and hand that suit best, and
    #: up to the turns below; None with several maps, each of which has its frame.
    apart_deg: float | None
    #: At which they were compared.
    rings: int
    #: How many turns leave both maps as they are, as far as views tell, and the group's name.
    turns: int = 1
    symmetry: str | None = None

    @property
    def words(self) -> str:
        """How it compares."""
        apart = "" if self.apart_deg is None else f", views {self.apart_deg:.0f} degrees apart"
        upto = f" up to {self.turns} turns of the map onto itself" if self.turns > 1 else ""
        return f"{self.behind:.2f} +- {self.error:.2f}{apart}{upto}"

    @property
    def differs(self) -> bool:
        """Whether it is as likely and has other views."""
        likely = self.behind < EQUAL * self.error
        return likely and self.apart_deg is not None and self.apart_deg > DIFFERENT_DEG


@dataclass(frozen=True)
class MapTurns:
    """Turns between the views of two starts that found the same map."""

    #: From the one's object to the other's, (m, 3, 3): each is one of them times any turn that
    #: leaves the map as it is.
    turns: Float64
    #: Median angle between the particles' directions, up to these.
    apart_deg: float

    @property
    def group(self) -> str | None:
        """Name of the point group of so many turns, by the least of them; or None."""
        order = len(self.turns)
        if order == 1:
            return None
        between = self.turns[0].T @ self.turns[1:]
        cosine = 0.5 * (np.trace(between, axis1=1, axis2=2) - 1.0)
        fold = round(2 * np.pi / float(np.arccos(np.clip(cosine, -1.0, 1.0)).min()))
        groups = [(f"c{fold}", fold), (f"d{fold}", 2 * fold)]
        groups += [_CUBIC[fold]] if fold in _CUBIC else []
        name, whole = min(groups, key=lambda group: abs(group[1] - order))
        return name if abs(whole - order) <= _MISSED * whole else None


def turns_onto_itself(
    maps: tuple[Float32, Float32], views: tuple[Float64, Float64], rings: int
) -> MapTurns | None:
    """Return the turns between views of the same particles, if both maps are the same.

    Parameters
    ----------
    maps : pair of ndarray of shape (box, box, box), float32
    views : pair of ndarray of shape (n, 3, 3)
        In each map, object to view.
    rings : int
        Shells that the maps have.

    Returns
    -------
    MapTurns or None
        None if the maps differ, or there are no few turns.
    """
    own, fixed = (fourier_resample(item, box=min(len(item), _BOX), ndim=3) for item in maps)
    lying = _register(own, fixed, views)
    if fsc(brought_onto(own, fixed, lying), fixed)[1:rings].min() < _SAME:
        return None
    found = MIRROR @ views[0] @ MIRROR if lying.mirrored else views[0]
    turns = _few_turns(np.swapaxes(found, 1, 2) @ views[1])
    if turns is None:
        return None
    cosine = np.einsum("nj,mjk,nk->nm", found[:, 2], turns, views[1][:, 2]).max(axis=1)
    return MapTurns(turns, float(np.rad2deg(np.arccos(np.clip(np.median(cosine), -1.0, 1.0)))))


def _register(own: Float32, fixed: Float32, views: tuple[Float64, Float64]) -> Frame:
    """Return how a map lies to another, proposed by the views of some particles in both.

    Where the maps are the same, any particle whose views are right in both tells one of the turns
    that bring one onto the other.
    """
    some = np.linspace(0, len(views[0]) - 1, min(len(views[0]), _PROPOSE)).astype(np.intp)
    target = scipy.fft.rfftn(fixed).conj()
    best, lying = -np.inf, None
    for mirrored, particle in product((False, True), some):
        view = MIRROR @ views[0][particle] @ MIRROR if mirrored else views[0][particle]
        turn = view.T @ views[1][particle]
        hand = other_hand(own) if mirrored else own
        turned = transform_image(hand, np.hstack([turn.T, np.zeros((3, 1))]))
        alike = scipy.fft.irfftn(scipy.fft.rfftn(turned) * target, s=fixed.shape).max()
        if alike > best:
            best, lying = alike, Frame(turn, mirrored, 0.0)
    assert lying is not None, "there are particles"
    return lying


def _few_turns(turns: Float64) -> Float64 | None:
    """Return the turns that these are near to, each that of many, (m, 3, 3); or None."""
    cosine = 0.5 * (np.einsum("aij,bij->ab", turns, turns) - 1.0)
    near = cosine > np.cos(np.deg2rad(_NEAR_DEG))
    left, found = np.ones(len(turns), bool), []
    counts: list[int] = []
    while left.any():
        most = int(np.where(left, (near & left).sum(axis=1), -1).argmax())
        own = near[most] & left
        if own.sum() < 2 or own.sum() < _LEAST_PART * np.mean([*counts, own.sum()]):
            break
        above, _, below = np.linalg.svd(turns[own].sum(axis=0))
        found.append(above @ np.diag([1.0, 1.0, np.linalg.det(above @ below)]) @ below)
        counts.append(int(own.sum()))
        left &= ~own
    return np.stack(found) if sum(counts) >= _MOST_PART * len(turns) else None
