"""The part of the sphere of viewing directions that a symmetry leaves to be sampled."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from mapsort.geometry.symmetry import Symmetry

_PLATONIC_FOLD = {"tet": 3, "oct": 4, "icos": 5, "icos2": 5}

# Added to az after the inside test, degrees: EMAN puts the icosahedral unit there.
_ICOS_AZ_OFFSET_DEG = 234.0

# At alt = 45 degrees points of oct lie on the boundary itself; they are to count as inside.
_BOUNDARY_TOLERANCE_RAD = 1e-7


@dataclass(frozen=True)
class AsymmetricUnit:
    """Limits of az and alt for one symmetry, az running from 0."""

    #: ``"c"``, ``"d"``, ``"h"``, ``"tet"``, ``"oct"`` or ``"icos"``.
    family: str
    #: Order of the main axis.
    fold: int
    #: Whether mirror-related views both belong to the unit.
    inc_mirror: bool
    #: alt_max_deg and az_max_deg: upper limits, degrees.
    alt_max_deg: float
    az_max_deg: float
    #: What to add to az once a direction is found to be inside, degrees.
    az_offset_deg: float = 0.0
    #: Lower limit of alt, degrees; above 0 for helices.
    alt_min_deg: float = 0.0

    @property
    def platonic(self) -> bool:
        """Whether `contains` has to be asked; otherwise the limits are the whole truth."""
        return self.family not in ("c", "d", "h")

    def contains(self, az_deg: np.float32, alt_deg: np.float32) -> bool:
        """Whether a viewing direction within the limits, offset not added, lies inside the unit.

        For the platonic groups the unit is bounded by the great circle between two neighbouring
        axes: ``alt < L(z, a)``, ``L = atan(sin(S/2) / (sin(S/2 - z) / tan(t) + sin(z) / tan(a)))``,
        S = 2 pi / fold, z = min(az, S - az), a = angle between the main and the 3-fold axis and t =
        half the angle between two main axes.
        """
        if not self.platonic:
            return True
        if az_deg >= np.float32(self.az_max_deg):
            # the far edge is out: EMAN2's counts (icos, step 3: az 36, alt 30 is not generated)
            return False
        span = 2.0 * np.pi / self.fold
        az, alt = np.deg2rad(float(az_deg)), np.deg2rad(float(alt_deg))
        folded = min(az, span - az)
        cap = _cap_angle(self.fold)
        if alt >= _boundary(folded, cap, span) + _BOUNDARY_TOLERANCE_RAD:
            return False
        if self.family == "tet" and not self.inc_mirror:
            return not _boundary(folded, cap / 2.0, span) < alt
        return True


def asymmetric_unit(symmetry: Symmetry, *, inc_mirror: bool) -> AsymmetricUnit:
    """Return the asymmetric unit of a symmetry (EMAN2, ``Symmetry3D::get_delimiters``).

    With `inc_mirror` views related by a mirror both count. For icos2 it is the unit of icos, in the
    frame of icos.
    """
    if symmetry.helical:
        # all the way round: neighbouring copies are turned, but also shifted
        tilt = symmetry.max_tilt_deg
        highest = 90.0 + (tilt if inc_mirror else 0.0)
        return AsymmetricUnit("h", 1, inc_mirror, highest, 360.0, alt_min_deg=90.0 - tilt)
    axial = re.fullmatch(r"([cd])(\d+)", symmetry.name)
    if axial:
        family, fold = axial[1], int(axial[2])
        if family == "c":
            return AsymmetricUnit("c", fold, inc_mirror, 180.0 if inc_mirror else 90.0, 360 / fold)
        return AsymmetricUnit("d", fold, inc_mirror, 90.0, (360 if inc_mirror else 180) / fold)
    fold = _PLATONIC_FOLD[symmetry.name]
    family = "icos" if symmetry.name == "icos2" else symmetry.name
    halved = family != "tet" and not inc_mirror
    return AsymmetricUnit(
        family,
        fold,
        inc_mirror,
        float(np.rad2deg(_cap_angle(fold))),
        (180.0 if halved else 360.0) / fold,
        _ICOS_AZ_OFFSET_DEG if family == "icos" else 0.0,
    )


def _cap_angle(fold: int) -> float:
    """Angle between the main axis and the nearest 3-fold axis, radians."""
    return float(np.arccos(1.0 / (np.sqrt(3.0) * np.tan(np.pi / fold))))


def _boundary(folded: float, cap: float, span: float) -> float:
    half_edge = 0.5 * np.arccos(np.cos(span) / (1.0 - np.cos(span)))
    along = np.sin(span / 2 - folded) / np.tan(half_edge) + np.sin(folded) / np.tan(cap)
    return float(np.arctan(np.sin(span / 2) / along))
