"""Symmetry after the search: its axes are found in a map, which is brought to the usual ones."""

from __future__ import annotations

from dataclasses import replace

from mapsort.geometry.symmetry import Symmetry
from mapsort.geometry.transforms import Transform3D
from mapsort.physics.image_moves import transform_image
from mapsort.physics.map_symmetry import ABSENT, symmetrize, symmetry_turn
from mapsort.physics.pair_comparison import correlation
from mapsort.physics.registration3d import Simplex3D, refine_map_pose
from mapsort.stages.abinit.search import FoundMaps

#: How a map is moved in the end, against the mean of its copies.
_FREEDOM = Simplex3D(step_px=(0.5,) * 3, step_deg=(2.0,) * 3, precision=0.02, maxiter=100)


def on_axes(found: FoundMaps, group: Symmetry) -> tuple[FoundMaps, tuple[str, ...]]:
    """Return maps of a symmetry, about the usual axes, and what is to be told of others.

    A map that has the symmetry in some orientation is turned and shifted, and becomes the mean of
    its copies; the poses of its particles go with it. One that has not stays as it is.

    Parameters
    ----------
    found : FoundMaps
        Found without symmetry.
    group : Symmetry
        A point group.
    """
    maps, rotations, origins = found.maps.copy(), found.rotations.copy(), found.origins.copy()
    against = []
    for number, volume in enumerate(found.maps):
        turn, agreement = symmetry_turn(volume, group)
        if agreement < ABSENT:
            against.append(
                f"map {number + 1} has no symmetry {group.name}: about the axes that suit it best "
                f"its copies correlate by {agreement:.2f} with it; it stays as it is"
            )
            continue
        start = Transform3D(turn.T)
        mean = symmetrize(transform_image(volume, start.matrix, order=3), group)
        pose = refine_map_pose(volume, mean, start, score=correlation, simplex=_FREEDOM)
        maps[number] = symmetrize(transform_image(volume, pose.matrix, order=3), group)
        own = found.number == number
        rotations[own] = found.rotations[own] @ pose.rotation.T
        origins[own] = found.origins[own] + (rotations[own] @ pose.shift)[:, :2]
    return replace(found, maps=maps, rotations=rotations, origins=origins), tuple(against)
