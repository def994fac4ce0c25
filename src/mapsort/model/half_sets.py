"""Two half-sets of the particles; copies of one image are always in the same one.

Everything that parts particles in two begins here: half maps, even/odd tests, resolutions, training
and judging particles. The noise of an image that were in both parts would agree with itself.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from mapsort.array_types import Int64, UInt8
from mapsort.errors import FormatError

N_HALVES = 2
#: Column that says which half-set a particle is in, 1 or 2, as RELION and cryoSPARC write it.
SUBSET = "rlnRandomSubset"
#: Column that names the image that each was made of, as RELION writes it.
ORIGINAL = "rlnImageOriginalName"


@dataclass(frozen=True)
class HalfSets:
    """Which half-set each particle is in."""

    #: 0 or 1, (n,); called even and odd.
    half: UInt8
    #: Distinct images; as many as particles where there are no copies.
    n_images: int
    #: Whether the particles' table says so (``rlnRandomSubset``).
    given: bool = False
    #: What the user should know, one line each.
    notes: tuple[str, ...] = ()

    @property
    def counts(self) -> tuple[int, int]:
        """Number of particles in each half-set."""
        second = int(np.count_nonzero(self.half))
        return len(self.half) - second, second

    @property
    def has_copies(self) -> bool:
        """Whether some images occur more than once."""
        return self.n_images < len(self.half)

    @property
    def particles_in_words(self) -> str:
        """The number of particles, and of distinct images where these are fewer."""
        n = len(self.half)
        return f"{n} (copies of {self.n_images} distinct images)" if self.has_copies else str(n)


def original_images(table: pd.DataFrame) -> Int64 | None:
    """Return numbers (n,) of the images that those of a table were made of.

    Images with parts of one image, as signal subtraction makes them of expanded particles, share
    its noise as copies do. None where the table does not say (``rlnImageOriginalName``).
    """
    if ORIGINAL not in table or bool(table[ORIGINAL].isna().any()):
        return None
    return np.asarray(pd.factorize(table[ORIGINAL])[0], dtype=np.int64)


def image_numbers(
    files: Sequence[Path], file_of: Int64, index_in_file: Int64, made_of: Int64 | None = None
) -> Int64:
    """Return numbers (n,) of the distinct images from 0, in the order of first occurrence.

    Of which file each particle is, and where in it; two names of one file (links, relative and
    absolute paths) name the same images. Images that were made of others are told apart by these
    (`original_images`).
    """
    if made_of is not None:
        return np.asarray(pd.factorize(made_of)[0], dtype=np.int64)
    if not len(file_of):
        return np.zeros(0, dtype=np.int64)
    owners: dict[object, int] = {}
    owner = np.array([owners.setdefault(_identity(path), len(owners)) for path in files])
    places = owner[file_of] * (int(index_in_file.max()) + 1) + index_in_file
    if bool((places[1:] > places[:-1]).all()):
        return np.arange(len(places), dtype=np.int64)
    return np.asarray(pd.factorize(places)[0], dtype=np.int64)


def _identity(path: Path) -> object:
    """Return what two names of one file have in common."""
    try:
        status = path.stat()
    except OSError:  # no such file: whoever reads it says so
        return os.path.realpath(path)
    return status.st_dev, status.st_ino


def dealt_out(image: Int64) -> UInt8:
    """Deal images out to two half-sets in turn, with all their copies.

    Images are taken in the order of their numbers (`image_numbers`), those with most copies first,
    so that the half-sets differ in size by no more than the copies of one image.
    """
    copies = np.bincount(image)
    order = np.argsort(-copies, kind="stable")
    half = np.empty(len(copies), dtype=np.uint8)
    half[order] = np.arange(len(copies)) % N_HALVES
    return half[image]


def half_sets(source: Path, table: pd.DataFrame, image: Int64) -> HalfSets:
    """Return the half-sets that the table says, or that numbered images (n,) are dealt out to.

    Raises
    ------
    FormatError
        ``rlnRandomSubset`` holds other values than 1 and 2.
    """
    n_images = int(image.max(initial=-1)) + 1
    notes = _copies_in_words(source, image, n_images)
    given = _given_halves(source, table)
    if given is not None and len(given) and (given == given[0]).all():
        notes.append(
            f"{source}: {SUBSET} is {given[0] + 1} for all particles; half-sets are made anew"
        )
        given = None
    if given is None:
        return HalfSets(dealt_out(image), n_images, notes=tuple(notes))
    # numbers are in the order of first occurrence: a new one is above all before it
    first = np.flatnonzero(np.diff(np.maximum.accumulate(image), prepend=-1))
    half = given[first][image]
    apart = np.flatnonzero(half != given)
    if len(apart):
        row = int(apart[0])
        notes.append(
            f"{source}: {SUBSET} puts copies of {len(np.unique(image[apart]))} images into both "
            f"half-sets (particles {first[image[row]] + 1} and {row + 1} are the same image); all "
            "copies go where the first one is"
        )
    made = HalfSets(half, n_images, True)
    counts = " and ".join(map(str, made.counts))
    notes.append(f"{source}: half-sets are those of {SUBSET}: {counts} particles")
    return HalfSets(half, n_images, True, tuple(notes))


def _copies_in_words(source: Path, image: Int64, n_images: int) -> list[str]:
    if n_images == len(image):
        return []
    most = int(np.bincount(image).max())
    return [
        f"{source}: {len(image)} rows are of {n_images} distinct images (up to {most} copies of "
        "one); copies stay together in half-sets and in cross-validation"
    ]


def _given_halves(source: Path, table: pd.DataFrame) -> UInt8 | None:
    if SUBSET not in table:
        return None
    values = pd.to_numeric(table[SUBSET], errors="coerce").to_numpy(dtype=float)
    wrong = np.flatnonzero((values != 1) & (values != 2))
    if len(wrong):
        raise FormatError(
            f"{source}: {SUBSET} of particle {wrong[0] + 1} is {table[SUBSET].iloc[wrong[0]]}; "
            "expected 1 or 2. Correct the column or remove it."
        )
    return np.asarray(values == 2, dtype=np.uint8)
