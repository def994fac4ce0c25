"""Orientation generators: sets of viewing directions that cover an asymmetric unit.

Boundaries are decided in single precision, as in the original, so that the counts agree.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from mapsort.array_types import Float64
from mapsort.errors import ConfigError
from mapsort.geometry import symmetry as groups
from mapsort.geometry.asymmetric_unit import AsymmetricUnit, asymmetric_unit
from mapsort.geometry.euler import eman_to_matrix, matrix_to_eman
from mapsort.geometry.symmetry import Symmetry

# A step below this would make more directions than anyone can match against.
_MIN_DELTA_DEG = 0.05

_Rows = list[tuple[float, float]]
#: Gives az and alt of the directions in a unit for a step [degrees].
Sampler = Callable[[AsymmetricUnit, float], _Rows]


def eman_orientations(
    symmetry: Symmetry | str,
    *,
    delta: float | None = None,
    n: int | None = None,
    inc_mirror: bool = False,
    perturb: bool = False,
    rng: np.random.Generator | None = None,
) -> Float64:
    """Directions on circles of latitude `delta` apart, with the same step along each circle.

    Parameters
    ----------
    symmetry : Symmetry or str
        Point group, or its name.
    delta : float, optional
        Angular step, degrees.  Give either this or `n`.
    n : int, optional
        Number of directions wanted; `delta` is found by bisection, the number met as nearly as
        it allows.
    inc_mirror : bool
        Whether mirror-related views are both generated.
    perturb : bool
        Whether to scatter directions by a normal deviate of an eighth of the step (not the pole).
    rng : numpy.random.Generator, optional
        Source of the deviates; required with `perturb`.

    Returns
    -------
    ndarray of shape (m, 3), float64
        EMAN az, alt, phi in degrees.  At alt 0 and 180 az is 0 and phi the in-plane angle; phi is
        0 elsewhere (but for icos2).

    Raises
    ------
    ConfigError
        If not exactly one of `delta` and `n` is given, if it is out of range, or if `perturb` has
        no `rng`.

    Notes
    -----
    EMAN2's ``EmanOrientationGenerator``.  For icos2 the unit of icos is turned onto its axes (the
    original samples the wrong part of the sphere there).

    Examples
    --------
    >>> len(eman_orientations("c4", delta=10.0))
    59
    """
    if perturb and rng is None:
        raise ConfigError("orientation generator 'eman': perturb needs a random generator (rng)")
    group, unit = _unit(symmetry, inc_mirror)
    step = step_for_count("eman", _eman_rows, unit, delta, n)
    rows = np.array(_eman_rows(unit, step, rng if perturb else None)).reshape(-1, 2)
    return _finish(group, rows)


def even_orientations(
    symmetry: Symmetry | str,
    *,
    delta: float | None = None,
    n: int | None = None,
    inc_mirror: bool = False,
) -> Float64:
    """Directions on circles of latitude `delta` apart, without adjustment at the unit's edges.

    Arguments, result and errors as for `eman_orientations`. EMAN2's ``EvenOrientationGenerator``:
    az step ``delta / sin(alt)``, one direction at the poles.
    """
    group, unit = _unit(symmetry, inc_mirror)
    step = step_for_count("even", _even_rows, unit, delta, n)
    return _finish(group, np.array(_even_rows(unit, step)).reshape(-1, 2))


def angular_step(
    box: int, apix: float, *, target_resolution: float | None = None, speed: int = 5
) -> float:
    """Return the angular step [degrees] that suits a box; it divides 89.99 degrees.

    ``89.99 / ceil(810 / ((speed + 3) sqrt(4300 / E)))`` with E = box [pixels], or ``2 box apix /
    target_resolution`` when that resolution [A] exceeds 4 apix (EMAN2, e2refine_easy); speed is 1
    (finest) to 7.

    Raises
    ------
    ConfigError
        If an argument is out of range.
    """
    if box < 1 or apix <= 0:
        raise ConfigError(f"angular step: box and pixel size must be positive, got {box}, {apix}")
    if not 1 <= speed <= 7:
        raise ConfigError(f"--speed must lie between 1 and 7, got {speed}")
    effective = float(box)
    if target_resolution is not None:
        if target_resolution <= 0:
            raise ConfigError(f"--targetres must be positive, got {target_resolution}")
        if target_resolution > 4.0 * apix:
            effective = 2.0 * box * apix / target_resolution
    return float(89.99 / np.ceil(810.0 / ((speed + 3.0) * np.sqrt(4300.0 / effective))))


def broken_symmetry(eulers_deg: Float64, symmetry: Symmetry, *, inc_mirror: bool) -> Float64:
    """Return orientations, and their copies R S under each operation S: EMAN2's ``breaksym``.

    For maps that are only nearly symmetric. EMAN az, alt, phi (n, 3) [degrees] of a unit with its
    mirror half; views from below (alt above 90) are kept with `inc_mirror` only.
    """
    rotations = eman_to_matrix(eulers_deg)
    copies = (rotations[None] @ symmetry.matrices[:, None]).reshape(-1, 3, 3)
    # the equator belongs to the upper half
    above = copies[:, 2, 2] >= -1e-6
    return matrix_to_eman(copies if inc_mirror else copies[above])


def _unit(symmetry: Symmetry | str, inc_mirror: bool) -> tuple[Symmetry, AsymmetricUnit]:
    group = groups.symmetry(symmetry) if isinstance(symmetry, str) else symmetry
    return group, asymmetric_unit(group, inc_mirror=inc_mirror)


def step_for_count(
    name: str, sampler: Sampler, unit: AsymmetricUnit, delta: float | None, n: int | None
) -> float:
    """Return the step given, or the one whose number of directions is nearest to n [degrees].

    Raises
    ------
    ConfigError
        If not exactly one of the two is given, or if it is out of range.
    """
    if (delta is None) == (n is None):
        raise ConfigError(f"orientation generator '{name}': give exactly one of delta and n")
    if delta is not None:
        if not _MIN_DELTA_DEG <= delta <= 180.0:
            raise ConfigError(
                f"orientation generator '{name}': delta must lie between {_MIN_DELTA_DEG} and 180 "
                f"degrees, got {delta}"
            )
        return delta
    if n is None or not 1 <= n <= 1_000_000:
        raise ConfigError(f"orientation generator '{name}': n must be 1 to 1000000, got {n}")
    return _bisect(sampler, unit, n)


def _bisect(sampler: Sampler, unit: AsymmetricUnit, n: int) -> float:
    """Step whose count is nearest to n among those a bisection of [0, 180] degrees meets."""
    low, high = 0.0, 180.0
    best_step, best_miss = high, float("inf")
    while high - low > 1e-4 and best_miss > 0:
        step = 0.5 * (low + high)
        count = len(sampler(unit, step))
        if abs(count - n) <= best_miss:
            best_step, best_miss = step, abs(count - n)
        if count > n:
            low = step
        else:
            high = step
    return best_step


def _eman_rows(unit: AsymmetricUnit, delta: float, rng: np.random.Generator | None = None) -> _Rows:
    rows: _Rows = []
    az_max = np.float32(unit.az_max_deg)
    for alt in _altitudes(unit, delta):
        step = _eman_step(delta, alt, az_max)
        for az in _eman_azimuths(unit, alt, step, az_max):
            if not unit.contains(az, alt):
                continue
            scatter = np.zeros(2)
            if rng is not None and alt != 0:
                scatter = rng.normal(size=2) * (float(step) / 8.0, delta / 8.0)
            rows.append((float(az) + unit.az_offset_deg + scatter[0], float(alt) + scatter[1]))
    return rows


def _eman_step(delta: float, alt: np.float32, az_max: np.float32) -> np.float32:
    if alt == 0:
        return az_max
    sine = abs(np.sin(np.deg2rad(float(alt))))
    # at 180 degrees the sine is tiny but not zero; the branch below takes over
    step = np.float32(min(delta / sine, 3.0e38))
    return np.float32(az_max / np.float32(2.1)) if az_max / step < np.float32(2.8) else step


def _eman_azimuths(
    unit: AsymmetricUnit, alt: np.float32, step: np.float32, az_max: np.float32
) -> Iterator[np.float32]:
    if alt == 0:
        yield np.float32(0.0)
        return
    limit, gap = _eman_limit(unit, alt, step, az_max)
    az = np.float32(0.0)
    while az <= limit:
        yield az
        az = np.float32(az + step)
        if gap and az > limit:
            # odd d groups on the equator: the second quarter of the unit repeats the first
            az = np.float32(az + az_max / np.float32(2.0))
            limit, gap = az_max, False


def _eman_limit(
    unit: AsymmetricUnit, alt: np.float32, step: np.float32, az_max: np.float32
) -> tuple[np.float32, bool]:
    """Upper limit of az on one circle, and whether it is the first of two stretches."""
    odd = unit.fold % 2 == 1
    at_equator = alt == np.float32(unit.alt_max_deg)
    if unit.family == "d" and at_equator and (odd or unit.inc_mirror):
        if odd and unit.inc_mirror:
            return np.float32(az_max / np.float32(4.0)), True
        return np.float32(az_max / np.float32(2.0)), False
    if unit.family == "c" and at_equator and odd and not unit.inc_mirror:
        return np.float32(az_max / np.float32(2.0)), False
    if unit.family in ("c", "h", "tet") or unit.inc_mirror:
        return np.float32(az_max - step / np.float32(4.0)), False
    return az_max, False


def _even_rows(unit: AsymmetricUnit, delta: float) -> _Rows:
    rows: _Rows = []
    az_max = np.float32(unit.az_max_deg)
    for alt in _altitudes(unit, delta):
        at_pole = alt in (np.float32(0.0), np.float32(180.0))
        step = np.float32(360.0 if at_pole else delta / np.sin(np.deg2rad(float(alt))))
        az = np.float32(0.0)
        while az < az_max:
            if unit.contains(az, alt):
                rows.append((float(az) + unit.az_offset_deg, float(alt)))
            az = np.float32(az + step)
    return rows


def _altitudes(unit: AsymmetricUnit, delta: float) -> Iterator[np.float32]:
    step, limit = np.float32(delta), np.float32(unit.alt_max_deg)
    alt = np.float32(unit.alt_min_deg)
    while alt <= limit:
        yield alt
        alt = np.float32(alt + step)


def _finish(group: Symmetry, rows: Float64) -> Float64:
    angles = np.column_stack([rows[:, 0] % 360.0, rows[:, 1], np.zeros(len(rows))])
    if group.name == "icos2":
        return matrix_to_eman(eman_to_matrix(angles) @ icos2_frame())
    # scattered directions may lie beyond a pole, and at a pole az and phi are one angle
    odd = (angles[:, 1] <= 0.0) | (angles[:, 1] >= 180.0)
    angles[odd] = matrix_to_eman(eman_to_matrix(angles[odd]))
    return angles


def icos2_frame() -> Float64:
    """Return the rotation from the icos2 to the icos frame: a 5-fold to z, the 2-fold on x to y."""
    golden = (1.0 + np.sqrt(5.0)) / 2.0
    five_fold = np.array([0.0, 1.0, golden]) / np.hypot(1.0, golden)
    two_fold = np.array([1.0, 0.0, 0.0])
    return np.stack([np.cross(two_fold, five_fold), two_fold, five_fold])
