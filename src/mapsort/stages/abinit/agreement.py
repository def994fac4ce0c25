"""Whether two sets of views are the same, in whatever frame and hand each lies."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.fft

from mapsort.array_types import Float32, Float64
from mapsort.geometry.transforms import Transform3D
from mapsort.physics.image_moves import transform_image
from mapsort.physics.pair_comparison import correlation
from mapsort.physics.registration3d import Simplex3D, refine_map_pose
from mapsort.stages.map_register import other_hand

#: Particles that propose a frame, and particles that vote; error [degrees] of those that then say
#: what it is exactly, and how often they do.
_PROPOSE, _VOTE, _NEAR_DEG, _ROUNDS = 100, 300, 25.0, 5
#: How a map is moved in the end.
_FREEDOM = Simplex3D(step_px=(0.5,) * 3, step_deg=(3.0,) * 3, precision=0.02, maxiter=100)
#: Views of the mirrored object, mirrored themselves, look the same.
MIRROR = np.diag([1.0, 1.0, -1.0])


@dataclass(frozen=True)
class Frame:
    """How found views lie to others."""

    #: The others' object to the found one, which is mirrored in z first if ``mirrored``, (3, 3).
    turn: Float64
    mirrored: bool
    #: Median angle between directions.
    error_deg: float


def frame(found: Float64, others: Float64, operations: Float64) -> Frame:
    """Return the frame and hand in which views agree best.

    Parameters
    ----------
    found, others : ndarray of shape (n, 3, 3)
        Object to view, of the same particles.
    operations : ndarray of shape (g, 3, 3)
        Turns that leave the others' object as it is.
    """
    both = []
    for mirrored in (False, True):
        own = MIRROR @ found @ MIRROR if mirrored else found
        turn = _turn(own, others, operations)
        error = float(np.median(_apart_deg(own @ turn, others, operations)))
        both.append(Frame(turn, mirrored, error))
    return min(both, key=lambda item: item.error_deg)


def _turn(found: Float64, others: Float64, operations: Float64) -> Float64:
    rng = np.random.default_rng(0)
    propose, vote = (
        rng.choice(len(found), min(count, len(found)), replace=False) for count in (_PROPOSE, _VOTE)
    )
    turns = [found[i].T @ others[i] for i in propose]
    errors = [np.median(_apart_deg(found[vote] @ turn, others[vote], operations)) for turn in turns]
    turn = turns[int(np.argmin(errors))]
    for _ in range(_ROUNDS):
        own = found @ turn
        alike = np.stack([np.einsum("nij,nij->n", own, others @ each) for each in operations])
        near = alike.max(axis=0) > 1.0 + 2.0 * np.cos(np.deg2rad(_NEAR_DEG))
        if near.sum() < 3:
            break
        aims = others[near] @ operations[alike.argmax(axis=0)[near]]
        left, _, right = np.linalg.svd(np.einsum("nij,nik->jk", found[near], aims))
        turn = left @ np.diag([1.0, 1.0, np.linalg.det(left @ right)]) @ right
    return np.asarray(turn)


def _apart_deg(found: Float64, others: Float64, operations: Float64) -> Float64:
    """Return the angles between directions of views, (n,)."""
    cosine = np.max(
        [np.einsum("nj,nj->n", found[:, 2], (others @ each)[:, 2]) for each in operations], axis=0
    )
    return np.asarray(np.rad2deg(np.arccos(np.clip(cosine, -1.0, 1.0))))


def brought_onto(volume: Float32, fixed: Float32, lying: Frame) -> Float32:
    """Return a map moved onto another one, from the frame that its views are found in.

    Turned into the frame, shifted to where both correlate best, then refined.
    """
    moved = other_hand(volume) if lying.mirrored else volume
    turned = transform_image(moved, np.hstack([lying.turn.T, np.zeros((3, 1))]))
    both = scipy.fft.rfftn(fixed) * scipy.fft.rfftn(turned).conj()
    peak = np.unravel_index(scipy.fft.irfftn(both, s=fixed.shape).argmax(), fixed.shape)
    box = len(fixed)
    shift = [(place + box // 2) % box - box // 2 for place in peak[::-1]]
    start = Transform3D(lying.turn.T, np.array(shift, np.float64))
    pose = refine_map_pose(moved, fixed, start, score=correlation, simplex=_FREEDOM)
    return transform_image(moved, pose.matrix, order=3)
