"""Maps brought into register before they are compared: turned, shifted, and in either hand.

Nothing in the particles tells the hand of a map, and maps of a run may drift apart in orientation;
their Fourier shells agree only when neither differs.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from mapsort.array_types import Float32, Float64
from mapsort.geometry.symmetry import Symmetry, symmetry
from mapsort.geometry.transforms import Transform3D
from mapsort.modules.modopt import ModuleCall
from mapsort.modules.orientgen import orientations
from mapsort.physics.filters import apply_transfer, gaussian_lowpass
from mapsort.physics.image_moves import transform_image
from mapsort.physics.pair_comparison import correlation
from mapsort.physics.registration3d import (
    Simplex3D,
    refine_map_pose,
    register_maps,
    rotation_grid,
)
from mapsort.physics.resample import fourier_resample
from mapsort.physics.shells import fourier_radius

#: Maps are compared low-passed to this resolution [A] (1/e), at boxes of at most this size.
COMPARED_ANG, COMPARED_BOX = 20.0, 24
#: Maps that correlate this well as they lie are in register.
IN_PLACE = 0.95
#: Below this correlation a small turn has not brought the maps together, and all are tried.
TOGETHER = 0.7
#: Step of that search [degrees], and how far maps may be shifted (of the box).
SEARCH_STEP_DEG, SEARCH_SHIFT = 30.0, 0.1
#: First steps of a small turn [degrees] and shift [pixels of the compared box].
_TURN_DEG, _SHIFT_PX = 6.0, 1.0


@dataclass(frozen=True)
class Register:
    """How one map is brought onto another.

    Attributes
    ----------
    transform : Transform3D
        Of the map, after it was mirrored if ``mirrored``; shift in its pixels.
    mirrored : bool
        Whether the other hand fits better: z is inverted first.
    correlation : float
        Of the low-passed maps, then.
    """

    transform: Transform3D
    mirrored: bool
    correlation: float

    @property
    def turn_deg(self) -> float:
        """By how much the map is turned [degrees]."""
        cosine = 0.5 * (np.trace(self.transform.rotation) - 1.0)
        return float(np.rad2deg(np.arccos(np.clip(cosine, -1.0, 1.0))))

    def at(self, scale: float) -> Register:
        """Return it for maps with this many times the pixels."""
        pose = Transform3D(self.transform.rotation, self.transform.shift * scale)
        return Register(pose, self.mirrored, self.correlation)

    def applied(self, volume: Float32, *, order: Literal[1, 3] = 1) -> Float32:
        """Return the map in register, moved by splines of an order."""
        moved = other_hand(volume) if self.mirrored else volume
        at_rest = np.allclose(self.transform.matrix, np.eye(3, 4), atol=1e-9)
        return moved if at_rest else transform_image(moved, self.transform.matrix, order=order)

    def poses(self, rotations: Float64, origins: Float64) -> tuple[Float64, Float64]:
        """Return poses in the map as those that show the same of the map in register.

        Parameters
        ----------
        rotations, origins : ndarray of shape (n, 3, 3) and (n, 2)
            Object to view, and the shift that centres each particle [its pixels].
        """
        hand = np.diag([1.0, 1.0, -1.0]) if self.mirrored else np.eye(3)
        # A view along z is the same from behind: that makes a proper rotation of the mirrored one.
        turned = hand @ rotations @ hand @ self.transform.rotation.T
        return turned, origins + (turned @ self.transform.shift)[:, :2]


def other_hand(volume: Float32) -> Float32:
    """Return the map mirrored in z about its centre pixel n//2."""
    mirrored = volume[::-1]
    # Even boxes have a plane -n/2 without a mate.
    shifted = np.roll(mirrored, 1, axis=0) if len(volume) % 2 == 0 else mirrored
    return np.ascontiguousarray(shifted)


def in_register(
    moving: Float32, fixed: Float32, groups: tuple[Symmetry, Symmetry], *, apix: float
) -> Register:
    """Find how a map is turned, shifted and perhaps mirrored to lie as another does.

    As EMAN2's e2refinemulti: copies low-passed to 20 A, both hands, the better correlation wins; by
    both maps' symmetry full freedom for c1, z only for cyclic, none for the others. Beyond it, maps
    without symmetry that a small turn does not bring together (correlation below 0.7) are tried at
    all orientations, and maps that correlate to 0.95 as they lie are left there.
    """
    box = len(fixed)
    small = min(box, COMPARED_BOX)
    a, b = (_compared(volume, small, apix) for volume in (moving, fixed))
    return _anywhere(_turned_a_little(a, b, groups), a, b, groups).at(box / small)


def as_they_lie(a: Float32, b: Float32, *, apix: float) -> float:
    """Return the correlation of two maps as they lie, as they are compared."""
    small = min(len(a), COMPARED_BOX)
    return -correlation(_compared(a, small, apix), _compared(b, small, apix))


def in_common_frame(
    volumes: Sequence[Float32], groups: Sequence[Symmetry], *, apix: float
) -> tuple[Register, ...]:
    """Find how each of several maps is turned, shifted and mirrored to lie as the first does.

    Each map is brought onto the first. One that is not like it (correlation below 0.7) is also
    brought onto the one, of those before it, that it is most like as it lies, and tried at all
    orientations on the better of them. That is so much for each map, not for each pair. A map that
    is like none stays nearly as it lies, so that it does not lead others astray.
    """
    box = len(volumes[0])
    small = min(box, COMPARED_BOX)
    lying = [_compared(volume, small, apix) for volume in volumes]
    alike = _likeness(lying)
    placed, found = [lying[0]], [Register(Transform3D(), False, 1.0)]
    for number in range(1, len(volumes)):
        moving, own = lying[number], groups[number]
        best, to = _turned_a_little(moving, placed[0], (own, groups[0])), 0
        if best.correlation < TOGETHER and number > 1:
            like = 1 + int(np.argmax(alike[number, 1:number]))
            other = _turned_a_little(moving, placed[like], (own, groups[like]))
            if other.correlation > best.correlation:
                best, to = other, like
        wide = _anywhere(best, moving, placed[to], (own, groups[to]))
        found.append(wide if wide.correlation >= TOGETHER else best)
        placed.append(found[-1].applied(moving))
    return tuple(item.at(box / small) for item in found)


def _likeness(volumes: Sequence[Float32]) -> Float64:
    """Return the correlation of each two maps as they lie, in the better hand."""
    own, other = (
        np.stack([np.asarray(volume, np.float64).reshape(-1) for volume in which])
        for which in (volumes, [other_hand(volume) for volume in volumes])
    )
    for rows in (own, other):
        rows -= rows.mean(axis=1, keepdims=True)
        rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-30)
    return np.asarray(np.maximum(own @ own.T, own @ other.T))


def _better(candidates: Iterable[Register]) -> Register:
    """Return the best; the hand as it is wins unless the other is better than equal."""
    return max(candidates, key=lambda found: (round(found.correlation, 4), not found.mirrored))


def _turned_a_little(a: Float32, b: Float32, groups: tuple[Symmetry, Symmetry]) -> Register:
    """Find how a map lies on another, both as they are compared; shifts in their pixels."""
    unmoved, other = (
        Register(Transform3D(), mirrored, -correlation(other_hand(a) if mirrored else a, b))
        for mirrored in (False, True)
    )
    if unmoved.correlation >= max(IN_PLACE, other.correlation):
        return unmoved
    candidates = [unmoved, other]
    for mirrored in (False, True):
        start = other_hand(a) if mirrored else a
        pose = refine_map_pose(start, b, Transform3D(), score=correlation, simplex=_simplex(groups))
        value = -correlation(transform_image(start, pose.matrix), b)
        candidates.append(Register(pose, mirrored, value))
    return _better(candidates)


def _anywhere(
    nearby: Register, a: Float32, b: Float32, groups: tuple[Symmetry, Symmetry]
) -> Register:
    """Try all orientations where a small turn has not brought maps without symmetry together."""
    free = all(group.order == 1 and not group.helical for group in groups)
    if not free or nearby.correlation >= TOGETHER:
        return nearby
    return _better([nearby, *(_searched(a, b, mirrored) for mirrored in (False, True))])


def _compared(volume: Float32, small: int, apix: float) -> Float32:
    """Return a map low-passed and reduced for the search."""
    box = len(volume)
    frequency = fourier_radius(box, ndim=3) / box
    smooth = apply_transfer(volume, gaussian_lowpass(frequency, cutoff=apix / COMPARED_ANG))
    return smooth if box == small else fourier_resample(smooth, box=small, ndim=3)


def _simplex(groups: tuple[Symmetry, Symmetry]) -> Simplex3D:
    """Return the freedom that the maps' symmetries leave."""
    names = [group.name for group in groups]
    if all(name == "c1" for name in names):
        return Simplex3D(
            step_px=(_SHIFT_PX,) * 3, step_deg=(_TURN_DEG,) * 3, precision=0.05, maxiter=60
        )
    if all(name.startswith("c") for name in names):
        return Simplex3D(
            step_px=(0, 0, _SHIFT_PX), step_deg=(0, 0, _TURN_DEG), precision=0.05, maxiter=60
        )
    return Simplex3D(step_px=(0.0, 0.0, 0.0), step_deg=(0.0, 0.0, 0.0))


def _searched(moving: Float32, fixed: Float32, mirrored: bool) -> Register:
    """Try all orientations of a map in one hand."""
    start = other_hand(moving) if mirrored else moving
    spec = ModuleCall("eman", {"delta": SEARCH_STEP_DEG, "inc_mirror": 1})
    turns = np.arange(0.0, 360.0, SEARCH_STEP_DEG)
    reach = max(1, int(SEARCH_SHIFT * len(fixed)))
    pose = register_maps(
        start,
        fixed,
        rotation_grid(orientations(spec, symmetry("c1")), turns),
        reach_px=(reach,) * 3,
        step_deg=SEARCH_STEP_DEG,
    )
    return Register(pose, mirrored, -correlation(transform_image(start, pose.matrix), fixed))
