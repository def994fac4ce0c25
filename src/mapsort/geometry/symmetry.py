"""Point groups of proper rotations and helices, in EMAN's axis conventions."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cache

import numpy as np

from mapsort.array_types import Float64, Int64
from mapsort.errors import ConfigError

ALLOWED_NAMES = (
    "c<n>, d<n>, tet, oct, icos (= icos5), icos2, h<copies>:<starts>:<turn>:<rise>; for example "
    "c1, c4, d7, h5:1:20:7.5"
)

# Beyond this a cyclic order is a typing error, not a molecule.
_MAX_FOLD = 1000
# Elements of equal operations, made in different ways, differ by less.
_SAME = 1e-6


@dataclass(frozen=True, eq=False)
class Symmetry:
    """A point group, or some neighbouring copies of a helix's repeat.

    Operations are object-frame rotations: a map with this symmetry obeys ``V(S x) = V(x)``, and
    the orientation ``R`` is equivalent to ``R S``. Those of a helix are followed by a shift along
    its axis: ``V(S x + t) = V(x)``.

    Attributes
    ----------
    name : str
        Lower-case name, for example ``"d7"``.
    matrices : ndarray of shape (order, 3, 3), float64
        All operations, the identity first; read-only.
    shifts_ang : ndarray of shape (order, 3), float64
        Shift t of each operation, x, y, z [A]; zero but for helices; read-only.
    max_tilt_deg : float
        How far views of a helix may be tilted out of the plane across its axis.
    """

    name: str
    matrices: Float64 = field(repr=False)
    shifts_ang: Float64 = field(repr=False)
    max_tilt_deg: float = 90.0

    @property
    def order(self) -> int:
        """Number of operations."""
        return len(self.matrices)

    @property
    def helical(self) -> bool:
        """Whether operations shift as well as turn."""
        return self.name.startswith("h")


@cache
def symmetry(name: str) -> Symmetry:
    """Point group of a name.

    Parameters
    ----------
    name : str
        ``c<n>``, ``d<n>``, ``tet``, ``oct``, ``icos`` (the same as ``icos5``), ``icos2`` or
        ``h<copies>:<starts>:<turn>:<rise>[:<tilt>]`` with turn and tilt in degrees and the rise in
        Angstrom, in upper or lower case. Commas may stand for the colons.

    Raises
    ------
    ConfigError
        If the name is none of these, or of a helix with more than one start.

    Notes
    -----
    Axes (EMAN2): c and d have the main axis on z and d a 2-fold on x; oct has 4-folds on x, y, z;
    tet a 3-fold on z and another at polar angle 70.53 and azimuth 90 degrees; icos a 5-fold on z,
    one at polar angle 63.43 degrees in the xz plane and a 2-fold on y; icos2 2-folds on x, y, z
    and a 5-fold along (0, 0.5257, 0.8507). A helix lies along z; its copies 0, +1, -1, +2, ...
    are turned about z by the copy's number times the turn, against the right hand, and shifted by
    the same number of rises.

    Examples
    --------
    >>> symmetry("D7").order
    14
    """
    text = name.strip().lower()
    axial = re.fullmatch(r"([cd])(\d+)", text)
    if axial:
        return _axial(axial[1], int(axial[2]), name)
    generators = {"tet": _tet, "oct": _oct, "icos": _icos, "icos5": _icos, "icos2": _icos2}
    if text in generators:
        canonical = "icos" if text == "icos5" else text
        return _frozen(canonical, _closure(generators[text]()))
    if re.match(r"h\d", text):
        return _helical(text, name)
    raise ConfigError(f"symmetry '{name}' is not known; allowed are {ALLOWED_NAMES}")


def _axial(kind: str, fold: int, name: str) -> Symmetry:
    if not 1 <= fold <= _MAX_FOLD:
        raise ConfigError(f"symmetry '{name}': the number must lie between 1 and {_MAX_FOLD}")
    turns = np.stack([_about([0, 0, 1], k / fold) for k in range(fold)])
    if kind == "c":
        return _frozen(f"c{fold}", turns)
    return _frozen(f"d{fold}", np.concatenate([turns, np.diag([1.0, -1.0, -1.0]) @ turns]))


def _helical(text: str, name: str) -> Symmetry:
    try:
        copies, starts, turn, rise, *rest = re.split("[:,]", text[1:])
        n, n_starts, turn_deg, rise_ang = int(copies), int(starts), float(turn), float(rise)
        (tilt_deg,) = map(float, rest) if rest else (90.0,)
    except ValueError as error:
        raise ConfigError(
            f"symmetry '{name}': expected h<copies>:<starts>:<turn>:<rise>, as in h5:1:20:7.5"
        ) from error
    if n_starts != 1:
        raise ConfigError(f"symmetry '{name}': {n_starts} starts; only helices of one start")
    if not (1 <= n <= _MAX_FOLD and np.isfinite([turn_deg, rise_ang]).all()):
        raise ConfigError(f"symmetry '{name}': the copies must be 1 to {_MAX_FOLD}")
    if not 0 <= tilt_deg <= 90:
        raise ConfigError(f"symmetry '{name}': the tilt must lie between 0 and 90 degrees")
    # 0, +1, -1, +2, -2, ...
    numbers = np.array([(k + 1) // 2 * (1 if k % 2 else -1) for k in range(n)])
    matrices = np.stack([_about([0, 0, 1], -k * turn_deg / 360.0) for k in numbers])
    shifts = np.zeros((n, 3))
    shifts[:, 2] = numbers * rise_ang
    canonical = f"h{n}:1:{turn_deg:g}:{rise_ang:g}" + (f":{tilt_deg:g}" if rest else "")
    return _frozen(canonical, matrices, shifts, tilt_deg)


def _tet() -> list[Float64]:
    return [_about([0, 0, 1], 1 / 3), _about([0, np.sqrt(8.0), 1], 1 / 3)]


def _oct() -> list[Float64]:
    return [_about([0, 0, 1], 1 / 4), _about([1, 0, 0], 1 / 4)]


def _icos() -> list[Float64]:
    return [_about([0, 0, 1], 1 / 5), _about([2, 0, 1], 1 / 5)]


def _icos2() -> list[Float64]:
    golden = (1.0 + np.sqrt(5.0)) / 2.0
    return [_about([0, 1, golden], 1 / 5), _about([1, 1, 1], 1 / 3)]


def _about(axis: list[float], turn: float) -> Float64:
    """Matrix of a right-handed rotation by `turn` full turns about an axis (Rodrigues)."""
    x, y, z = np.asarray(axis, dtype=np.float64) / np.linalg.norm(axis)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    angle = 2.0 * np.pi * turn
    square = cross @ cross
    return np.asarray(np.eye(3) + np.sin(angle) * cross + (1.0 - np.cos(angle)) * square)


def _closure(generators: list[Float64]) -> Float64:
    """All products of the generators; the caller's group must be finite."""
    elements = [np.eye(3)]
    seen = {_key(elements[0])}
    for element in elements:  # grows while it is walked through
        for generator in generators:
            product = generator @ element
            if _key(product) not in seen:
                seen.add(_key(product))
                elements.append(product)
    return np.stack(elements)


def _key(matrix: Float64) -> bytes:
    # + 0.0 turns -0.0 into 0.0, which has other bytes
    return (np.round(matrix, 6) + 0.0).tobytes()


def _frozen(
    name: str, matrices: Float64, shifts_ang: Float64 | None = None, max_tilt_deg: float = 90.0
) -> Symmetry:
    # cos(90 degrees) is 6e-17 in floating point; exact zeros keep exact symmetries exact
    cleaned = np.where(np.abs(matrices) < 1e-14, 0.0, matrices)
    shifts = np.zeros((len(matrices), 3)) if shifts_ang is None else shifts_ang
    cleaned.flags.writeable = False
    shifts.flags.writeable = False
    return Symmetry(name, cleaned, shifts, max_tilt_deg)


def cosets(group: Symmetry, part: Symmetry) -> Float64:
    """Return an operation for each of a group's copies that a map of less symmetry tells apart.

    Of a map with the symmetry of a part of the group (a subgroup about the same axes), R S and
    R S T are the same orientation for every T of the part.

    Returns
    -------
    ndarray of shape (order of the group / order of the part, 3, 3), float64
        The identity first.

    Raises
    ------
    ConfigError
        The part is none of this group, or either is a helix.
    """
    if group.helical or part.helical:
        raise ConfigError(f"symmetry {group.name} with {part.name}: point groups have copies only")

    def number(matrices: Float64) -> Int64:
        apart = np.abs(matrices[:, None] - group.matrices).max(axis=(2, 3))
        return np.where(apart.min(axis=1) < _SAME, apart.argmin(axis=1), -1)

    if (number(part.matrices) < 0).any():
        raise ConfigError(
            f"symmetry {part.name} is no part of {group.name} about the same axes; parts of a d<n> "
            "are c<n> and c1, of every group c1"
        )
    left = np.ones(group.order, dtype=bool)
    chosen = []
    for index, operation in enumerate(group.matrices):
        if left[index]:
            chosen.append(operation)
            left[number(operation @ part.matrices)] = False
    return np.stack(chosen)


def turns_deg(before: Float64, after: Float64, group: Symmetry) -> Float64:
    """Angle of the rotation that leads from one orientation to the other.

    Parameters
    ----------
    before, after : ndarray of shape (n, 3, 3)
        Object to view.
    group : Symmetry
        Orientations R and R S are equal for every operator S.

    Returns
    -------
    ndarray of shape (n,), float64
        To the nearest symmetry mate [degrees], 0 to 180.
    """
    cosine = np.full(len(after), -1.0)
    for operator in group.matrices:
        trace = np.einsum("nij,nij->n", after @ operator, before)
        cosine = np.maximum(cosine, 0.5 * (trace - 1.0))
    return np.asarray(np.rad2deg(np.arccos(np.clip(cosine, -1.0, 1.0))))
