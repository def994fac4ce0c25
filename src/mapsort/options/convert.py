"""Options of conversions: the one table their command line is built from."""

from __future__ import annotations

from mapsort.errors import ConfigError
from mapsort.io.hdf_pixels import MOST_BITS
from mapsort.io.image_stack import HDF_SUFFIXES
from mapsort.io.particle_files import LIST_SUFFIXES
from mapsort.options.fields import flag, option
from mapsort.options.shared import Datadir, FromTo, Overwrite, Passthrough
from mapsort.options.types import real_number, text, whole_number

FILES = "files"
SUBSET = "which particles"
IMAGES = "what is done to the images"


class ConvertOptions(
    Passthrough,
    Datadir,
    Overwrite,
    FromTo,
    group=FILES,
    words={
        "passthrough": "cryoSPARC's passthrough files that go with a .cs",
        "datadir": "directory searched first for the image files that IN names",
        "files": "IN and OUT. IN: .star, .cs, .hdf, .lst, .mrcs, .mrc; OUT: the same. A .star, .cs "
        "or .lst refers to IN's own stacks where it can; else the images are written beside it, as "
        ".mrcs or .hdf. Maps: .mrc, .map, .hdf",
    },
):
    """Options of ``mapsort convert``."""

    inputapix: float | None = option(
        real_number(above=0), "A", "pixel size of IN in Angstrom, in place of what it says"
    )
    copy: bool = flag("write the images anew also where OUT could refer to IN's")
    compressbits: int | None = option(
        whole_number(0, MOST_BITS),
        "BITS",
        "keep so many bits of a pixel when an .hdf is written (also that of a .lst), as "
        "EMAN2 does, in a fraction of the space; 0: compressed without loss",
    )
    where: str = option(
        text("conditions, for example 'rlnDefocusU<20000 and rlnClassNumber==2'"),
        "COND",
        "only particles that fulfil conditions COLUMN<VALUE (also <=, >, >=, ==, !=), "
        "joined by 'and'",
        "",
        group=SUBSET,
    )
    first: int | None = option(whole_number(1), "N", "only the first N (of these)", group=SUBSET)
    random: int | None = option(
        whole_number(1), "N", "only N at random (of these), in their order", group=SUBSET
    )
    randomseed: int = option(whole_number(0), "N", "seed of --random", 0, group=SUBSET)
    apix: float | None = option(
        real_number(above=0),
        "A",
        "resample to this pixel size, in Fourier space; the field of view stays unless "
        "--box changes it. Optics groups of different sizes are brought to one",
        group=IMAGES,
    )
    box: int | None = option(
        whole_number(2), "PX", "crop or pad to this box (after resampling)", group=IMAGES
    )
    phaseflip: bool = flag("flip phases as the CTF says", group=IMAGES)
    invert: bool = flag("invert contrast", group=IMAGES)
    normalize: bool = flag(
        "background with mean 0 and standard deviation 1, as RELION", group=IMAGES
    )

    def _check(self) -> None:
        super()._check()
        if self.first is not None and self.random is not None:
            raise ConfigError("--first and --random: give one of the two")
        suffix = self.target.suffix.lower()
        if self.compressbits is not None and suffix not in (*HDF_SUFFIXES, *LIST_SUFFIXES):
            raise ConfigError(f"--compressbits: is for .hdf and .lst, and OUT is {self.target}")
