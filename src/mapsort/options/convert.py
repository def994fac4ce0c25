"""Options of conversions: the one table their command line is built from."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from mapsort.errors import ConfigError
from mapsort.io.hdf_pixels import MOST_BITS
from mapsort.io.image_stack import HDF_SUFFIXES
from mapsort.io.particle_files import LIST_SUFFIXES
from mapsort.options.fields import (
    check_values,
    file_path,
    list_of,
    option,
    real_number,
    text,
    whole_number,
)
from mapsort.options.shared import (
    datadir_field,
    invert_field,
    overwrite_field,
    passthrough_field,
    seed_field,
)

FILES = "files"
SUBSET = "which particles"
IMAGES = "what is done to the images"


@dataclass(frozen=True, kw_only=True)
class ConvertOptions:
    """Options of ``mapsort convert``."""

    files: tuple[Path, ...] = field(
        default=(),
        metadata=option(
            list_of(file_path("a file"), "two files"),
            group=FILES,
            metavar="FILE",
            positional=True,
            help="IN and OUT. IN: .star, .cs, .hdf, .lst, .mrcs, .mrc; OUT: .star, .hdf, .lst, "
            ".mrcs, .mrc. A .star or .lst refers to IN's own stacks where it can; else the images "
            "are written beside it, as .mrcs or .hdf. Maps: .mrc, .map, .hdf",
        ),
    )
    passthrough: tuple[Path, ...] = passthrough_field(FILES, "a .cs")
    datadir: Path | None = datadir_field(FILES, "IN")
    inputapix: float | None = field(
        default=None,
        metadata=option(
            real_number(above=0),
            group=FILES,
            metavar="A",
            help="pixel size of IN in Angstrom, in place of what it says",
        ),
    )
    copy: bool = field(
        default=False,
        metadata=option(
            None, group=FILES, help="write the images anew also where OUT could refer to IN's"
        ),
    )
    overwrite: bool = overwrite_field(FILES)
    compressbits: int | None = field(
        default=None,
        metadata=option(
            whole_number(0, MOST_BITS),
            group=FILES,
            metavar="BITS",
            help="keep so many bits of a pixel when an .hdf is written (also that of a .lst), as "
            "EMAN2 does, in a fraction of the space; 0: compressed without loss",
        ),
    )
    where: str = field(
        default="",
        metadata=option(
            text("conditions, for example 'rlnDefocusU<20000 and rlnClassNumber==2'"),
            group=SUBSET,
            metavar="COND",
            help="only particles that fulfil conditions COLUMN<VALUE (also <=, >, >=, ==, !=), "
            "joined by 'and'",
        ),
    )
    first: int | None = field(
        default=None,
        metadata=option(
            whole_number(1), group=SUBSET, metavar="N", help="only the first N (of these)"
        ),
    )
    random: int | None = field(
        default=None,
        metadata=option(
            whole_number(1),
            group=SUBSET,
            metavar="N",
            help="only N at random (of these), in their order",
        ),
    )
    randomseed: int = seed_field(SUBSET, "seed of --random", default=0)
    apix: float | None = field(
        default=None,
        metadata=option(
            real_number(above=0),
            group=IMAGES,
            metavar="A",
            help="resample to this pixel size, in Fourier space; the field of view stays unless "
            "--box changes it. Optics groups of different sizes are brought to one",
        ),
    )
    box: int | None = field(
        default=None,
        metadata=option(
            whole_number(2),
            group=IMAGES,
            metavar="PX",
            help="crop or pad to this box (after resampling)",
        ),
    )
    phaseflip: bool = field(
        default=False, metadata=option(None, group=IMAGES, help="flip phases as the CTF says")
    )
    invert: bool = invert_field(IMAGES, "invert contrast")
    normalize: bool = field(
        default=False,
        metadata=option(
            None, group=IMAGES, help="background with mean 0 and standard deviation 1, as RELION"
        ),
    )

    def validated(self) -> ConvertOptions:
        """Return self after the checks that need no files.

        Raises
        ------
        ConfigError
            Naming the option, its value and the values it takes.
        """
        check_values(self)
        if len(self.files) != 2:
            raise ConfigError(f"give two files, IN and OUT; there are {len(self.files)}")
        if self.first is not None and self.random is not None:
            raise ConfigError("--first and --random: give one of the two")
        suffix = self.target.suffix.lower()
        if self.compressbits is not None and suffix not in (*HDF_SUFFIXES, *LIST_SUFFIXES):
            raise ConfigError(f"--compressbits: is for .hdf and .lst, and OUT is {self.target}")
        return self

    @property
    def source(self) -> Path:
        """What is converted."""
        return self.files[0]

    @property
    def target(self) -> Path:
        """What is written."""
        return self.files[1]
