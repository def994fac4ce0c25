"""Particles: a table of images that stay in their files until they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from mapsort.array_types import Int64
from mapsort.errors import ConfigError, FormatError
from mapsort.io.image_stack import ImageStack, open_stack
from mapsort.io.optics import FLIPPED, GROUP, PREMULTIPLIED
from mapsort.io.particle_files import ParticleFiles, read_particle_files
from mapsort.io.star import ctf_values
from mapsort.io.table_notes import refuse_unnumbered
from mapsort.model.half_sets import HalfSets, half_sets, original_images
from mapsort.model.stored_images import StoredImages
from mapsort.physics.ctf import ContrastTransfer

_APIX_WARNING = 0.01
_ONE_SIZE_FIRST = (
    "bring them to one size first (mapsort convert --apix A --box PX), or take one group "
    "(mapsort convert --where rlnOpticsGroup==N)."
)
_APIX_TOLERANCE = 1e-4  # relative; the same pixel size written with four digits is the same


@dataclass(frozen=True, eq=False, kw_only=True)
class Particles(StoredImages):
    """Particle images of one box and one pixel size, with what is known about each.

    Made by `Particles.open`; where the images are, `StoredImages` says.

    Attributes
    ----------
    table : DataFrame
        One row per particle, RELION column names.
    optics : DataFrame
        One row per optics group, RELION column names.
    apix : float
        Pixel size [A/pixel].
    notes : tuple of str
        What was assumed in reading, one line each.
    """

    table: pd.DataFrame
    optics: pd.DataFrame
    apix: float
    notes: tuple[str, ...] = ()
    _apix_given: bool = field(default=False, repr=False)

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

        ``apix_given`` says whether its pixel size is the user's, not the file's.

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
            made_of=original_images(read.particles),
            _apix_given=apix_given,
        )

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

    def half_sets(self) -> HalfSets:
        """Return the half-sets: the table's, or made anew with copies of an image together.

        Raises
        ------
        FormatError
            ``rlnRandomSubset`` holds other values than 1 and 2.
        """
        return half_sets(self.source, self.table, self.image_numbers())

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
            made_of=None if self.made_of is None else self.made_of[wanted],
        )

    def downsampled(self, box: int | None) -> Particles:
        """Return the same particles, whose images are brought to a smaller box as they are read.

        They show the same field with larger pixels; frequencies beyond these are left out.

        Parameters
        ----------
        box : int or None
            Side [pixel]; None: as the stacks have them.

        Raises
        ------
        ConfigError
            The images are not larger than that.
        """
        if box is None or box == self.box:
            return self
        if box > self.box:
            raise ConfigError(
                f"--downsample={box}: the images of {self.source} have {self.box} pixels only"
            )
        apix = self.apix * self.box / box
        return replace(self, box=box, apix=apix, larger_box=self.stored_box)

    @property
    def stored_apix(self) -> float:
        """Pixel size of the images in the stacks [A]."""
        return self.apix * self.box / self.stored_box

    def images_only(self) -> Particles:
        """Return the same images without what the table says of them: little to send elsewhere.

        Files have full paths, because a process elsewhere has another working directory.
        """
        return replace(
            self,
            table=pd.DataFrame(index=pd.RangeIndex(len(self))),
            files=tuple(path.absolute() for path in self.files),
        )

    def without_table(self, place: Callable[[Int64], Int64]) -> Particles:
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
            made_of=None if self.made_of is None else place(self.made_of),
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
            stated, apix = stack.stated_apix, self.stored_apix
            if stated is not None and abs(stated - apix) > _APIX_WARNING * apix:
                other_apix.append(stack)
        return (*_with_count(odd), *self._apix_warnings(other_apix))

    def _apix_warnings(self, stacks: list[ImageStack]) -> tuple[str, ...]:
        if not stacks:
            return ()
        first = stacks[0]
        others = f" (and {len(stacks) - 1} more stacks)" if len(stacks) > 1 else ""
        header = f"{first.path}{others}: the header states {first.stated_apix:g} A/pixel and"
        apix = self.stored_apix
        if self._apix_given:
            return (f"{header} --apix {apix:g}; {apix:g} is used",)
        return (f"{header} {self.source} {apix:g}; {apix:g} is used, --apix changes it",)


def _with_count(notes: list[str]) -> list[str]:
    """Return the first of notes that are alike, and how many there are."""
    more = f" (and {len(notes) - 1} more stacks like it)" if len(notes) > 1 else ""
    return [note + more for note in notes[:1]]


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
