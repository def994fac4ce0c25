"""Maps and their symmetry: imposed in real space, and whether a map has it as it stands.

A map in another setting (an icosahedral one with 2-folds on the axes, say), off its axis or off the
centre is no error that a refinement would report: the symmetry imposed smears it out. So the map is
compared with its symmetry copies; where they disagree, other orientations of the symmetry and
another centre are tried.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import scipy.fft
from scipy import ndimage
from scipy.optimize import fmin
from scipy.spatial.transform import Rotation

from mapsort.array_types import Float32, Float64, Indices, Real
from mapsort.geometry.euler import eman_to_matrix
from mapsort.geometry.orientations import eman_orientations
from mapsort.geometry.symmetry import Symmetry
from mapsort.physics.resample import fourier_resample

#: Degrees of the interpolating spline: trilinear and cubic.
SplineOrder = Literal[1, 3]


def symmetrize(
    volume: Real, group: Symmetry, *, apix: float = 1.0, order: SplineOrder = 3
) -> Float32:
    """Return the mean of a map's symmetry copies.

    The mean over all operations of V(S x + t): it obeys V(S x + t) = V(x) but for interpolation;
    what turns in from outside the cube counts as 0. For a point group that is the projection onto
    the symmetric maps; applied twice it changes nothing more. The spline's order 3 keeps fine
    detail, 1 is trilinear; the pixel size [A] is for helices only.
    """
    source = np.asarray(volume, dtype=np.float64)
    if order > 1:
        # once for all operations
        source = ndimage.spline_filter(source, order=order, mode="constant")
    total = np.zeros(source.shape)
    for matrix, shift_ang in zip(group.matrices, group.shifts_ang, strict=True):
        total += moved(source, matrix, shift_ang / apix, order=order, prefilter=False)
    return (total / group.order).astype(np.float32)


def moved(
    volume: Float64,
    matrix: Real,
    shift_px: npt.ArrayLike = (0.0, 0.0, 0.0),
    *,
    order: SplineOrder = 1,
    prefilter: bool = True,
) -> Float64:
    """Return W(x) = V(M x + t) about the centre pixel; M and t in the order x, y, z.

    Parameters
    ----------
    volume : ndarray of shape (box, box, box)
    matrix : ndarray of shape (3, 3)
    shift_px : array_like of shape (3,)
        t [pixels].
    order, prefilter
        As `scipy.ndimage.affine_transform`.
    """
    along = np.asarray(matrix, dtype=np.float64)[::-1, ::-1]
    centre = np.array([n // 2 for n in volume.shape], dtype=np.float64)
    offset = centre - along @ centre + np.asarray(shift_px, dtype=np.float64)[::-1]
    return ndimage.affine_transform(
        volume, along, offset, order=order, mode="constant", prefilter=prefilter, output=float
    )


#: A map agrees with its symmetry from this correlation on; below the second, it shows none of it.
AGREES, ABSENT = 0.7, 0.5
#: Another setting is reported when it agrees better by this much.
_BETTER = 0.15
#: Boxes that maps are compared and searched at, and the step of the search [degrees].
_BOX, _SEARCH_BOX, _STEP_DEG = 32, 20, 9.0
#: Both are smoothed by a Gaussian of this sigma [pixels], so that interpolation costs nothing.
_SMOOTHING = 1.0
#: Directions of an axis that are followed up, orientations that are refined, and the step in which
#: the centre is [pixels].
_AXES_KEPT, _REFINED, _CENTRE_STEP = 4, 2, 0.5
#: Operations compared; more say nothing new.
_MOST_OPERATIONS = 10


@dataclass(frozen=True)
class SymmetryFinding:
    """What a map says about its symmetry."""

    #: Lowest correlation of the map with its copies, -1 to 1.
    agreement: float
    #: Where the symmetry lies in the map instead, in words; empty if nowhere better.
    setting: str = ""
    #: Agreement there.
    found: float = 0.0

    @property
    def agrees(self) -> bool:
        """Whether the map has the symmetry as stated."""
        return self.agreement >= AGREES

    def __str__(self) -> str:
        """Say it in a line."""
        if self.agrees:
            return f"agrees with its symmetry copies (correlation {self.agreement:.2f})"
        if self.setting:
            return (
                f"agrees with its symmetry copies only to {self.agreement:.2f}, but to "
                f"{self.found:.2f} with {self.setting}"
            )
        return f"agrees with its symmetry copies only to {self.agreement:.2f}"


def check_symmetry(volume: Real, group: Symmetry, *, apix: float = 1.0) -> SymmetryFinding:
    """Compare a map with its symmetry copies; if they disagree, look for the symmetry elsewhere.

    Correlations are of the map less its spherical average, which every rotation leaves as it is,
    within the inscribed sphere, at 32 pixels. Named settings are tried first, then a shift of the
    centre, then all orientations 9 degrees apart, the best refined. A helix is only compared.
    """
    if group.order == 1:
        return SymmetryFinding(1.0)
    scale = min(1.0, _BOX / len(volume))
    resampled = _resampled(volume, _BOX)
    small = _contrast(resampled)
    shifts = group.shifts_ang / apix * (len(small) / len(volume))
    agreement = _agreement(small, group.matrices, shifts)
    if agreement >= AGREES or group.helical:
        return SymmetryFinding(agreement)
    best = max(_named(small, group), key=lambda pair: pair[1], default=("", -1.0))
    if best[1] < AGREES:
        best = max(best, _recentred(resampled, group, scale), key=lambda pair: pair[1])
    if best[1] < AGREES:
        best = max(best, _turned(volume, group), key=lambda pair: pair[1])
    setting, found = best
    if found - agreement < _BETTER or found < ABSENT:
        return SymmetryFinding(agreement)
    return SymmetryFinding(agreement, setting, found)


def _resampled(volume: Real, box: int) -> Float64:
    small = volume if len(volume) <= box else fourier_resample(volume, box=box, ndim=3)
    return np.asarray(small, dtype=np.float64)


def _contrast(volume: Float64) -> Float64:
    """Return the map less its spherical average, in the inscribed sphere, a little smoothed."""
    n = len(volume)
    radius = np.sqrt(sum(axis**2 for axis in np.ogrid[(slice(-(n // 2), n - n // 2),) * 3]))
    shells = np.rint(radius).astype(int)
    mean = np.bincount(shells.ravel(), volume.ravel()) / np.bincount(shells.ravel())
    inside = np.where(radius <= n // 2 - 1, volume - mean[shells], 0.0)
    return np.asarray(ndimage.gaussian_filter(inside, _SMOOTHING, mode="constant"))


def _correlation(a: Float64, b: Float64) -> float:
    norm = float(np.sqrt(np.vdot(a, a) * np.vdot(b, b)))
    return float(np.vdot(a, b)) / norm if norm > 0 else 0.0


def _chosen(n: int) -> Indices:
    """Return which operations stand for all n, the identity left out."""
    return np.unique(np.linspace(1, n - 1, min(n - 1, _MOST_OPERATIONS)).astype(int))


def _agreement(volume: Float64, matrices: Float64, shifts: Float64 | None = None) -> float:
    """Return the lowest correlation of the map with its copies."""
    at = np.zeros((len(matrices), 3)) if shifts is None else shifts
    return min(
        _correlation(volume, moved(volume, matrices[k], at[k])) for k in _chosen(len(matrices))
    )


def _conjugated(matrices: Float64, turn: Float64) -> Float64:
    """Return the operations of a group whose axes are turned."""
    return np.asarray(turn @ matrices @ turn.T)


def _named(volume: Float64, group: Symmetry) -> list[tuple[str, float]]:
    """Return settings in use elsewhere, and how well each agrees.

    RELION's names of settings are those whose operations ``relion_refine --print_symmetry_ops``
    lists.
    """
    return [
        (words, _agreement(volume, _conjugated(group.matrices, turn)))
        for words, turn in _settings(group).items()
    ]


def _settings(group: Symmetry) -> dict[str, Float64]:
    """Return, for settings in use elsewhere, the rotation of the axes from ours to theirs."""
    quarter, half = _about("z", 90.0), _about("z", 180.0)
    if group.name == "icos":
        from_z = _five_fold_to_z().T
        return {
            "2-folds on x, y and z, as in --sym=icos2 (RELION I1)": from_z,
            "2-folds on x, y and z, a 5-fold in the xz plane (RELION I2)": quarter @ from_z,
            "a 5-fold on z, turned by 180 degrees about it (RELION I3)": half,
            "a 5-fold on z and a 2-fold on x": quarter,
            "a 5-fold on z and a 2-fold on x, turned by 180 degrees about z": half @ quarter,
        }
    if group.name == "icos2":
        to_z = _five_fold_to_z()
        return {
            "a 5-fold on z and a 2-fold on y, as in --sym=icos (RELION I4)": to_z,
            "a 5-fold on z, turned by 180 degrees about it (RELION I3)": half @ to_z,
            "2-folds on x, y and z, a 5-fold in the xz plane (RELION I2)": quarter,
        }
    if group.name == "tet":
        diagonal = _three_fold_to_diagonal()
        return {
            "a 3-fold on z, turned by 180 degrees about it (RELION T)": half,
            "2-folds on x, y and z": diagonal,
            "2-folds on x, y and z, turned by 90 degrees about z": quarter @ diagonal,
        }
    if group.name == "oct":
        return {}
    turns = {"the main axis on x": _about("y", 90.0), "the main axis on y": _about("x", 90.0)}
    return turns | ({"a 2-fold on y": quarter} if group.name.startswith("d") else {})


def _about(axis: str, angle_deg: float) -> Float64:
    return np.asarray(Rotation.from_euler(axis, angle_deg, degrees=True).as_matrix())


def _five_fold_to_z() -> Float64:
    """Return the rotation that takes icos2's frame to that of icos."""
    golden = (1.0 + np.sqrt(5.0)) / 2.0
    five_fold = np.array([0.0, 1.0, golden]) / np.hypot(1.0, golden)
    two_fold = np.array([1.0, 0.0, 0.0])
    return np.stack([np.cross(two_fold, five_fold), two_fold, five_fold])


def _three_fold_to_diagonal() -> Float64:
    """Return the rotation from tet's frame, 3-fold on z, to that with 2-folds on the axes."""
    x, z = np.array([1.0, -1.0, 0.0]) / np.sqrt(2.0), np.ones(3) / np.sqrt(3.0)
    return np.stack([x, np.cross(z, x), z], axis=1)


def _recentred(volume: Float64, group: Symmetry, scale: float) -> tuple[str, float]:
    """Return the centre about which the map has the symmetry, and how well it agrees there.

    V(S (x - c) + c) = V(x) makes V the copy V(S x) moved by (1 - S^-1) c: where their
    cross-correlation peaks.
    """
    rows, targets = [], []
    small = _contrast(volume)
    spectrum = scipy.fft.rfftn(small)
    for k in _chosen(group.order):
        copy = scipy.fft.rfftn(moved(small, group.matrices[k]))
        cross = scipy.fft.irfftn(spectrum * np.conj(copy), s=small.shape)
        peak = np.array(np.unravel_index(np.argmax(cross), cross.shape), dtype=float)
        shape = np.array(cross.shape)
        peak = np.where(peak > shape // 2, peak - shape, peak)[::-1]
        rows.append(np.eye(3) - group.matrices[k].T)
        targets.append(peak)
    centre = np.linalg.lstsq(np.concatenate(rows), np.concatenate(targets), rcond=None)[0]

    def about(point: Float64) -> Float64:
        return _contrast(moved(volume, np.eye(3), point))

    few = group.matrices[[1, -1]]
    start = centre
    centre = start + _refined(lambda v: _lowest(about(start + v), few), _CENTRE_STEP)
    if group.name.startswith("c"):
        centre[2] = 0.0
    # beyond a quarter of the box the map would be cut
    if np.linalg.norm(centre) > len(volume) / 4:
        return "", -1.0
    found = _agreement(about(centre), group.matrices)
    words = ", ".join(f"{c / scale:+.1f}" for c in centre)
    return f"its centre at ({words}) pixels in x, y, z from the box's", found


def _turned(volume: Real, group: Symmetry) -> tuple[str, float]:
    turn, found = symmetry_turn(volume, group)
    if group.name.startswith("c"):
        return f"its axis along {_written(turn[:, 2] * np.sign(turn[2, 2] or 1.0))}", found
    x, z = _written(turn[:, 0]), _written(turn[:, 2])
    return f"its axes turned, x to {x} and z to {z}", found


def symmetry_turn(volume: Real, group: Symmetry) -> tuple[Float64, float]:
    """Return the orientation of a point group that suits a map best, and how well it does.

    First the direction of one axis by itself, then the turn about it, then both refined.

    Returns
    -------
    turn : ndarray of shape (3, 3)
        From the group's axes to those in the map.
    agreement : float
        Lowest correlation of the map with its copies about these.
    """
    small = _contrast(_resampled(volume, _BOX))
    coarse = _contrast(_resampled(volume, _SEARCH_BOX))
    main = group.matrices[1]
    vector = Rotation.from_matrix(main).as_rotvec()
    fold = round(2.0 * np.pi / float(np.linalg.norm(vector)))
    to_z = _rotation_to_z(vector / np.linalg.norm(vector))
    about = Rotation.from_rotvec([0.0, 0.0, 2.0 * np.pi / fold]).as_matrix()
    views = eman_to_matrix(eman_orientations("c1", delta=_STEP_DEG)).transpose(0, 2, 1)
    scores = [_lowest(coarse, _conjugated(about[None], view)) for view in views]
    cyclic = group.name.startswith("c")
    turns = [0.0] if cyclic else np.arange(0.0, 360.0 / fold, _STEP_DEG)
    starts = [
        view @ _about("z", turn) @ to_z
        for view in views[np.argsort(scores)[-_AXES_KEPT:]]
        for turn in turns
    ]
    few = group.matrices[[1]] if cyclic else group.matrices[[1, -1]]
    starts.sort(key=lambda turn: _lowest(coarse, _conjugated(few, turn)))
    turn = max(
        (_refined_turn(small, few, start) for start in starts[-_REFINED:]),
        key=lambda turn: _lowest(small, _conjugated(few, turn)),
    )
    return turn, _agreement(small, _conjugated(group.matrices, turn))


def _refined_turn(volume: Float64, operations: Float64, start: Float64) -> Float64:
    """Return the orientation near one, up to some 10 degrees, that suits best."""

    def turned(vector: Float64) -> Float64:
        return np.asarray(Rotation.from_rotvec(vector).as_matrix() @ start)

    vector = _refined(lambda v: _lowest(volume, _conjugated(operations, turned(v))), 0.08)
    return turned(vector)


def _lowest(volume: Float64, operations: Float64) -> float:
    return min(_correlation(volume, moved(volume, operation)) for operation in operations)


def _refined(score: Callable[[Float64], float], step: float) -> Float64:
    """Return the three numbers near 0 where a score is highest."""

    def cost(numbers: Float64) -> float:
        return -score(numbers)

    fit = fmin(
        cost,
        np.zeros(3),
        initial_simplex=step * np.eye(4, 3, k=-1),
        xtol=0.06 * step,
        maxfun=40,
        disp=False,
    )
    return np.asarray(fit, dtype=np.float64)


def _rotation_to_z(axis: Float64) -> Float64:
    """Return a rotation that takes an axis to z."""
    rotation, _ = Rotation.align_vectors([[0.0, 0.0, 1.0]], [axis])
    return np.asarray(rotation.as_matrix())


def _written(vector: Float64) -> str:
    return "(" + ", ".join(f"{c:.2f}" for c in np.round(vector, 2) + 0.0) + ")"
