"""Options of the simulator: the one table its command line is built from."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from mapsort.errors import ConfigError
from mapsort.options.fields import (
    check_values,
    file_path,
    list_of,
    option,
    real_number,
    refuse,
    whole_number,
)
from mapsort.options.shared import apix_field, maps_field, overwrite_field, seed_field
from mapsort.physics.phantom import MAX_STATES

OUTPUT = "output"
OBJECT = "object"
IMAGES = "images"
MICROSCOPE = "microscope"

PHANTOM_BOX = 64
PHANTOM_APIX = 2.0


@dataclass(frozen=True, kw_only=True)
class SimulateOptions:
    """Options of ``mapsort simulate``."""

    maps: tuple[Path, ...] = maps_field(
        OBJECT, "maps (MRC), one per class, all of one box and pixel size"
    )
    phantom: int | None = field(
        default=None,
        metadata=option(
            whole_number(1, MAX_STATES),
            group=OBJECT,
            metavar="K",
            help="instead of maps: K conformations of the built-in phantom",
        ),
    )
    box: int | None = field(
        default=None,
        metadata=option(
            whole_number(16),
            group=OBJECT,
            metavar="PX",
            help=f"box of the phantom (default {PHANTOM_BOX})",
        ),
    )
    apix: float | None = apix_field(
        OBJECT, "the images", f"the maps say, {PHANTOM_APIX:g} for the phantom"
    )
    out: Path = field(
        metadata=option(
            file_path("a directory"), group=OUTPUT, metavar="DIR", help="directory that is filled"
        )
    )
    overwrite: bool = overwrite_field(OUTPUT)
    seedres: float | None = field(
        default=None,
        metadata=option(
            real_number(above=0),
            group=OUTPUT,
            metavar="A",
            help="resolution of the seeds (low-passed maps) that are written for multi to start "
            "from; by default 30 with --phantom, and no seeds with maps",
        ),
    )
    n: int = field(
        default=2000,
        metadata=option(whole_number(1), group=IMAGES, metavar="N", help="number of particles"),
    )
    snr: float = field(
        default=0.1,
        metadata=option(
            real_number(above=0),
            group=IMAGES,
            metavar="S",
            help="variance of the signal over variance of the noise, over whole images",
        ),
    )
    shift: float = field(
        default=3.0,
        metadata=option(
            real_number(low=0),
            group=IMAGES,
            metavar="PX",
            help="particles lie off the centre by up to this along x and along y",
        ),
    )
    fractions: tuple[float, ...] = field(
        default=(),
        metadata=option(
            list_of(real_number(low=0), "numbers of at least 0, one per class, not all 0"),
            group=IMAGES,
            metavar="F,F,...",
            help="populations of the classes, in any unit; by default equal",
        ),
    )
    seed: int = seed_field(IMAGES, "seed of all random numbers", default=1)
    no_ctf: bool = field(
        default=False, metadata=option(None, group=MICROSCOPE, help="leave the CTF out")
    )
    defocus: tuple[float, ...] = field(
        default=(8000.0, 25000.0),
        metadata=option(
            list_of(real_number(above=0), "two numbers LOW,HIGH in Angstrom"),
            group=MICROSCOPE,
            metavar="LO,HI",
            help="range of the defocus in Angstrom, underfocus positive",
        ),
    )
    voltage: float = field(
        default=300.0,
        metadata=option(real_number(above=0), group=MICROSCOPE, metavar="KV", help="in kV"),
    )
    cs: float = field(
        default=2.7,
        metadata=option(
            real_number(low=0),
            group=MICROSCOPE,
            metavar="MM",
            help="spherical aberration in mm",
        ),
    )
    ampcont: float = field(
        default=0.1,
        metadata=option(
            real_number(low=0),
            group=MICROSCOPE,
            metavar="F",
            help="amplitude contrast, a fraction",
        ),
    )

    def validated(self) -> SimulateOptions:
        """Return self after the checks that need no files.

        Raises
        ------
        ConfigError
            Naming the option, its value and the values it takes.
        """
        check_values(self)
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
        return self
