"""Particles: a table of images that stay in their files until they are asked for."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from mapsort.errors import BadImagesError, FormatError
from mapsort.io.hdf_header import HeaderValue
from mapsort.io.hdf_stack import HdfStack
from mapsort.io.image_stack import ImageStack, open_stack
from mapsort.io.open_stacks import OpenStacks
from mapsort.io.optics import FLIPPED, GROUP, PREMULTIPLIED
from mapsort.io.particle_files import ParticleFiles, read_particle_files
from mapsort.io.single_particles import refuse_unnumbered
from mapsort.io.star import ctf_values
from mapsort.model.half_sets import HalfSets, half_sets, image_numbers
from mapsort.physics.ctf import ContrastTransfer

_APIX_WARNING = 0.01
_NAMED = 5  # bad images that a message names
_ONE_SIZE_FIRST = (
    "bring them to one size first (mapsort convert --apix A --box PX), or take one group "
    "(mapsort convert --where rlnOpticsGroup==N)."
)
_BLOCK_PIXELS = 1 << 19
_APIX_TOLERANCE = 1e-4  # relative; the same pixel size written with four digits is the same


@dataclass(frozen=True, eq=False)
class Particles:
    """Particle images of one box and one pixel size, with what is known about each.

    Made by `Particles.open`. Picklable: a copy in another process opens the files again.

    Attributes
    ----------
    source : Path
        The file that was opened.
    table : DataFrame
        One row per particle, RELION column names.
    optics : DataFrame
        One row per optics group, RELION column names.
    box : int
        Side of the images [pixel].
    apix : float
        Pixel size [A/pixel].
    files : tuple of Path
        The stacks that hold the images.
    file_of : ndarray of shape (n,), int64
        Which of ``files`` holds each particle.
    index_in_file : ndarray of shape (n,), int64
        Position of each particle in its stack, from 0.
    notes : tuple of str
        What was assumed in reading, one line each.
    dark : tuple of bool
        Which of ``files`` hold dark density: their images are negated as they are read.
    """

    source: Path
    table: pd.DataFrame
    optics: pd.DataFrame
    box: int
    apix: float
    files: tuple[Path, ...]
    file_of: NDArray[np.int64]
    index_in_file: NDArray[np.int64]
    notes: tuple[str, ...] = ()
    dark: tuple[bool, ...] = ()
    _apix_given: bool = field(default=False, repr=False)
    _stacks: OpenStacks = field(default_factory=OpenStacks, repr=False)

    @classmethod
    def open(
        cls,
        path: str | Path,
        *,
        apix: float | None = None,
        datadir: str | Path | None = None,
        passthrough: Sequence[str | Path] = (),
    ) -> Particles:
        """Open a set of particles; images are not read.

        Parameters
        ----------
        path : str or Path
            RELION ``.star``, cryoSPARC ``.cs``, EMAN2 ``.hdf`` or ``.lst``, or a bare stack
            ``.mrcs``, ``.mrc``, ``.st``, ``.map``.
        apix : float, optional
            Pixel size [A/pixel] to use in place of the file's.
        datadir : str or Path, optional
            Where image files that the set names are looked for first.
        passthrough : sequence of str or Path, optional
            cryoSPARC's passthrough files that go with a ``.cs``.

        Returns
        -------
        Particles
            The set. `validate` checks its image files.

        Raises
        ------
        FormatError
            The file is missing, of another kind, or not usable; images are not square; or there
            are several pixel or image sizes.
        """
        if apix is not None and not (np.isfinite(apix) and apix > 0):
            raise FormatError(f"{path}: the pixel size must be positive, not {apix}.")
        read = read_particle_files(path, apix=apix, datadir=datadir, passthrough=passthrough)
        return cls.of_files(Path(path), read, apix_given=apix is not None)

    @classmethod
    def of_files(cls, path: Path, read: ParticleFiles, *, apix_given: bool) -> Particles:
        """Make a set of what a particle file says, or of a part of it.

        Parameters
        ----------
        path : Path
            The file.
        read : ParticleFiles
            What it says.
        apix_given : bool
            Whether its pixel size is the user's, not the file's.

        Returns
        -------
        Particles
            The set.

        Raises
        ------
        FormatError
            Images are not square, or there are several pixel or image sizes.
        """
        used = read.optics[read.optics[GROUP].isin(read.particles[GROUP])]
        size = _one_pixel_size(path, used)
        box = _one_box(path, used, _square(open_stack(read.files[read.file_of[0]])))
        has_box = "rlnImageSize" in read.optics
        return cls(
            source=path,
            table=read.particles,
            optics=read.optics if has_box else read.optics.assign(rlnImageSize=box),
            box=box,
            apix=size,
            files=read.files,
            file_of=read.file_of,
            index_in_file=read.index_in_file,
            notes=read.notes,
            dark=read.dark,
            _apix_given=apix_given,
        )

    def __len__(self) -> int:
        return len(self.table)

    @cached_property
    def ctf(self) -> ContrastTransfer | None:
        """Contrast transfer of every particle, or None when the table has no defocus."""
        values = ctf_values(self.source, self.optics, self.table)
        if values is None:
            return None
        return ContrastTransfer(
            defocus_u_ang=values["rlnDefocusU"],
            defocus_v_ang=values["rlnDefocusV"],
            defocus_angle_deg=values["rlnDefocusAngle"],
            phase_shift_deg=values["rlnPhaseShift"],
            voltage_kv=values["rlnVoltage"],
            cs_mm=values["rlnSphericalAberration"],
            amplitude_contrast=values["rlnAmplitudeContrast"],
            bfactor_ang2=values["rlnCtfBfactor"],
        )

    @property
    def phase_flipped(self) -> bool:
        """Whether the images are phase-flipped already.

        Raises
        ------
        FormatError
            Some are and some are not.
        """
        if FLIPPED not in self.optics:
            return False
        flipped = self._used_optics[FLIPPED].astype(bool)
        if flipped.nunique() > 1:
            raise FormatError(
                f"{self.source}: some images are phase-flipped and some are not; "
                "bring them to one state first (mapsort convert --phaseflip)."
            )
        return bool(flipped.iloc[0])

    @property
    def premultiplied(self) -> bool:
        """Whether images were multiplied with their CTF, as RELION does on request."""
        return PREMULTIPLIED in self.optics and bool(self._used_optics[PREMULTIPLIED].any())

    @property
    def _used_optics(self) -> pd.DataFrame:
        return self.optics[self.optics[GROUP].isin(self.table[GROUP].unique())]

    def image_numbers(self) -> NDArray[np.int64]:
        """Return numbers of the distinct images from 0 in the order of first occurrence, (n,).

        Particles that are copies of one image, as in symmetry-expanded sets, have one number.
        """
        return image_numbers(self.files, self.file_of, self.index_in_file)

    def half_sets(self) -> HalfSets:
        """Return the half-sets: the table's, or made anew with copies of an image together.

        Raises
        ------
        FormatError
            ``rlnRandomSubset`` holds other values than 1 and 2.
        """
        return half_sets(self.source, self.table, self.image_numbers())

    def images(self, indices: ArrayLike | slice) -> NDArray[np.float32]:
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

        Raises
        ------
        FormatError
            A file is missing, cut off or of another size.
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

    def _read(self, indices: ArrayLike | slice) -> tuple[NDArray[np.float32], dict[int, str]]:
        """Read images, and tell what is wrong with which particle."""
        wanted = self._positions(indices)
        images = np.empty((len(wanted), self.box, self.box), dtype=np.float32)
        owners = self.file_of[wanted]
        bad: dict[int, str] = {}
        for owner in np.unique(owners):
            places = np.flatnonzero(owners == owner)
            bad |= self._read_checked(images, wanted, places, int(owner))
        return images, dict(sorted(bad.items()))

    def eman_header(self, index: int) -> dict[str, HeaderValue]:
        """Read what an EMAN2 stack says of one of its images; empty for other formats.

        Parameters
        ----------
        index : int
            Which particle, from 0.

        Returns
        -------
        dict
            Item name to value; see `mapsort.io.hdf.HdfReader.header`.

        Raises
        ------
        FormatError
            The stack is damaged.
        """
        stack = self._stacks.get(self.files[self.file_of[index]])
        if not isinstance(stack, HdfStack):
            return {}
        return stack.header(int(self.index_in_file[index]))

    def subset(self, indices: ArrayLike | slice) -> Particles:
        """Take some of the particles, in the order given.

        Parameters
        ----------
        indices : array_like of int or of bool, or slice
            Which particles, from 0.

        Returns
        -------
        Particles
            A set that shares the open files with this one.

        Raises
        ------
        IndexError
            An index is outside the set.
        """
        wanted = self._positions(indices)
        return replace(
            self,
            table=self.table.iloc[wanted].reset_index(drop=True),
            file_of=self.file_of[wanted],
            index_in_file=self.index_in_file[wanted],
        )

    def images_only(self) -> Particles:
        """Return the same images without what the table says of them: little to send elsewhere.

        Files have full paths, because a process elsewhere has another working directory.
        """
        return replace(
            self,
            table=pd.DataFrame(index=pd.RangeIndex(len(self))),
            files=tuple(path.absolute() for path in self.files),
        )

    def without_table(self, place: Callable[[NDArray[np.int64]], NDArray[np.int64]]) -> Particles:
        """Return the same images without what the table says of them.

        Parameters
        ----------
        place : callable
            Puts the numbers of the images where they are to be.

        Returns
        -------
        Particles
            A set that shares the open files with this one.
        """
        return replace(
            self,
            table=pd.DataFrame(index=pd.RangeIndex(len(self))),
            file_of=place(self.file_of),
            index_in_file=place(self.index_in_file),
        )

    def validate(self) -> tuple[str, ...]:
        """Open every stack once and check that it can give what the table asks of it.

        Returns
        -------
        tuple of str
            What the user should know, one line each: stacks longer than their headers say, and
            pixel sizes in headers that differ from the set's by more than 1 %.

        Raises
        ------
        FormatError
            A stack is missing, cut off, not square, of another box than the rest, or shorter than
            an image number in the table.
        """
        other_apix: list[ImageStack] = []
        odd: list[str] = []
        order = np.argsort(self.file_of, kind="stable")
        bounds = np.searchsorted(self.file_of[order], np.arange(len(self.files) + 1))
        for owner in range(len(self.files)):
            rows = order[bounds[owner] : bounds[owner + 1]]
            if not rows.size:
                continue
            stack = self._stack(owner)
            beyond = rows[self.index_in_file[rows] >= stack.n_images]
            if beyond.size:
                row = int(beyond[0])
                raise FormatError(
                    f"{self.source}: particle {row + 1} is image {self.index_in_file[row] + 1} of "
                    f"{stack.path}, which holds {stack.n_images} images."
                )
            refuse_unnumbered(self.source, self.table, rows, stack.path, stack.n_images)
            if stack.note is not None:
                odd.append(stack.note)
            stated = stack.stated_apix
            if stated is not None and abs(stated - self.apix) > _APIX_WARNING * self.apix:
                other_apix.append(stack)
        return (*_with_count(odd), *self._apix_warnings(other_apix))

    def _apix_warnings(self, stacks: list[ImageStack]) -> tuple[str, ...]:
        if not stacks:
            return ()
        first = stacks[0]
        others = f" (and {len(stacks) - 1} more stacks)" if len(stacks) > 1 else ""
        header = f"{first.path}{others}: the header states {first.stated_apix:g} A/pixel and"
        if self._apix_given:
            return (f"{header} --apix {self.apix:g}; {self.apix:g} is used",)
        return (f"{header} {self.source} {self.apix:g}; {self.apix:g} is used, --apix changes it",)

    def _read_checked(
        self,
        images: NDArray[np.float32],
        wanted: NDArray[np.int64],
        places: NDArray[np.int64],
        owner: int,
    ) -> dict[int, str]:
        """Fill the places of one stack; pixels are looked at while they are in the cache."""
        stack = self._stack(owner)
        places = places[np.argsort(self.index_in_file[wanted[places]], kind="stable")]
        together = (places[1:] - places[:-1] == 1).all()
        bad: dict[int, str] = {}
        step = len(places) if together else max(1, _BLOCK_PIXELS // self.box**2)
        for begin in range(0, len(places), step):
            block = places[begin : begin + step]
            rows = wanted[block]
            part = (
                images[block[0] : block[-1] + 1]
                if together
                else np.empty((len(block), self.box, self.box), dtype=np.float32)
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
        if stack.box != (self.box, self.box):
            ny, nx = stack.box
            raise FormatError(
                f"{stack.path}: its images are {nx} x {ny} pixels, those of the set {self.source} "
                f"{self.box} x {self.box}; all must be square and of one size."
            )
        return stack

    def _positions(self, indices: ArrayLike | slice) -> NDArray[np.int64]:
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

    def __call__(self, images: NDArray[np.float32]) -> None:
        pixels = images.reshape(-1)
        self.finite &= math.isfinite(pixels @ pixels)


def _with_count(notes: list[str]) -> list[str]:
    """Return the first of notes that are alike, and how many there are."""
    more = f" (and {len(notes) - 1} more stacks like it)" if len(notes) > 1 else ""
    return [note + more for note in notes[:1]]


def _read_from(
    stack: ImageStack, images: NDArray[np.float32], indices: NDArray[np.int64], look: _Look
) -> None:
    """Read images; an error of the disk names the file that it is about."""
    try:
        stack.read_into(images, indices, inspect=look)
    except OSError as error:
        if isinstance(error, FormatError) or error.filename is not None:
            raise
        raise OSError(error.errno, error.strerror or str(error), str(stack.path)) from error


def _bad_ones(images: NDArray[np.float32], particles: NDArray[np.int64]) -> dict[int, str]:
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


def _none_constant(images: NDArray[np.float32]) -> bool:
    """Tell that no image is constant: pixels on a coarse grid differ. False: look closer."""
    step = max(1, images.shape[-1] // 8)
    probe = images[:, ::step, ::step].reshape(len(images), -1)
    return bool((probe.max(axis=1) > probe.min(axis=1)).all())


def _square(stack: ImageStack) -> int:
    ny, nx = stack.box
    if ny != nx:
        raise FormatError(f"{stack.path}: the images are {nx} x {ny} pixels; square ones needed.")
    return nx


def _one_pixel_size(path: Path, optics: pd.DataFrame) -> float:
    sizes = optics["rlnImagePixelSize"].to_numpy(dtype=np.float64)
    if np.ptp(sizes) > _APIX_TOLERANCE * sizes[0]:
        raise FormatError(
            f"{path}: the optics groups have different pixel sizes "
            f"({', '.join(f'{size:g}' for size in np.unique(sizes))} A); {_ONE_SIZE_FIRST}"
        )
    return float(sizes[0])


def _one_box(path: Path, optics: pd.DataFrame, box: int) -> int:
    if "rlnImageSize" in optics:
        stated = optics["rlnImageSize"].unique().tolist()
        if stated != [box]:
            raise FormatError(
                f"{path}: the optics groups say images of {', '.join(map(str, stated))} pixels, "
                f"the first stack has {box}; {_ONE_SIZE_FIRST}"
            )
    return box
