"""Orientation generators besides circles of latitude: spirals, random and repelled directions."""

from __future__ import annotations

import numpy as np
import scipy  # its parts are loaded when they are used

from mapsort.array_types import Float64
from mapsort.errors import ConfigError
from mapsort.geometry.asymmetric_unit import AsymmetricUnit, asymmetric_unit
from mapsort.geometry.euler import eman_to_matrix, matrix_to_eman
from mapsort.geometry.orientations import icos2_frame, step_for_count
from mapsort.geometry.symmetry import Symmetry, symmetry

# A spiral of step d [radians] has (3.6 / d)^2 points on the whole sphere (SPARX).
_SPIRAL_DENSITY = 3.6
# Repulsion: how often the closest pair is moved apart, and by which part of its distance.
_REPULSIONS = 100
_REPULSION = 0.01
# Directions on the border of a unit belong to it, up to rounding [degrees].
_BORDER_DEG = 1e-4


def spiral_orientations(
    group: Symmetry,
    *,
    delta: float | None = None,
    n: int | None = None,
    inc_mirror: bool = False,
) -> Float64:
    """Directions along a spiral from the pole, equally spaced in height (generator saff).

    Arguments, result and errors as for `eman_orientations` (Saff & Kuijlaars (1997), Math.
    Intelligencer 19, 5, doi:10.1007/BF03024331).
    """
    unit = asymmetric_unit(group, inc_mirror=inc_mirror)
    step = step_for_count("saff", _spiral_rows, unit, delta, n)
    return _angles(group, _spiral_rows(unit, step))


def random_orientations(
    group: Symmetry,
    *,
    n: int,
    rng: np.random.Generator,
    inc_mirror: bool = False,
    random_phi: bool = False,
) -> Float64:
    """Directions that are uniformly random on the unit (generator rand).

    EMAN az, alt, phi (n, 3) [degrees]. With `inc_mirror` mirror-related views count as different;
    the in-plane angle may be random, too.
    """
    unit = asymmetric_unit(group, inc_mirror=inc_mirror)
    rows: list[tuple[float, float]] = []
    while len(rows) < n:
        vector = rng.standard_normal(3)
        found = _into_unit(vector / np.linalg.norm(vector), _frame_group(group), unit)
        # a direction on the border may round to the outside of every copy of the unit
        if found is not None:
            rows.append(found)
    angles = _angles(group, rows)
    if random_phi:
        angles[:, 2] = rng.uniform(0.0, 360.0, n)
    return angles


def repelled_orientations(
    group: Symmetry,
    *,
    delta: float | None = None,
    n: int | None = None,
    inc_mirror: bool = False,
) -> Float64:
    """Directions of a spiral, the closest of which are pushed apart (generator opt).

    Arguments, result and errors as for `eman_orientations`. On the whole sphere the closest pair is
    moved apart by 1 % of its distance, 100 times; what lies in the unit is kept (EMAN2,
    ``OptimumOrientationGenerator``).
    """
    unit = asymmetric_unit(group, inc_mirror=inc_mirror)

    def rows(part: AsymmetricUnit, step: float) -> list[tuple[float, float]]:
        kept = [_in_unit(direction, part) for direction in _repelled(step)]
        return [row for row in kept if row is not None]

    step = step_for_count("opt", rows, unit, delta, n)
    return _angles(group, rows(unit, step))


def _spiral_rows(unit: AsymmetricUnit, delta: float) -> list[tuple[float, float]]:
    """Az and alt of the directions inside the unit."""
    height = np.cos(np.deg2rad(unit.alt_max_deg)) - 1.0
    turns = abs(height * unit.az_max_deg / 720.0)
    count = int((_SPIRAL_DENSITY / np.deg2rad(delta)) ** 2 * turns)
    rows = [(0.0, 0.0)]
    az = 0.0
    for i in range(1, count):
        z = 1.0 + height * i / (count - 1)
        radius = np.sqrt(max(1.0 - z * z, 0.0))
        if radius > 1e-6:
            az = (az + delta / radius) % unit.az_max_deg
        alt = float(np.rad2deg(np.arccos(np.clip(z, -1.0, 1.0))))
        if unit.contains(np.float32(az), np.float32(alt)):
            rows.append((az + unit.az_offset_deg, alt))
    return rows


def _repelled(delta: float) -> Float64:
    """Return unit vectors of a spiral over the sphere after the repulsions."""
    whole = asymmetric_unit(symmetry("c1"), inc_mirror=True)
    az, alt = np.deg2rad(np.array(_spiral_rows(whole, delta))).T
    # the third row of the matrix of az, alt
    points = np.column_stack([np.sin(alt) * np.sin(az), -np.sin(alt) * np.cos(az), np.cos(alt)])
    for _ in range(_REPULSIONS if len(points) > 1 else 0):
        found = scipy.spatial.cKDTree(points).query(points, k=2)
        first = int(np.argmin(np.asarray(found[0])[:, 1]))
        second = int(np.asarray(found[1])[first, 1])
        push = 0.5 * _REPULSION * (points[first] - points[second])
        for index, sign in ((first, 1.0), (second, -1.0)):
            moved = points[index] + sign * push
            points[index] = moved / np.linalg.norm(moved)
    return points


def _direction_angles(direction: Float64) -> tuple[float, float]:
    """Az (0 to 360) and alt of a projection direction, degrees."""
    x, y, z = direction
    az = float(np.rad2deg(np.arctan2(x, -y)) % 360.0)
    return az, float(np.rad2deg(np.arccos(np.clip(z, -1.0, 1.0))))


def _in_unit(direction: Float64, unit: AsymmetricUnit) -> tuple[float, float] | None:
    """Az and alt of a direction if it lies in the unit."""
    az, alt = _direction_angles(direction)
    turned = (az - unit.az_offset_deg) % 360.0
    if 360.0 - turned < _BORDER_DEG:
        turned = 0.0
    inside = turned < unit.az_max_deg and alt <= unit.alt_max_deg + _BORDER_DEG
    if inside and unit.contains(np.float32(turned), np.float32(alt)):
        return az, alt
    return None


def _into_unit(
    direction: Float64, group: Symmetry, unit: AsymmetricUnit
) -> tuple[float, float] | None:
    """Az and alt of the copy of a direction that lies in the unit."""
    for sign in (1.0,) if unit.inc_mirror else (1.0, -1.0):
        for operation in group.matrices:
            found = _in_unit(sign * (direction @ operation), unit)
            if found is not None:
                return found
    return None


def _frame_group(group: Symmetry) -> Symmetry:
    """Group in whose frame the unit is given."""
    return symmetry("icos") if group.name == "icos2" else group


def _angles(group: Symmetry, rows: list[tuple[float, float]]) -> Float64:
    if not rows:
        raise ConfigError("orientation generator: the step is so large that no direction is left")
    angles = np.column_stack([np.array(rows), np.zeros(len(rows))])
    angles[:, 0] %= 360.0
    if group.name == "icos2":
        return matrix_to_eman(eman_to_matrix(angles) @ icos2_frame())
    return angles
