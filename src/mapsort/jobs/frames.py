"""Maps of a run that lie in a frame of their own, and what their particles' poses are in the first.

A map that is more like the first when it is turned is the same structure in another frame, or one
with a large part that has moved: the maps alone do not tell which.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mapsort.array_types import Float64, Integer
from mapsort.geometry.symmetry import Symmetry
from mapsort.model.volume import Volume
from mapsort.rundir.layout import RunDirectory
from mapsort.stages.map_register import IN_PLACE, Register, as_they_lie, in_common_frame

#: Maps that correlate so much better when they are turned do not share a frame.
APART = 0.1


@dataclass(frozen=True)
class OwnFrames:
    """Maps that lie otherwise than the first."""

    #: How each of them is brought onto the first, by the number of the map.
    registers: dict[int, Register]
    #: What was measured of each.
    words: tuple[str, ...]

    def moved(
        self, numbers: Integer, rotations: Float64, origins: Float64
    ) -> tuple[Float64, Float64]:
        """Return poses in the frame of the first map.

        Parameters
        ----------
        numbers : ndarray of shape (n,)
            Map of each particle, from 1.
        rotations, origins : ndarray of shape (n, 3, 3) and (n, 2)
            In the frame of its map; origins in pixels.
        """
        rotations, origins = rotations.copy(), origins.copy()
        for number, register in self.registers.items():
            own = numbers == number
            rotations[own], origins[own] = register.poses(rotations[own], origins[own])
        return rotations, origins


def own_frames(
    directory: RunDirectory, iteration: int, groups: Sequence[Symmetry], *, apix: float
) -> OwnFrames:
    """Find the maps of an iteration that lie otherwise than the first; groups are each map's."""
    numbers = range(1, len(groups) + 1)
    maps = [Volume.open(directory.maps(iteration, number)).data for number in numbers]
    registers, words = {}, []
    found = in_common_frame(maps, groups, apix=apix)
    for number, volume, item in zip(numbers, maps, found, strict=True):
        lying = as_they_lie(volume, maps[0], apix=apix)
        if item.correlation >= IN_PLACE and item.correlation > APART + lying:
            how = f"turned by {item.turn_deg:.0f}°" + (" and mirrored" if item.mirrored else "")
            registers[number] = item
            words.append(
                f"map {number} is more like map 1 when it is {how} (correlation "
                f"{item.correlation:.2f}, as they lie {lying:.2f})"
            )
    return OwnFrames(registers, tuple(words))
