"""Options of the simulator: the one table its command line is built from."""

from __future__ import annotations

from pathlib import Path

from mapsort.errors import ConfigError
from mapsort.options.fields import flag, option, refuse, required
from mapsort.options.shared import Apix, Maps, Overwrite
from mapsort.options.types import file_path, list_of, real_number, whole_number
from mapsort.physics.phantom import MAX_STATES

OUTPUT = "output"
OBJECT = "object"
IMAGES = "images"
MICROSCOPE = "microscope"

PHANTOM_BOX = 64
PHANTOM_APIX = 2.0


class PhantomOrMaps(
    Maps,
    Apix,
    group=OBJECT,
    words={
        "maps": "maps (MRC), one per class, all of one box and pixel size",
        "apix": "pixel size of the images in Angstrom; by default as the maps say, "
        f"{PHANTOM_APIX:g} for the phantom",
    },
):
    """What is seen."""


class SimulateOptions(PhantomOrMaps, Overwrite, group=OUTPUT):
    """Options of ``mapsort simulate``."""

    phantom: int | None = option(
        whole_number(1, MAX_STATES),
        "K",
        "instead of maps: K conformations of the built-in phantom",
        group=OBJECT,
    )
    box: int | None = option(
        whole_number(16), "PX", f"box of the phantom (default {PHANTOM_BOX})", group=OBJECT
    )
    out: Path = required(file_path("a directory"), "DIR", "directory that is filled")
    seedres: float | None = option(
        real_number(above=0),
        "A",
        "resolution of the seeds (low-passed maps) that are written for multi to start "
        "from; by default 30 with --phantom, and no seeds with maps",
    )
    n: int = option(whole_number(1), "N", "number of particles", 2000, group=IMAGES)
    snr: float = option(
        real_number(above=0),
        "S",
        "variance of the signal over variance of the noise, over whole images",
        0.1,
        group=IMAGES,
    )
    shift: float = option(
        real_number(low=0),
        "PX",
        "particles lie off the centre by up to this along x and along y",
        3.0,
        group=IMAGES,
    )
    fractions: tuple[float, ...] = option(
        list_of(real_number(low=0), "numbers of at least 0, one per class, not all 0"),
        "F,F,...",
        "populations of the classes, in any unit; by default equal",
        (),
        group=IMAGES,
    )
    seed: int = option(whole_number(0), "N", "seed of all random numbers", 1, group=IMAGES)
    no_ctf: bool = flag("leave the CTF out", group=MICROSCOPE)
    defocus: tuple[float, ...] = option(
        list_of(real_number(above=0), "two numbers LOW,HIGH in Angstrom"),
        "LO,HI",
        "range of the defocus in Angstrom, underfocus positive",
        (8000.0, 25000.0),
        group=MICROSCOPE,
    )
    voltage: float = option(real_number(above=0), "KV", "in kV", 300.0, group=MICROSCOPE)
    cs: float = option(
        real_number(low=0), "MM", "spherical aberration in mm", 2.7, group=MICROSCOPE
    )
    ampcont: float = option(
        real_number(low=0), "F", "amplitude contrast, a fraction", 0.1, group=MICROSCOPE
    )

    def _check(self) -> None:
        super()._check()
        if bool(self.maps) == (self.phantom is not None):
            raise ConfigError("give maps, or --phantom K, and not both")
        if self.maps and self.box is not None:
            raise refuse("box", self.box, "no value with maps: their own box is used")
        n_classes = self.phantom or len(self.maps)
        if self.fractions and (len(self.fractions) != n_classes or sum(self.fractions) == 0):
            raise refuse("fractions", self.fractions, f"{n_classes} numbers, not all 0")
        if len(self.defocus) != 2 or self.defocus[0] > self.defocus[1]:
            raise refuse("defocus", self.defocus, "LOW,HIGH with LOW not above HIGH")
        if self.ampcont > 1:
            raise refuse("ampcont", self.ampcont, "a fraction, 0 to 1")
