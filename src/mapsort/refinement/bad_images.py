"""Count all images that cannot be used when the first one is met: users mend a set once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

from mapsort.errors import BadImagesError
from mapsort.model.particles import Particles

T = TypeVar("T")


def counting_bad(
    particles: Particles, found: Iterator[tuple[slice, T]], ranges: Sequence[slice]
) -> Iterator[tuple[slice, T]]:
    """Yield what is found in ranges of particles, in order; count bad images where there is one.

    Raises
    ------
    BadImagesError
        An image is bad; those of all later ranges are counted, too.
    """
    done = 0
    try:
        for each in found:
            yield each
            done += 1
    except BadImagesError:
        bad: dict[int, str] = {}
        for where in ranges[done:]:
            bad |= particles.bad_images(where)
        particles.refuse(bad)
        raise
