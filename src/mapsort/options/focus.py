"""Options of ``mapsort expand``: one part of a particle at a time."""

from __future__ import annotations

from pathlib import Path

from mapsort.errors import ConfigError
from mapsort.options.fields import option, refuse, required
from mapsort.options.kinds import file_path, list_of, text
from mapsort.options.shared import Apix, Datadir, Overwrite, Passthrough


class ExpandOptions(
    Apix,
    Passthrough,
    Datadir,
    Overwrite,
    group="symmetry expansion",
    words={"passthrough": "cryoSPARC's passthrough files that go with a .cs"},
):
    """Options of ``mapsort expand``."""

    files: tuple[Path, ...] = option(
        list_of(file_path("a file"), "two files"),
        "FILE",
        "IN and OUT: particles with poses (.star, .cs, .lst), and the .star to write",
        (),
        positional=True,
    )
    sym: str = required(
        text("a point group"),
        "SYM",
        "symmetry of the map that the poses are of: c<n>, d<n>, tet, oct, icos or icos2",
        names="geometry.symmetry:symmetry",
    )

    def _check(self) -> None:
        super()._check()
        if len(self.files) != 2:
            raise ConfigError(f"give two files, IN and OUT; there are {len(self.files)}")
        if self.target.suffix.lower() != ".star":
            raise ConfigError(f"{self.target}: an expanded table is written as .star")
        name = self.sym.strip().lower()
        if name == "c1" or name.startswith("h"):
            raise refuse("sym", self.sym, "a point group other than c1")

    @property
    def source(self) -> Path:
        """What is expanded."""
        return self.files[0]

    @property
    def target(self) -> Path:
        """What is written."""
        return self.files[1]
