"""Options of ``mapsort reconstruct``: the one table its command line is built from."""

from __future__ import annotations

from pathlib import Path

from mapsort.errors import ConfigError
from mapsort.options.fields import flag, option, refuse
from mapsort.options.shared import Parallel, ParticleImages, Reconstructor
from mapsort.options.types import file_path, list_of, real_number, text, whole_number

INPUT = "input and output"
IMAGES = "images"
RECONSTRUCTION = "reconstruction"

MAP_SUFFIXES = (".mrc", ".map", ".hdf")
AVERAGE_SUFFIXES = (".hdf", ".hdf5", ".h5")


class PosedImages(
    ParticleImages,
    group=IMAGES,
    words={
        "ctf": "contrast transfer: auto (corrected when the table has it), apply, flipped (the "
        "images are phase-flipped), none",
        "invert": "images have dark density: invert them",
        "apix": "pixel size of the images in Angstrom; by default as the file says",
        "datadir": "directory searched first for the image files that a .star names",
    },
):
    """How images with known poses are read."""


class ReconstructOptions(PosedImages, Reconstructor, Parallel, group=RECONSTRUCTION):
    """Options of ``mapsort reconstruct``; each field's metadata holds its help and values."""

    inputs: tuple[Path, ...] = option(
        list_of(file_path("a file"), "one file"),
        "INPUT",
        "particles with poses (.star), or class averages of a run (classes_YY.hdf)",
        (),
        positional=True,
        group=INPUT,
    )
    output: Path = option(
        file_path("a map file"),
        "FILE",
        "map to write (.mrc or .hdf)",
        Path("reconstruction.mrc"),
        flags=("-o",),
        group=INPUT,
    )
    halves: bool = flag(
        "also maps of both halves, FILE_half1 and FILE_half2, and their FSC: by "
        "rlnRandomSubset if the table has it, else in turn; copies of an image together",
        group=INPUT,
    )
    class_: int | None = option(
        whole_number(1), "Z", "only particles of this class (rlnClassNumber)", group=IMAGES
    )
    model: int | None = option(
        whole_number(0), "ZZ", "only class averages of this map (model_id)", group=IMAGES
    )
    sym: str = option(
        text("a symmetry"),
        "SYM",
        "symmetry c<n>, d<n>, tet, oct or icos",
        "c1",
        names="geometry.symmetry:symmetry",
    )
    maxres: float | None = option(
        real_number(above=0),
        "A",
        "finest resolution reconstructed, in Angstrom; by default twice the pixel size",
    )

    def _check(self) -> None:
        super()._check()
        if len(self.inputs) != 1:
            raise ConfigError("give one input: particles (.star) or class averages (.hdf)")
        if self.output.suffix.lower() not in MAP_SUFFIXES:
            raise refuse("output", self.output, f"a map: {', '.join(MAP_SUFFIXES)}")
        if self.averages and self.class_ is not None:
            raise refuse(
                "class", self.class_, f"no value with averages ({self.input}); see --model"
            )
        if not self.averages and self.model is not None:
            raise refuse(
                "model", self.model, f"no value with particles ({self.input}); see --class"
            )

    @property
    def input(self) -> Path:
        """The one input file."""
        return self.inputs[0]

    @property
    def averages(self) -> bool:
        """Whether the input is a file of class averages."""
        return self.input.suffix.lower() in AVERAGE_SUFFIXES
