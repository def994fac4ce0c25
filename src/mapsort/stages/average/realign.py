"""Align members of classes anew, with their class's projection or average, and choose among them.

A member is a particle in a class; here each member is one row, with its pose on its class.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mapsort.array_types import Complex64, Float32
from mapsort.errors import NumericalError
from mapsort.model.matches import Matches
from mapsort.modules.processors import PROCESSORS
from mapsort.physics.normalization import circle_mean
from mapsort.stages.search.match import match_near
from mapsort.stages.search.search_plan import MatchPlan

#: Width of the soft edge of the references that members are aligned with: at least so many
#: pixels, and this part of the box.
LEAST_EDGE, EDGE_SHARE = 5, 12


def realigned(
    plan: MatchPlan,
    spectra: Complex64,
    ctf: Float32,
    members: Matches,
    *,
    n_threads: int = 1,
) -> Matches:
    """Align members, (n, 1), anew, each with its own class's image only.

    Shifts are searched around where they lie, rotation and mirror anew; other arguments as for
    `match_near`.
    """
    return match_near(
        plan,
        spectra,
        ctf,
        members.reference,
        members.origin,
        reach_px=plan.levels[0].shift_step,
        refined=1,
        n_threads=n_threads,
    )


def composed(first: Matches, second: Matches) -> Matches:
    """Return the poses of particles on a projection, through the average of their class.

    First come those onto the average, (n, 1), then that average's onto the projection, one row for
    each particle. EMAN's transform is x -> M (R x + t); a rotation passes a mirror with the
    opposite sign.
    """
    sign = np.where(first.mirror == 1, -1.0, 1.0)
    alpha = first.alpha + sign * second.alpha
    mirror = first.mirror ^ second.mirror
    # where the origin goes: M1 t1, turned and shifted by the second, and back through both mirrors
    x, y = sign * first.dx, first.dy.astype(np.float64)
    angle = np.deg2rad(second.alpha.astype(np.float64))
    cos, sin = np.cos(angle), np.sin(angle)
    dx = cos * x + sin * y + second.dx
    dy = -sin * x + cos * y + second.dy
    return replace(
        first,
        alpha=np.asarray(alpha % 360.0, dtype=np.float32),
        dx=np.asarray(sign * dx, dtype=np.float32),
        dy=np.asarray(dy, dtype=np.float32),
        mirror=np.asarray(mirror, dtype=np.int32),
    )


def alignment_references(images: Float32, *, automatic: bool = False) -> Float32:
    """Return class averages (n, box, box) as members are aligned with them: no background, masked.

    The masks are those of EMAN2's e2classaverage: with g = max(5, box/12), a disc of box/2 - g with
    a Gaussian edge of g/1.3, or, if automatic, ``mask.auto2d`` from the ten highest maxima at mean
    + 0.2 sigma, grown by g - 2 pixels and a soft edge of g.
    """
    box = images.shape[1]
    edge = max(LEAST_EDGE, box // EDGE_SHARE)
    disc = PROCESSORS.bind(
        f"mask.gaussian:inner_radius={box // 2 - edge}:outer_radius={edge / 1.3}"
    )
    by_density = PROCESSORS.bind(
        f"mask.auto2d:nmaxseed=10:nshells={edge - 2}:nshellsgauss={edge}:sigma=0.2"
    )
    masked = np.zeros_like(images, dtype=np.float32)
    for image, result in zip(images, masked, strict=True):
        if not image.any():
            continue
        level = image - circle_mean(image)
        try:
            result[:] = (by_density if automatic else disc)(level, apix=1.0)
        except NumericalError:
            # nothing to be seen in a poor average: the disc
            result[:] = disc(level, apix=1.0)
    return masked
