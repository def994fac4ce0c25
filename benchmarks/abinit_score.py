"""How maps and views from particles alone agree with the truth, in any frame and hand.

The frame is found from the views, which are many, and not from the maps, which may be poor.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import scipy.fft

from mapsort.array_types import Float32, Float64
from mapsort.geometry.euler import relion_to_matrix
from mapsort.geometry.transforms import Transform3D
from mapsort.physics.fsc import fsc
from mapsort.physics.image_moves import transform_image
from mapsort.physics.pair_comparison import correlation
from mapsort.physics.registration3d import Simplex3D, refine_map_pose
from mapsort.stages.abinit.agreement import Frame
from mapsort.stages.map_register import other_hand

_ANGLES = ["rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi"]


def views(table: pd.DataFrame) -> Float64:
    """Return the rotations of a particle table, (n, 3, 3), object to view."""
    return np.asarray(relion_to_matrix(table[_ANGLES].to_numpy(np.float64)))


def resolution_ang(volume: Float32, true: Float32, lying: Frame, apix: float) -> float:
    """Return where the FSC of a map in its frame with the true one falls below 0.5 [A]."""
    moved = other_hand(volume) if lying.mirrored else volume
    turned = transform_image(moved, np.hstack([lying.turn.T, np.zeros((3, 1))]))
    both = scipy.fft.rfftn(true) * scipy.fft.rfftn(turned).conj()
    peak = np.unravel_index(scipy.fft.irfftn(both, s=true.shape).argmax(), true.shape)
    box = len(true)
    shift = [(place + box // 2) % box - box // 2 for place in peak[::-1]]
    start = Transform3D(lying.turn.T, np.array(shift, np.float64))
    freedom = Simplex3D(step_px=(0.5,) * 3, step_deg=(3.0,) * 3, precision=0.02, maxiter=100)
    pose = refine_map_pose(moved, true, start, score=correlation, simplex=freedom)
    curve = fsc(transform_image(moved, pose.matrix, order=3), true)
    below = np.flatnonzero(curve[1:] < 0.5) + 1
    if len(below) == 0:
        return 2 * apix
    ring = int(below[0])
    step = (curve[ring - 1] - 0.5) / (curve[ring - 1] - curve[ring]) if ring > 1 else 0.0
    return float(box * apix / max(ring - 1 + step, 0.1))
