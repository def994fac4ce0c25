"""Small errors of poses, corrected: five unknowns of each particle about its slice.

Poses that are off by two degrees look like states of the molecule: on simulated data they cost more
of the classes than anything else. A step of Gauss and Newton against the map, with a normal prior
about the given pose whose width is learnt, is all it takes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.spatial.transform import Rotation

from mapsort.array_types import Bool, Complex64, Float32, Float64, Indices
from mapsort.stages.components.class_maps import FoldMaps
from mapsort.stages.components.observed import Observed, Piece
from mapsort.stages.components.slice_grid import SliceGrid

#: Widths of the prior before anything was learnt [rad; A].
FIRST_TURN, FIRST_SHIFT_ANG = np.deg2rad(2.0), 2.5
#: No step turns farther than this [rad]: the slice is linear in the turn only so far.
LONGEST_TURN = 0.1
#: Particles whose worth the first widths keep while they are learnt.
PRIOR_PARTICLES = 10.0


@dataclass(frozen=True)
class PoseErrors:
    """What is known of the errors of n given poses."""

    #: Turns about the view's axes x, y, z [rad] and shifts along x, y [pixels] so far, (n, 5).
    total: Float64
    #: turn and shift: standard deviations of the given poses' errors [rad; pixels].
    turn: float
    shift: float

    @classmethod
    def unknown(cls, n: int, apix: float) -> PoseErrors:
        """Return what is known of n poses before any is looked at; pixels of `apix` A."""
        return cls(np.zeros((n, 5)), float(FIRST_TURN), FIRST_SHIFT_ANG / apix)

    def corrected(
        self, observed: Observed, grid: SliceGrid, maps: FoldMaps, which: Indices, scale: Float64
    ) -> tuple[PoseErrors, Observed]:
        """Move the particles' poses to where they fit best, given the prior.

        Parameters
        ----------
        which : ndarray of shape (n,), intp
            The map that each particle is compared with; others than 0 to K - 1: not moved.
        scale : ndarray of shape (n,)
            The particles' brightness.
        """
        step, variance = np.zeros((len(observed), 5)), np.zeros((len(observed), 5))
        slopes: dict[tuple[int, int], Complex64] = {}
        fold = -1
        for piece in observed.pieces(grid.rings):
            if piece.fold != fold:
                slopes, fold = {}, piece.fold
            for k in np.unique(which[piece.rows]):
                if not 0 <= k < maps.count:
                    continue
                if (fold, k) not in slopes:
                    slopes[fold, k] = grid.moments(maps.maps[fold][:, k : k + 1])
                own = which[piece.rows] == k
                part = _chosen(piece, own)
                fit = _fit(grid, slopes[fold, k], part, scale[part.rows])
                step[part.rows], variance[part.rows] = self._posterior(part.rows, *fit)
        moved = (which >= 0) & (which < maps.count)
        step[:, :3] = np.clip(step[:, :3], -LONGEST_TURN, LONGEST_TURN)
        learnt = self._learnt(step, variance, moved)
        turns = Rotation.from_rotvec(step[:, :3]).as_matrix()
        return learnt, observed.moved(turns, -step[:, 3:])

    def _posterior(
        self, rows: Indices, curvature: Float64, slope: Float64
    ) -> tuple[Float64, Float64]:
        """Return steps and variances (k, 5) of particles."""
        prior = 1 / np.array([self.turn] * 3 + [self.shift] * 2) ** 2
        covariance = np.linalg.inv(curvature + np.diag(prior))
        pull = slope - prior * self.total[rows]
        step = np.einsum("nab,nb->na", covariance, pull)
        return step, np.diagonal(covariance, axis1=1, axis2=2)

    def _learnt(self, step: Float64, variance: Float64, moved: Bool) -> PoseErrors:
        """Return the errors with a step more, and the widths that explain them."""
        total = self.total + step
        squares = (total**2 + variance)[moved].sum(axis=0)
        count = moved.sum() + PRIOR_PARTICLES
        turn = (squares[:3].mean() + PRIOR_PARTICLES * self.turn**2) / count
        shift = (squares[3:].mean() + PRIOR_PARTICLES * self.shift**2) / count
        return replace(self, total=total, turn=float(np.sqrt(turn)), shift=float(np.sqrt(shift)))


def _chosen(piece: Piece, own: Bool) -> Piece:
    return Piece(
        piece.fold, piece.rows[own], piece.data[own], piece.transfer[own], piece.rotations[own]
    )


def _fit(
    grid: SliceGrid, moments: Complex64, piece: Piece, scale: Float64
) -> tuple[Float64, Float64]:
    """Return curvature (k, 5, 5) and slope (k, 5) of the log likelihood at the poses.

    moments (voxels, 4) of the map as `SliceGrid.moments` gives them.
    """
    fx, fy = grid.band.frequencies[: grid.n_points].T
    slices = grid.slices(moments, piece.rotations)
    value, along = slices[..., 0], np.complex64(1j) * slices[..., 1:]
    # derivatives along the object's axes, as the view sees them
    along = np.einsum("kij,kmj->kim", piece.rotations.astype(np.float32), along)
    per_pixel = np.complex64(-2j * np.pi / grid.band.box)
    columns = np.stack(
        [
            -fy * along[:, 2],
            fx * along[:, 2],
            fy * along[:, 0] - fx * along[:, 1],
            per_pixel * fx * value,
            per_pixel * fy * value,
        ],
        axis=1,
    )
    factor: Float32 = piece.transfer * scale[:, None].astype(np.float32)
    columns *= factor[:, None]
    rest = piece.data - factor * value
    real = np.ascontiguousarray(columns).view(np.float32)
    # half a plane stands for both halves
    curvature = 2 * (real @ real.transpose(0, 2, 1))
    slope = 2 * np.einsum("kim,km->ki", real, np.ascontiguousarray(rest).view(np.float32))
    return curvature.astype(np.float64), slope.astype(np.float64)
