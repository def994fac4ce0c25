"""Options of ``mapsort expand``, ``mask`` and ``subtract``: one part of a particle at a time."""

from __future__ import annotations

from pathlib import Path

from mapsort.errors import ConfigError
from mapsort.options.fields import flag, option, refuse, required
from mapsort.options.reconstruct import MAP_SUFFIXES, PosedImages
from mapsort.options.shared import (
    Apix,
    Datadir,
    FromTo,
    Maps,
    Overwrite,
    Parallel,
    Passthrough,
)
from mapsort.options.types import (
    ValueKind,
    file_path,
    list_of,
    or_auto,
    real_number,
    text,
    whole_number,
)

_PART = ValueKind(
    "a number from 0 to 1", float, lambda value: real_number(low=0).accepts(value) and value <= 1
)


class ExpandOptions(
    Apix,
    Passthrough,
    Datadir,
    Overwrite,
    FromTo,
    group="symmetry expansion",
    words={
        "passthrough": "cryoSPARC's passthrough files that go with a .cs",
        "files": "IN and OUT: particles with poses (.star, .cs, .lst), and the .star to write",
    },
):
    """Options of ``mapsort expand``."""

    sym: str = option(
        text("a point group"),
        "SYM",
        "symmetry of the map that the poses are of: c<n>, d<n>, tet, oct, icos or icos2 (required)",
        "c1",
        names="geometry.symmetry:symmetry",
    )

    def _check(self) -> None:
        super()._check()
        if self.target.suffix.lower() != ".star":
            raise ConfigError(f"{self.target}: an expanded table is written as .star")
        name = self.sym.strip().lower()
        if name == "c1" or name.startswith("h"):
            raise refuse("sym", self.sym, "a point group other than c1")


class MaskOptions(
    Maps,
    Apix,
    Overwrite,
    group="mask creation",
    words={
        "maps": "map, density white (.mrc or .hdf)",
        "apix": "pixel size of the map in Angstrom; by default as its file says",
    },
):
    """Options of ``mapsort mask``."""

    output: Path = option(
        file_path("a map file"),
        "FILE",
        "mask to write (.mrc or .hdf)",
        Path("mask.mrc"),
        flags=("-o",),
    )
    lowpass: float = option(
        real_number(low=0), "A", "low-pass the map to this resolution first; 0: do not", 15.0
    )
    threshold: float | None = option(
        or_auto(real_number()),
        "auto|T",
        "density (after the low-pass) above which a voxel belongs to the region; auto: "
        "clearly above the solvent, 4 standard deviations and 5 % of the highest",
    )
    piece: float = option(
        _PART,
        "PART",
        "connected pieces count with at least this part of the largest one's weight; 1 keeps "
        "the largest only, 0 all",
        0.05,
    )
    extend: float = option(real_number(low=0), "PX", "extend the region by so many pixels", 3.0)
    edge: float = option(real_number(low=0), "PX", "then a soft edge so wide, in pixels", 6.0)
    invert: bool = flag("1 outside and 0 inside")

    def _check(self) -> None:
        super()._check()
        if len(self.maps) != 1:
            raise ConfigError(f"one map is needed; {len(self.maps)} are given")
        if self.output.suffix.lower() not in MAP_SUFFIXES:
            raise refuse("output", self.output, f"a map: {', '.join(MAP_SUFFIXES)}")


class SubtractOptions(
    PosedImages,
    Parallel,
    Overwrite,
    group="signal subtraction",
    words={
        "ctf": "contrast transfer: auto (applied when the table has it), apply, flipped (the "
        "images are phase-flipped), none",
    },
):
    """Options of ``mapsort subtract``."""

    particles: tuple[Path, ...] = option(
        list_of(file_path("a particle file"), "one file"),
        "PARTICLES",
        "particles with poses (.star, .cs, .hdf or .lst)",
        (),
        positional=True,
    )
    output: Path = option(
        file_path("a .star file"),
        "FILE",
        "particles to write, a .star; the new stack stands beside it as .mrcs, with what is left "
        "of map and mask as FILE_map.mrc and FILE_mask.mrc",
        Path("subtracted.star"),
        flags=("-o",),
    )
    model: Path = required(file_path("a map"), "FILE", "map that the poses are of, not sharpened")
    mask: Path = required(
        file_path("a mask volume"),
        "FILE",
        "3-D mask, 0 to 1, of what is kept: everything outside is subtracted",
    )
    inside: bool = flag("subtract what lies inside the mask instead")
    center: bool = flag(
        "recentre the images on what is kept: the centre of mass of the mask comes to their centre"
    )
    box: int | None = option(
        whole_number(16), "PX", "crop the images to this box, about their new centre"
    )

    def _check(self) -> None:
        super()._check()
        if len(self.particles) != 1:
            raise ConfigError(f"one particle file is needed; {len(self.particles)} are given")
        if self.output.suffix.lower() != ".star":
            raise ConfigError(f"{self.output}: subtracted particles are written as .star")
        if self.inside and self.center:
            raise ConfigError(
                "--center: is for what is kept inside the mask; --inside keeps what is outside"
            )
