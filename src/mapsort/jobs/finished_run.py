"""A run to work on after it has ended: which iterations it has, and its request again."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mapsort.errors import ConfigError, FormatError
from mapsort.options.fields import typed_options
from mapsort.options.multi import MultiOptions
from mapsort.rundir.layout import RunDirectory
from mapsort.rundir.manifest import Manifest, read_manifest
from mapsort.rundir.text import read_convergence


@dataclass(frozen=True)
class FinishedRun:
    """A run directory with at least one finished iteration.

    Attributes
    ----------
    directory : RunDirectory
    manifest : Manifest
    iterations : tuple of int
        Numbers of the finished iterations.
    n_models : int
        Number of maps.
    """

    directory: RunDirectory
    manifest: Manifest
    iterations: tuple[int, ...]
    n_models: int

    @property
    def n_junk(self) -> int:
        """Number of sets of junk (``--junk``), whose classes follow the last map's."""
        return int(self.manifest.options.get("junk") or 0)

    def entry(self, iteration: int) -> dict[str, Any]:
        """Return a finished iteration's record of convergence.json."""
        entries = read_convergence(self.directory.convergence)
        return next(item for item in entries if int(item["iteration"]) == iteration)

    @property
    def label(self) -> str:
        """Short name in the names of files made from the run: ``mul03`` for ``multi_03``."""
        name = self.directory.path.resolve().name
        kind, _, number = name.rpartition("_")
        known = {"multi": "mul", "refine": "ref"}
        return known[kind] + number if kind in known and number.isdigit() else name

    def iteration(self, asked: int | None) -> int:
        """Return the iteration asked for, the last one by default.

        Raises
        ------
        ConfigError
            The run has not finished such an iteration.
        """
        if asked is None:
            return self.iterations[-1]
        if asked not in self.iterations:
            raise ConfigError(
                f"--iter={asked}: {self.directory.path} has finished iterations "
                f"{self.iterations[0]} to {self.iterations[-1]}"
            )
        return asked

    def request(self) -> MultiOptions:
        """Return the run's options again, with its particles and prepared seeds by full path.

        Raises
        ------
        ConfigError
            The options were written by another version and cannot be read.
        """
        # The prepared seeds stand for the map that they were made of.
        known = {item.name for item in dataclasses.fields(MultiOptions)} - {"model"}
        recorded = {
            name: value
            for name, value in self.manifest.options.items()
            if name in known and value is not None
        }
        seeds = [self.directory.maps(0, number) for number in range(1, self.n_models + 1)]
        changed = {
            "input": self._input(),
            "models": seeds,
            # Not the run's own directory, which is not free; this one is not made.
            "path": self.directory.path / "again",
            "parallel": "",
            "randomseed": self.manifest.seed,
        }
        return typed_options(MultiOptions, recorded | changed)

    def _input(self) -> Path:
        """Return the particle file: the record holds full paths, the options those as given."""
        given = Path(str(self.manifest.options["input"]))
        recorded = [Path(item.path) for item in self.manifest.inputs]
        return next((path for path in recorded if path.name == given.name), given)


def open_finished(path: str | Path) -> FinishedRun:
    """Open a run directory.

    Raises
    ------
    FormatError
        It is not a run directory, is damaged, or no iteration has ended.
    """
    path = Path(path)
    if not path.is_dir():
        raise FormatError(f"{path}: no such run directory.")
    suffix = ".mrc" if RunDirectory(path).maps(0, 1).exists() else ".hdf"
    directory = RunDirectory(path, map_suffix=suffix)
    manifest = read_manifest(directory.parms)
    entries = read_convergence(directory.convergence)
    if not entries:
        raise FormatError(f"{path}: no iteration of this run has ended yet.")
    iterations = tuple(int(entry["iteration"]) for entry in entries)
    return FinishedRun(directory, manifest, iterations, len(entries[-1]["maps"]))
