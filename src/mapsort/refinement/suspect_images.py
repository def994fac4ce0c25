"""Images that cannot be used, and copies of others: found while all are read, and told at once.

Half-sets know copies of one image by its place. The same pixels under another name (stacks that
were converted or copied, and joined) can only be found by looking.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

import numpy as np

from mapsort.array_types import Float32
from mapsort.engines.chunks import Rows, read_ahead
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
        for _, more in read_ahead(particles.bad_images, ranges[done:]):
            bad |= more
        particles.refuse(bad)
        raise


#: Pixels of an image that are looked at, along each axis at least.
_LOOKED_AT = 8


class Fingerprints:
    """A number for each image, the same for the same pixels and for nothing else in practice.

    Parameters
    ----------
    n : int
        Number of particles.
    """

    def __init__(self, n: int) -> None:
        self._number = np.zeros(n, dtype=np.uint64)

    def add(self, where: Rows, images: Float32) -> None:
        """Look at some images.

        Parameters
        ----------
        where : slice or ndarray
            Which particles they are.
        images : ndarray of shape (n, box, box), float32
            As they were read.
        """
        step = max(1, images.shape[-1] // _LOOKED_AT)
        some = np.ascontiguousarray(images[:, ::step, ::step]).reshape(len(images), -1)
        factors = np.random.default_rng(0).integers(1, 2**63, some.shape[1], dtype=np.uint64)
        # 64 bits of a sum that wraps around: noise is never the same by chance
        self._number[where] = (some.view(np.uint32) * (2 * factors + 1)).sum(axis=1)

    def copies_in_words(self, particles: Particles) -> tuple[str, ...]:
        """Return what the user should know, one line: images that are copies under other names.

        Parameters
        ----------
        particles : Particles
            All of which were looked at.
        """
        # of each distinct image the first particle
        image = particles.image_numbers()
        rows = np.flatnonzero(np.diff(np.maximum.accumulate(image), prepend=-1))
        _, first, number = np.unique(self._number[rows], return_index=True, return_inverse=True)
        original = rows[first[number]]
        copies = np.flatnonzero(original != rows)
        if not len(copies) or not _same(particles, original[copies[0]], rows[copies[0]]):
            return ()
        return (
            f"{particles.source}: {len(copies)} images are copies of others under another name "
            f"(first: particles {original[copies[0]] + 1} and {rows[copies[0]] + 1} have the same "
            "pixels): resolutions may be optimistic; name each image once",
        )


def _same(particles: Particles, one: np.intp, other: np.intp) -> bool:
    images: Float32 = particles.images([one, other])
    return bool(np.array_equal(images[0], images[1]))
