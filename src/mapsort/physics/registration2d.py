"""Aligning one image with another: rotation, shift and mirror.

Coarse: the moving image, turned in small steps, is correlated with the fixed one over all shifts
by FFT, on a box that is small enough. Fine: the best few poses are polished on the correlation
coefficient, a comparator chooses, and the winner is polished at full size.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import scipy.fft

from mapsort.array_types import Array, Bool, Float64
from mapsort.geometry.transforms import Transform2D
from mapsort.physics.image_moves import periodic_mirror, transform_image
from mapsort.physics.normalization import squared_radius
from mapsort.physics.pair_comparison import correlation
from mapsort.physics.resample import fourier_resample
from mapsort.physics.simplex import lowest

Image = Array
#: Compares a moved image with the fixed one; smaller is better.
Score = Callable[[Image, Image], float]

# The coarse search runs on boxes of at most this size: its poses need not be finer than what
# polishing starts from.
_COARSE_BOX = 64
# Angles nearer than this many steps to a better one belong to the same peak.
_PEAK_STEPS = 3
# Peaks below this part of the best correlation of their mirror are not polished.
_LEAST_PEAK = 0.8


@dataclass(frozen=True, kw_only=True)
class SearchSpace:
    """Which poses are allowed, and how finely they are searched."""

    #: Largest shift along x and y, pixels; 0 for none.
    maxshift_px: float
    #: Whether to search rotations.
    rotate: bool = True
    #: Whether to try the mirrored image, too.
    mirror: bool = False
    #: Step of the coarse search; by default one and a half pixels at the edge.
    angular_step_deg: float | None = None
    #: Step of the coarse search over shifts at full size, pixels.
    shift_step_px: int = 1
    #: inner_px and outer_px: range of radii of the fixed image that is compared, pixels.
    inner_px: float = 0.0
    outer_px: float = float("inf")
    #: Exclude shifts of one pixel or less along both axes, where fixed patterns correlate.
    forbid_zero: bool = False
    #: Whether the coarse search may use a smaller box.
    reduce_box: bool = True
    #: Whether shifts shall be whole pixels.
    whole_pixels: bool = False
    #: ``"circle"`` or ``"support"``: normalise the correlation by the fixed image's deviation under
    #: the inscribed circle or the non-zero pixels of the moving image, as they are shifted.
    local_norm: str | None = None
    #: Poses per mirror that are polished.
    n_candidates: int = 4


@dataclass(frozen=True)
class _Candidate:
    pose: Transform2D
    correlation: float


def register_images(
    moving: Image, fixed: Image, space: SearchSpace, *, score: Score | None = None
) -> Transform2D:
    """Find the transform of one image onto another.

    Parameters
    ----------
    moving, fixed : ndarray of shape (n, n)
    score : callable, optional
        Chooses among the best poses by correlation; the correlation coefficient by default.

    Returns
    -------
    Transform2D
        ``transform_image(moving, result.matrix)`` is nearest to `fixed`.

    Raises
    ------
    NumericalError
        If the range of radii holds no pixel.
    """
    n = fixed.shape[0]
    inside = _annulus(n, space.inner_px, space.outer_px)
    small = _COARSE_BOX if space.reduce_box and n > _COARSE_BOX else n
    ratio = n / small
    reduced = [
        fourier_resample(image.astype(np.float32), box=small, ndim=2) if small < n else image
        for image in (moving, fixed)
    ]
    near = replace(
        space,
        maxshift_px=space.maxshift_px / ratio,
        inner_px=space.inner_px / ratio,
        outer_px=space.outer_px / ratio,
    )
    coarse_inside = _annulus(small, near.inner_px, near.outer_px)
    step = _angular_step(near, small)
    poses = []
    for mirror in (False, True) if space.mirror else (False,):
        for candidate in _coarse(reduced[0], reduced[1], near, mirror, coarse_inside, step):
            pose = candidate.pose
            if not space.whole_pixels:
                pose = _polished(reduced[0], reduced[1], pose, near, coarse_inside, step)
            poses.append(Transform2D(pose.alpha, pose.tx * ratio, pose.ty * ratio, pose.mirror))
    compare = score or (lambda a, b: correlation(a, b, inside))
    best = min(poses, key=lambda pose: compare(transform_image(moving, pose.matrix), fixed))
    if small == n or space.whole_pixels:
        return best
    return _polished(moving, fixed, best, space, inside, step / ratio)


def refine_pose(
    moving: Image,
    fixed: Image,
    start: Transform2D,
    *,
    score: Score,
    step_px: tuple[float, float] = (1.0, 1.0),
    step_deg: float = 5.0,
    precision: float = 0.04,
    maxiter: int = 200,
    maxshift_px: float | None = None,
    mask: Image | None = None,
) -> Transform2D:
    """Improve a pose by a simplex search on a comparator; the mirror stays.

    Parameters
    ----------
    moving, fixed : ndarray of shape (n, n)
    step_px, step_deg : float
        Size of the first simplex in x and y (pixels) and rotation (degrees); 0 keeps a coordinate.
    precision : float
        The search ends when the simplex is smaller than this part of its steps ...
    maxiter : int
        ... or after so many iterations.
    maxshift_px : float, optional
        How far the shift may move from the start along x and y, pixels.
    mask : ndarray of shape (n, n), optional
        Multiplies both images before they are compared.

    Returns
    -------
    Transform2D
        Never worse than `start`.
    """
    target = fixed if mask is None else fixed * mask

    def cost(pose: Transform2D) -> float:
        moved = transform_image(moving, pose.matrix)
        return score(moved if mask is None else moved * mask, target)

    limit = np.inf if maxshift_px is None else maxshift_px
    found = _simplex(
        cost,
        start,
        steps=(step_deg, *step_px),
        precision=precision,
        maxiter=maxiter,
        least=(-np.inf, start.tx - limit, start.ty - limit),
        most=(np.inf, start.tx + limit, start.ty + limit),
    )
    return found if cost(found) <= cost(start) else start


def _polished(
    moving: Image,
    fixed: Image,
    start: Transform2D,
    space: SearchSpace,
    inside: Bool,
    step_deg: float,
) -> Transform2D:
    """Maximise the correlation coefficient near a pose."""
    limit = space.maxshift_px
    # with the zero shift excluded, polishing must not wander back to it
    reach = 0.5 if space.forbid_zero else np.inf
    low = (max(-limit, start.tx - reach), max(-limit, start.ty - reach))
    high = (min(limit, start.tx + reach), min(limit, start.ty + reach))
    return _simplex(
        lambda pose: correlation(transform_image(moving, pose.matrix), fixed, inside),
        start,
        steps=(step_deg if space.rotate else 0.0, *((0.5, 0.5) if limit > 0 else (0.0, 0.0))),
        precision=0.02,
        maxiter=200,
        least=(-np.inf, *low),
        most=(np.inf, *high),
    )


def _simplex(
    cost: Callable[[Transform2D], float],
    start: Transform2D,
    *,
    steps: tuple[float, float, float],
    precision: float,
    maxiter: int,
    least: tuple[float, float, float],
    most: tuple[float, float, float],
) -> Transform2D:
    """Search over alpha, tx, ty in units of their steps; coordinates of step 0 stay."""
    first = np.array([start.alpha, start.tx, start.ty])
    free = np.flatnonzero(np.array(steps) > 0)
    if len(free) == 0:
        return start
    unit = np.array(steps)[free]

    def pose_at(x: Float64) -> Transform2D:
        values = first.copy()
        values[free] += x * unit
        values = np.clip(values, least, most)
        return Transform2D(float(values[0]), float(values[1]), float(values[2]), start.mirror)

    # from the limits inwards: a simplex on a limit would be flat
    towards = np.where(first[free] + unit > np.array(most)[free], -1.0, 1.0)
    found = lowest(lambda x: cost(pose_at(x)), towards, precision=precision, maxiter=maxiter)
    pose = pose_at(found)
    return replace(pose, alpha=pose.alpha % 360.0)


def _coarse(
    moving: Image, fixed: Image, space: SearchSpace, mirror: bool, inside: Bool, step: float
) -> list[_Candidate]:
    """Best poses by correlation over all rotations and shifts."""
    # M (R x + t) onto the fixed image is R x + t onto the mirrored one
    mirrored = periodic_mirror(fixed, axis=1) if mirror else fixed
    weight = periodic_mirror(inside.astype(np.float32), axis=1) if mirror else inside
    used = weight > 0
    target = np.where(used, mirrored - mirrored[used].mean(), 0.0).astype(np.float64)
    angles = np.arange(0.0, 360.0 - 1e-9, step) if space.rotate else np.zeros(1)
    reach = int(np.floor(space.maxshift_px))
    size = scipy.fft.next_fast_len(len(target) + reach, real=True)
    spectrum = scipy.fft.rfft2(target, s=(size, size))
    found = []
    for alpha in angles:
        turned = _turned(moving, alpha, space)
        values = _correlations(turned, target, spectrum, reach, space)
        place = np.unravel_index(np.argmax(values), values.shape)
        ty, tx = (int(p) - reach for p in place)
        found.append(_Candidate(Transform2D(float(alpha), tx, ty, mirror), float(values[place])))
    return _peaks(found, space.n_candidates)


def _turned(moving: Image, alpha: float, space: SearchSpace) -> Float64:
    support = moving != 0 if space.local_norm == "support" else None
    centred = moving - (moving.mean() if support is None else moving[support].mean())
    if support is not None:
        centred = np.where(support, centred, 0.0)
    if alpha == 0.0:
        return np.asarray(centred, dtype=np.float64)
    return transform_image(centred, Transform2D(alpha).matrix).astype(np.float64)


def _correlations(
    turned: Float64, target: Float64, spectrum: Array, reach: int, space: SearchSpace
) -> Float64:
    """Correlation at shifts -reach ... reach along y and x, by FFT of padded images."""
    n, size = len(turned), len(spectrum)
    template = turned
    support: Float64 | None = None
    if space.local_norm is not None:
        if space.local_norm == "circle":
            support = (squared_radius(n, ndim=2) < (n / 2 - 1) ** 2).astype(np.float64)
        else:
            support = (turned != 0).astype(np.float64)
        template = support * (turned - turned[support > 0].mean())
    values = _shifts(template, spectrum, size, reach)
    norm = float(np.sqrt(np.sum(template**2))) or 1.0
    values = values / norm
    if support is not None:
        values = values / _local_deviation(support, target, size, reach)
    if space.forbid_zero:
        values[max(reach - 1, 0) : reach + 2, max(reach - 1, 0) : reach + 2] = -np.inf
    if space.shift_step_px > 1:
        grid = np.arange(-reach, reach + 1) % space.shift_step_px != 0
        values[grid] = -np.inf
        values[:, grid] = -np.inf
    return values


def _shifts(template: Float64, image: Array, size: int, reach: int) -> Float64:
    """``sum_x template(x - t) image(x)`` for whole t up to the reach."""
    spectrum = scipy.fft.rfft2(template, s=(size, size))
    values = scipy.fft.irfft2(image * spectrum.conj(), s=(size, size))
    shifts = np.arange(-reach, reach + 1)
    return np.asarray(values[np.ix_(shifts, shifts)])


def _local_deviation(support: Float64, target: Float64, size: int, reach: int) -> Float64:
    """Root of the target's sum of squared deviations under the shifted support."""
    total = _shifts(support, scipy.fft.rfft2(target, s=(size, size)), size, reach)
    square = _shifts(support, scipy.fft.rfft2(target**2, s=(size, size)), size, reach)
    ones = scipy.fft.rfft2(np.ones_like(target), s=(size, size))
    count = np.maximum(_shifts(support, ones, size, reach), 1.0)
    variance = np.maximum(square - total**2 / count, 0.0)
    # regions without structure must not win by their small deviation
    return np.sqrt(np.maximum(variance, 1e-3 * float(np.sum(target**2)) + 1e-30))


def _peaks(found: list[_Candidate], count: int) -> list[_Candidate]:
    """Choose the best angles that are not neighbours of better ones, nor far worse."""
    chosen: list[int] = []
    n = len(found)
    for index in sorted(range(n), key=lambda i: -found[i].correlation):
        gaps = [min(abs(index - other), n - abs(index - other)) for other in chosen]
        worse = chosen and found[index].correlation < _LEAST_PEAK * found[chosen[0]].correlation
        if worse or len(chosen) == count or not np.isfinite(found[index].correlation):
            break
        if min(gaps, default=n) >= _PEAK_STEPS:
            chosen.append(index)
    return [found[index] for index in chosen] or [found[0]]


def _angular_step(space: SearchSpace, box: int) -> float:
    """Step that divides the circle: the one asked for, or 1.5 pixels at the edge."""
    wanted = np.rad2deg(3.0 / box) if space.angular_step_deg is None else space.angular_step_deg
    return 360.0 / max(1.0, float(np.round(360.0 / wanted)))


def _annulus(n: int, inner: float, outer: float) -> Bool:
    square = squared_radius(n, ndim=2)
    return np.asarray((square >= inner**2) & (square <= outer**2))
