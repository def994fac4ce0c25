"""Options of the projection command: the one table its command line is built from."""

from __future__ import annotations

from pathlib import Path

from mapsort.errors import ConfigError
from mapsort.options.fields import option, per_map, refuse, required
from mapsort.options.shared import Apix, Maps, Projector, Symmetries
from mapsort.options.types import file_path, text, whole_number

OUTPUT = "output"
VIEWS = "views"

OUTPUT_SUFFIXES = (".hdf", ".mrcs")


class ProjectOptions(
    Maps,
    Symmetries,
    Projector,
    Apix,
    group=VIEWS,
    words={
        "maps": "maps (.mrc or .hdf) of one box and pixel size",
        "sym": "symmetry whose unit is covered: one for all maps, or one per map",
        "apix": "pixel size of the maps in Angstrom; by default as their files say",
    },
):
    """Options of ``mapsort project``."""

    out: Path = required(
        file_path("a file"),
        "FILE",
        "projections, those of the first map first: .hdf with xform.projection and "
        "model_id in the headers, or .mrcs with a .star beside it",
        group=OUTPUT,
    )
    orientgen: str | None = option(
        text("an orientation generator, for example eman:delta=7.5"),
        "SPEC",
        "orientation generator, eman or even, as name:delta=DEG (default eman:delta=7.5)",
        names="modules.orientgen:ORIENTATION_GENERATORS.bind",
    )
    angles: Path | None = option(
        file_path("a .star file"),
        "FILE",
        "instead: a .star file with rlnAngleRot, rlnAngleTilt, rlnAnglePsi, and origins "
        "if projections are to lie off the centre",
    )
    randomseed: int = option(whole_number(0), "N", "seed, for perturbed orientations", 1)

    def _check(self) -> None:
        super()._check()
        if not self.maps:
            raise ConfigError("give at least one map")
        if self.out.suffix.lower() not in OUTPUT_SUFFIXES:
            raise refuse("out", self.out, f"a file ending in {' or '.join(OUTPUT_SUFFIXES)}")
        if self.angles is not None and (self.orientgen is not None or self.sym != ("c1",)):
            raise ConfigError("--angles: the file holds the views; leave out --orientgen, --sym")
        per_map("sym", self.sym, len(self.maps))

    @property
    def generator(self) -> str:
        """Orientation generator in use where no angles are given."""
        return self.orientgen or "eman:delta=7.5"

    @property
    def symmetries(self) -> tuple[str, ...]:
        """Symmetry of each map."""
        return per_map("sym", self.sym, len(self.maps))
