"""Count all images that cannot be used when the first one is met: users mend a set once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from mapsort.engines.chunks import read_ahead
from mapsort.errors import BadImagesError
from mapsort.model.particles import Particles

T = TypeVar("T")


def read_all_usable(
    particles: Particles, read: Callable[[slice], T], ranges: Sequence[slice]
) -> Iterator[tuple[slice, T]]:
    """Yield what is read of consecutive ranges of particles, as `read_ahead`.

    Parameters
    ----------
    particles : Particles
        The set that ``read`` reads of.
    read : callable
        Given a range.
    ranges : sequence of slice
        All of them.

    Yields
    ------
    slice, object
        Range and what was read.

    Raises
    ------
    BadImagesError
        An image is bad; those of all later ranges are counted too.
    """
    done = 0
    try:
        for where, chunk in read_ahead(read, list(ranges)):
            yield where, chunk
            done += 1
    except BadImagesError:
        bad: dict[int, str] = {}
        for where in ranges[done:]:
            bad |= particles.bad_images(where)
        particles.refuse(bad)
        raise
