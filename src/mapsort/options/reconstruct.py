"""Options of ``mapsort reconstruct``: the one table its command line is built from."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from mapsort.engines.threads import available_threads
from mapsort.errors import ConfigError
from mapsort.options.fields import (
    check_values,
    file_path,
    list_of,
    option,
    real_number,
    refuse,
    text,
    whole_number,
)
from mapsort.options.parallel import parse_parallel
from mapsort.options.shared import (
    apix_field,
    ctf_field,
    datadir_field,
    invert_field,
    pad_field,
    parallel_field,
    reconstructor_field,
)
from mapsort.options.types import CtfHandling

INPUT = "input and output"
IMAGES = "images"
RECONSTRUCTION = "reconstruction"

MAP_SUFFIXES = (".mrc", ".map", ".hdf")
AVERAGE_SUFFIXES = (".hdf", ".hdf5", ".h5")


@dataclass(frozen=True, kw_only=True)
class ReconstructOptions:
    """Options of ``mapsort reconstruct``; each field's metadata holds its help and values."""

    inputs: tuple[Path, ...] = field(
        default=(),
        metadata=option(
            list_of(file_path("a file"), "one file"),
            group=INPUT,
            metavar="INPUT",
            positional=True,
            help="particles with poses (.star), or class averages of a run (classes_YY.hdf)",
        ),
    )
    output: Path = field(
        default=Path("reconstruction.mrc"),
        metadata=option(
            file_path("a map file"),
            group=INPUT,
            flags=("-o",),
            metavar="FILE",
            help="map to write (.mrc or .hdf)",
        ),
    )
    halves: bool = field(
        default=False,
        metadata=option(
            None,
            group=INPUT,
            help="also maps of both halves, FILE_half1 and FILE_half2, and their FSC: by "
            "rlnRandomSubset if the table has it, else in turn; copies of an image together",
        ),
    )
    class_: int | None = field(
        default=None,
        metadata=option(
            whole_number(1),
            group=IMAGES,
            metavar="Z",
            help="only particles of this class (rlnClassNumber)",
        ),
    )
    model: int | None = field(
        default=None,
        metadata=option(
            whole_number(0),
            group=IMAGES,
            metavar="ZZ",
            help="only class averages of this map (model_id)",
        ),
    )
    ctf: CtfHandling = ctf_field(IMAGES, "corrected when the table has it")
    invert: bool = invert_field(IMAGES, "images have dark density: invert them")
    apix: float | None = apix_field(IMAGES, "the images", "the file says")
    datadir: Path | None = datadir_field(IMAGES, "a .star")
    sym: str = field(
        default="c1",
        metadata=option(
            text("a symmetry"),
            group=RECONSTRUCTION,
            metavar="SYM",
            help="symmetry c<n>, d<n>, tet, oct or icos",
        ),
    )
    recon: str = reconstructor_field(
        RECONSTRUCTION,
        "fourier, wiener_fourier, back_projection, nn4, nn4_rect, nn4_ctf or nnSSNR",
    )
    maxres: float | None = field(
        default=None,
        metadata=option(
            real_number(above=0),
            group=RECONSTRUCTION,
            metavar="A",
            help="finest resolution reconstructed, in Angstrom; by default twice the pixel size",
        ),
    )
    pad: int = pad_field(RECONSTRUCTION)
    parallel: str = parallel_field(RECONSTRUCTION)

    def validated(self) -> ReconstructOptions:
        """Return self after the checks that need no files.

        Raises
        ------
        ConfigError
            Naming the option, its value and the values it takes.
        """
        # Imported here: these import numpy, which `--help` can do without.
        from mapsort.geometry.symmetry import symmetry
        from mapsort.modules.reconstructor import reconstructor

        check_values(self)
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
        try:
            symmetry(self.sym)
        except ConfigError as error:
            raise ConfigError(f"--sym={self.sym}: {error}") from error
        try:
            reconstructor(self.recon)
        except ConfigError as error:
            raise ConfigError(f"--recon={self.recon}: {error}") from error
        parse_parallel(self.parallel)
        return self

    @property
    def input(self) -> Path:
        """The one input file."""
        return self.inputs[0]

    @property
    def averages(self) -> bool:
        """Whether the input is a file of class averages."""
        return self.input.suffix.lower() in AVERAGE_SUFFIXES

    @property
    def n_threads(self) -> int:
        """Threads to use: those asked for, else all that this process may use."""
        return parse_parallel(self.parallel).n_threads or available_threads()
