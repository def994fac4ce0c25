"""Images that stay in their stacks until they are asked for, each checked as it is read."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from mapsort.array_types import Float32, Int64
from mapsort.engines.chunks import chunk_ranges
from mapsort.errors import BadImagesError, FormatError
from mapsort.io.hdf import HdfStack
from mapsort.io.hdf_header import HeaderValue
from mapsort.io.image_stack import ImageStack, OpenStacks
from mapsort.model.half_sets import image_numbers
from mapsort.physics.resample import match_images

_NAMED = 5  # bad images that a message names
_BLOCK_PIXELS = 1 << 19
# Of larger images, so many pixels are read before they are brought to their box.
_LARGER_PIXELS = 1 << 22


@dataclass(frozen=True, eq=False, kw_only=True)
class StoredImages:
    """Where the images of a set of particles are, and how they are read.

    Picklable: a copy in another process opens the files again.
    """

    #: The file that was opened.
    source: Path
    #: Side of the images as they are read [pixel].
    box: int
    #: The stacks that hold the images.
    files: tuple[Path, ...]
    #: Which of ``files`` holds each particle, (n,).
    file_of: Int64
    #: Position of each particle in its stack, from 0, (n,).
    index_in_file: Int64
    #: Which of ``files`` hold dark density: their images are negated as they are read.
    dark: tuple[bool, ...] = ()
    #: Number of the image that each was made of, where that is known, (n,).
    made_of: Int64 | None = None
    #: Side of the images in the stacks where they are larger: they are brought to ``box`` as they
    #: are read; 0 where they are as they are read.
    larger_box: int = 0
    _stacks: OpenStacks = field(default_factory=OpenStacks, repr=False)

    def __len__(self) -> int:
        return len(self.file_of)

    @property
    def stored_box(self) -> int:
        """Side of the images in the stacks [pixel]."""
        return self.larger_box or self.box

    def image_numbers(self) -> Int64:
        """Return numbers of the distinct images from 0 in the order of first occurrence, (n,).

        Particles that are copies of one image, as in symmetry-expanded sets, have one number.
        """
        return image_numbers(self.files, self.file_of, self.index_in_file, self.made_of)

    def images(self, indices: ArrayLike | slice) -> Float32:
        """Read images, grouped by file.

        Parameters
        ----------
        indices : array_like of int or of bool, or slice
            Which particles, from 0.

        Returns
        -------
        ndarray of shape (n, box, box), float32
            The images in the order of ``indices``.

        Raises
        ------
        FormatError
            A file is missing, cut off, of another size, or an image is constant or holds NaN or
            infinite pixels; the message names file and image.
        IndexError
            An index is outside the set.
        """
        images, bad = self._read(indices)
        self.refuse(bad)
        return images

    def bad_images(self, indices: ArrayLike | slice) -> dict[int, str]:
        """Read images and tell which of them no one can align: NaN, infinite, or constant.

        Parameters
        ----------
        indices : array_like of int or of bool, or slice
            Which particles, from 0.

        Returns
        -------
        dict of int to str
            Particle, from 0, to what is wrong with it.
        """
        return self._read(indices)[1]

    def refuse(self, bad: dict[int, str]) -> None:
        """Refuse the set if there are bad images in it.

        Parameters
        ----------
        bad : dict of int to str
            As `bad_images` returns them.

        Raises
        ------
        BadImagesError
            Names the first ones, their number in the stack and the file, and counts all.
        """
        if not bad:
            return
        first, *others = bad
        where = f"{self._place(first)} (particle {first + 1} of {self.source}) {bad[first]}"
        if not others:
            raise BadImagesError(f"{where}. Remove it from the set.")
        named = ", ".join(str(number + 1) for number in list(bad)[:_NAMED])
        more = f" and {len(bad) - _NAMED} more" if len(bad) > _NAMED else ""
        raise BadImagesError(
            f"{where}. {len(bad)} images cannot be used: particles {named}{more}. Remove them "
            "from the set."
        )

    def _place(self, particle: int) -> str:
        return f"{self.files[self.file_of[particle]]}: image {self.index_in_file[particle] + 1}"

    def _read(self, indices: ArrayLike | slice) -> tuple[Float32, dict[int, str]]:
        """Read images, and tell what is wrong with which particle."""
        wanted = self._positions(indices)
        if not self.larger_box:
            return self._read_stored(wanted)
        images = np.empty((len(wanted), self.box, self.box), dtype=np.float32)
        bad: dict[int, str] = {}
        for where in chunk_ranges(len(wanted), max(1, _LARGER_PIXELS // self.larger_box**2)):
            stored, found = self._read_stored(wanted[where])
            ratio = self.larger_box / self.box
            with np.errstate(invalid="ignore"):
                images[where] = match_images(stored, 1.0, box=self.box, target_apix=ratio)
            bad |= found
        return images, dict(sorted(bad.items()))

    def _read_stored(self, wanted: Int64) -> tuple[Float32, dict[int, str]]:
        """Read images as the stacks have them, and tell what is wrong with which particle."""
        box = self.stored_box
        images = np.empty((len(wanted), box, box), dtype=np.float32)
        owners = self.file_of[wanted]
        bad: dict[int, str] = {}
        for owner in np.unique(owners):
            places = np.flatnonzero(owners == owner)
            bad |= self._read_checked(images, wanted, places, int(owner))
        return images, dict(sorted(bad.items()))

    def eman_header(self, index: int) -> dict[str, HeaderValue]:
        """Return EMAN2's header of a particle's image; see `mapsort.io.hdf.HdfReader.header`.

        Empty where the image is not in an EMAN2 file.
        """
        stack = self._stacks.get(self.files[self.file_of[index]])
        if not isinstance(stack, HdfStack):
            return {}
        return stack.header(int(self.index_in_file[index]))

    def _read_checked(
        self, images: Float32, wanted: Int64, places: Int64, owner: int
    ) -> dict[int, str]:
        """Fill the places of one stack; pixels are looked at while they are in the cache."""
        stack = self._stack(owner)
        places = places[np.argsort(self.index_in_file[wanted[places]], kind="stable")]
        together = (places[1:] - places[:-1] == 1).all()
        bad: dict[int, str] = {}
        step = len(places) if together else max(1, _BLOCK_PIXELS // self.stored_box**2)
        for begin in range(0, len(places), step):
            block = places[begin : begin + step]
            rows = wanted[block]
            part = (
                images[block[0] : block[-1] + 1]
                if together
                else np.empty((len(block), *images.shape[1:]), dtype=np.float32)
            )
            look = _Look()
            with np.errstate(over="ignore", invalid="ignore"):
                _read_from(stack, part, self.index_in_file[rows], look)
            if self.dark and self.dark[owner]:
                np.negative(part, out=part)
            if not (look.finite and _none_constant(part)):
                bad |= _bad_ones(part, rows)
            if not together:
                images[block] = part
        return bad

    def _stack(self, owner: int) -> ImageStack:
        stack = self._stacks.get(self.files[owner])
        if stack.box != (self.stored_box, self.stored_box):
            ny, nx = stack.box
            raise FormatError(
                f"{stack.path}: its images are {nx} x {ny} pixels, those of the set {self.source} "
                f"{self.stored_box} x {self.stored_box}; all must be square and of one size."
            )
        return stack

    def _positions(self, indices: ArrayLike | slice) -> Int64:
        everything = np.arange(len(self), dtype=np.int64)
        if isinstance(indices, slice):
            return everything[indices]
        chosen = np.atleast_1d(np.asarray(indices))
        positions = chosen if chosen.dtype == np.bool_ else chosen.astype(np.int64)
        return np.asarray(everything[positions])


class _Look:
    """Tells in one pass whether pixels are finite; where it says no, one must look closer.

    A sum of squares is finite only if every pixel is, and one pass of it costs half of minimum and
    maximum. It may overflow for pixels that are fine.
    """

    def __init__(self) -> None:
        self.finite = True

    def __call__(self, images: Float32) -> None:
        pixels = images.reshape(-1)
        self.finite &= math.isfinite(pixels @ pixels)


def _read_from(stack: ImageStack, images: Float32, indices: Int64, look: _Look) -> None:
    """Read images; an error of the disk names the file that it is about."""
    try:
        stack.read_into(images, indices, inspect=look)
    except OSError as error:
        if isinstance(error, FormatError) or error.filename is not None:
            raise
        raise OSError(error.errno, error.strerror or str(error), str(stack.path)) from error


def _bad_ones(images: Float32, particles: Int64) -> dict[int, str]:
    """Tell what is wrong with images that no one can align."""
    # NaN spreads into minimum and maximum, so these two passes tell all three cases apart.
    low, high = images.min(axis=(1, 2)), images.max(axis=(1, 2))
    usable = np.isfinite(low) & np.isfinite(high)
    return {
        int(particles[place]): (
            f"is constant ({low[place]:g})" if usable[place] else "holds NaN or infinite pixels"
        )
        for place in np.flatnonzero(~(usable & (low < high)))
    }


def _none_constant(images: Float32) -> bool:
    """Tell that no image is constant: pixels on a coarse grid differ. False: look closer."""
    step = max(1, images.shape[-1] // 8)
    probe = images[:, ::step, ::step].reshape(len(images), -1)
    return bool((probe.max(axis=1) > probe.min(axis=1)).all())
