"""Aligning one map with another, or with the axes of a symmetry: rotation and shift."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import scipy.fft
from scipy.spatial.transform import Rotation

from mapsort.array_types import Array, Float64, Indices
from mapsort.geometry.euler import eman_to_matrix
from mapsort.geometry.symmetry import Symmetry
from mapsort.geometry.transforms import Transform3D
from mapsort.physics.image_moves import transform_image
from mapsort.physics.pair_comparison import correlation
from mapsort.physics.resample import fourier_resample
from mapsort.physics.simplex import lowest

Map = Array
#: Compares a moved map with the fixed one; smaller is better.
Score = Callable[[Map, Map], float]

# Boxes that suffice to tell orientations apart that are at least ten degrees from each other.
_COARSE_BOX = 24
# Poses of the coarse search that are polished, and how far apart they must be.
_CANDIDATES = 4
# The last polish of a symmetry's axes runs on boxes of at most this size.
_MIDDLE_BOX = 48


@dataclass(frozen=True, kw_only=True)
class Simplex3D:
    """The first simplex of a refinement and when it ends."""

    #: First steps along x, y, z, pixels; 0 keeps a coordinate.
    step_px: tuple[float, float, float] = (1.0, 1.0, 1.0)
    #: First steps of the rotation about x, y, z, degrees; 0 keeps a coordinate.
    step_deg: tuple[float, float, float] = (10.0, 10.0, 10.0)
    #: The search ends when the simplex is smaller than this part of its steps ...
    precision: float = 0.01
    #: ... or after so many iterations.
    maxiter: int = 400
    #: How far the shift may move from the start, pixels.
    maxshift_px: float | None = None


def refine_map_pose(
    moving: Map,
    fixed: Map,
    start: Transform3D,
    *,
    score: Score,
    simplex: Simplex3D,
    order: Literal[1, 3] = 1,
) -> Transform3D:
    """Improve the pose of a map (n, n, n) by a simplex search on a comparator; never for the worse.

    A small rotation (as a rotation vector) is applied after the start, and a shift added. Linear
    interpolation (``order`` 1) blurs noise, and so prefers any move to none: of maps that lie
    nearly in register cubic splines (3) tell more.
    """
    return _minimised(
        lambda pose: score(transform_image(moving, pose.matrix, order=order), fixed),
        start,
        simplex,
    )


def register_maps(
    moving: Map,
    fixed: Map,
    rotations: Float64,
    *,
    reach_px: tuple[int, int, int],
    score: Score | None = None,
    step_deg: float = 10.0,
    translate: bool = True,
) -> Transform3D:
    """Find the transform of one map onto another among many rotations, and polish it.

    Parameters
    ----------
    moving, fixed : ndarray of shape (n, n, n)
    rotations : ndarray of shape (m, 3, 3), float64
        To be tried.
    reach_px : tuple of int
        Largest shifts along x, y, z, pixels.
    score : callable, optional
        Chooses among the polished poses; the correlation coefficient by default.
    step_deg : float
        Distance between the rotations, degrees: where polishing starts.
    translate : bool
        Whether polishing may shift the map.

    Notes
    -----
    Rotated copies are correlated with the fixed map over all shifts by FFT, on a box of 24 voxels;
    the four best are polished on the correlation coefficient, and the winner again at full size.
    """
    n = len(fixed)
    small = min(n, _COARSE_BOX)
    a, b = (_reduced(m, small) for m in (moving, fixed))
    whole, half = ((1.0,) * 3, (0.5,) * 3) if translate else ((0.0,) * 3, (0.0,) * 3)
    steps = Simplex3D(step_px=whole, step_deg=(step_deg / 2,) * 3, precision=0.05, maxiter=200)
    polished = []
    for pose in _coarse(a, b, rotations, [reach * small / n for reach in reach_px], step_deg):
        found = _minimised(lambda p: correlation(transform_image(a, p.matrix), b), pose, steps)
        polished.append(Transform3D(found.rotation, found.shift * (n / small)))
    compare = score or correlation
    best = min(polished, key=lambda p: compare(transform_image(moving, p.matrix), fixed))
    final = Simplex3D(step_px=half, step_deg=(1.0,) * 3, precision=0.05, maxiter=200)
    return _minimised(lambda p: correlation(transform_image(moving, p.matrix), fixed), best, final)


def symmetry_pose(
    density: Map, group: Symmetry, rotations: Float64, *, step_deg: float = 10.0
) -> Transform3D:
    """Find the rotation that brings a map's symmetry onto the standard axes.

    They meet in pixel n//2. It makes the standard deviation of the symmetrised map largest, as
    EMAN2's symalign; the variance of the symmetrised map is the mean over the operations of the
    covariance of the map with its rotated self. Rotations (m, 3, 3) are tried that lie `step_deg`
    apart.
    """
    small = _reduced(density, _COARSE_BOX)
    small = small - small.mean()
    operations = group.matrices[1:]

    def cost(volume: Float64, pose: Transform3D) -> float:
        turned = transform_image(volume, pose.matrix).astype(np.float64)
        total = sum(
            float(np.sum(turned * transform_image(turned, Transform3D(operation).matrix)))
            for operation in operations
        )
        return -total / (float(np.sum(turned**2)) or 1.0)

    values = np.array([cost(small, Transform3D(rotation)) for rotation in rotations])
    chosen = _distinct(rotations, np.argsort(values), step_deg)
    steps = Simplex3D(step_px=(0.0,) * 3, step_deg=(step_deg / 2,) * 3, precision=0.05, maxiter=200)
    middle = _reduced(density, _MIDDLE_BOX)
    middle = middle - middle.mean()
    found = [
        _minimised(lambda pose: cost(middle, pose), Transform3D(rotations[index]), steps)
        for index in chosen
    ]
    return min(found, key=lambda pose: cost(middle, pose))


def rotation_grid(directions_deg: Float64, phis_deg: Float64) -> Float64:
    """Return rotations that turn a map to each direction and then about it, (m k, 3, 3) float64.

    Directions are EMAN az, alt, phi (m, 3), to whose phi the rotations about the view (k,) are
    added [degrees].
    """
    angles = np.repeat(directions_deg, len(phis_deg), axis=0)
    angles[:, 2] += np.tile(phis_deg, len(directions_deg))
    return eman_to_matrix(angles)


def _coarse(
    moving: Float64, fixed: Float64, rotations: Float64, reach_px: list[float], step_deg: float
) -> list[Transform3D]:
    """Find the best distinct poses on a small box."""
    a, b = moving - moving.mean(), fixed - fixed.mean()
    limits = [int(np.ceil(reach)) for reach in reach_px]
    size = scipy.fft.next_fast_len(len(b) + max(limits), real=True)
    spectrum = scipy.fft.rfftn(b, s=(size,) * 3, axes=(0, 1, 2))
    window = np.ix_(*(np.arange(-limit, limit + 1) for limit in reversed(limits)))
    values = np.empty(len(rotations))
    shifts = np.empty((len(rotations), 3))
    for index, rotation in enumerate(rotations):
        turned = transform_image(a, Transform3D(rotation).matrix)
        other = scipy.fft.rfftn(turned, s=(size,) * 3, axes=(0, 1, 2))
        cross = scipy.fft.irfftn(spectrum * other.conj(), s=(size,) * 3, axes=(0, 1, 2))[window]
        place = np.unravel_index(np.argmax(cross), cross.shape)
        norm = float(np.linalg.norm(turned)) or 1.0
        values[index] = cross[place] / norm
        shifts[index] = [p - limit for p, limit in zip(reversed(place), limits, strict=True)]
    best = _distinct(rotations, np.argsort(-values), step_deg)
    return [Transform3D(rotations[index], shifts[index]) for index in best]


def _distinct(rotations: Float64, order: Indices, step_deg: float) -> list[int]:
    """Choose the first few of an order that are at least one and a half steps from each other."""
    least = np.cos(np.deg2rad(1.5 * step_deg))
    chosen: list[int] = []
    for index in order:
        traces = [float(np.sum(rotations[index] * rotations[other])) for other in chosen]
        if all((trace - 1.0) / 2.0 < least for trace in traces):
            chosen.append(int(index))
        if len(chosen) == _CANDIDATES:
            break
    return chosen


def _minimised(
    cost: Callable[[Transform3D], float], start: Transform3D, simplex: Simplex3D
) -> Transform3D:
    """Simplex search over a rotation vector and a shift relative to a pose."""
    unit = np.array([*np.deg2rad(simplex.step_deg), *simplex.step_px])
    free = np.flatnonzero(unit > 0)
    if len(free) == 0:
        return start

    def pose_at(x: Float64) -> Transform3D:
        change = np.zeros(6)
        change[free] = x * unit[free]
        shift = change[3:]
        length = float(np.linalg.norm(shift))
        if simplex.maxshift_px is not None and length > simplex.maxshift_px:
            shift = shift * (simplex.maxshift_px / length)
        turn = Rotation.from_rotvec(change[:3]).as_matrix()
        return Transform3D(turn @ start.rotation, turn @ start.shift + shift)

    found = lowest(
        lambda x: cost(pose_at(x)),
        np.ones(len(free)),
        precision=simplex.precision,
        maxiter=simplex.maxiter,
    )
    pose = pose_at(found)
    return pose if cost(pose) <= cost(start) else start


def _reduced(density: Map, box: int) -> Float64:
    if len(density) <= box:
        return density.astype(np.float64)
    return fourier_resample(density.astype(np.float32), box=box, ndim=3).astype(np.float64)
