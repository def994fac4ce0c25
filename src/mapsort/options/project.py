"""Options of the projection command: the one table its command line is built from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from mapsort.errors import ConfigError
from mapsort.options.fields import (
    check_values,
    file_path,
    option,
    per_map,
    refuse,
    text,
)
from mapsort.options.shared import (
    apix_field,
    maps_field,
    projector_field,
    seed_field,
    symmetries_field,
)

OUTPUT = "output"
VIEWS = "views"

OUTPUT_SUFFIXES = (".hdf", ".mrcs")


@dataclass(frozen=True, kw_only=True)
class ProjectOptions:
    """Options of ``mapsort project``."""

    maps: tuple[Path, ...] = maps_field(VIEWS, "maps (.mrc or .hdf) of one box and pixel size")
    out: Path = field(
        metadata=option(
            file_path("a file"),
            group=OUTPUT,
            metavar="FILE",
            help="projections, those of the first map first: .hdf with xform.projection and "
            "model_id in the headers, or .mrcs with a .star beside it",
        )
    )
    orientgen: str | None = field(
        default=None,
        metadata=option(
            text("an orientation generator, for example eman:delta=7.5"),
            group=VIEWS,
            metavar="SPEC",
            help="orientation generator, eman or even, as name:delta=DEG (default eman:delta=7.5)",
        ),
    )
    sym: tuple[str, ...] = symmetries_field(
        VIEWS, "symmetry whose unit is covered: one for all maps, or one per map"
    )
    angles: Path | None = field(
        default=None,
        metadata=option(
            file_path("a .star file"),
            group=VIEWS,
            metavar="FILE",
            help="instead: a .star file with rlnAngleRot, rlnAngleTilt, rlnAnglePsi, and origins "
            "if projections are to lie off the centre",
        ),
    )
    projector: str = projector_field(VIEWS)
    apix: float | None = apix_field(VIEWS, "the maps", "their files say")
    randomseed: int = seed_field(VIEWS, "seed, for perturbed orientations", default=1)

    def validated(self) -> ProjectOptions:
        """Return self after the checks that need no files.

        Raises
        ------
        ConfigError
            Naming the option, its value and the values it takes.
        """
        from mapsort.geometry.symmetry import symmetry
        from mapsort.modules.orientgen import orientation_generator
        from mapsort.modules.projector import projector

        check_values(self)
        if not self.maps:
            raise ConfigError("give at least one map")
        if self.out.suffix.lower() not in OUTPUT_SUFFIXES:
            raise refuse("out", self.out, f"a file ending in {' or '.join(OUTPUT_SUFFIXES)}")
        if self.angles is not None and (self.orientgen is not None or self.sym != ("c1",)):
            raise ConfigError("--angles: the file holds the views; leave out --orientgen, --sym")
        per_map("sym", self.sym, len(self.maps))
        for name in self.sym:
            _check_named("sym", name, symmetry)
        _check_named("projector", self.projector, projector)
        _check_named("orientgen", self.generator, orientation_generator)
        return self

    @property
    def generator(self) -> str:
        """Orientation generator in use where no angles are given."""
        return self.orientgen or "eman:delta=7.5"

    @property
    def symmetries(self) -> tuple[str, ...]:
        """Symmetry of each map."""
        return per_map("sym", self.sym, len(self.maps))


def _check_named(option_name: str, value: str, make: Callable[[str], object]) -> None:
    try:
        make(value)
    except ConfigError as error:
        raise ConfigError(f"--{option_name}={value}: {error}") from error
