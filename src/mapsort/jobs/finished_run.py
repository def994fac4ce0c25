"""A run to work on after it has ended: which iterations it has, and its request again."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from mapsort.errors import ConfigError, FormatError
from mapsort.jobs.refinement import MultiRun
from mapsort.model.volume import Volume
from mapsort.options.fields import Options, typed_options
from mapsort.options.multi import MultiOptions
from mapsort.rundir.run_record import RunRecord, read_run

Asked = TypeVar("Asked", bound=Options)


@dataclass(frozen=True)
class FinishedRun(RunRecord):
    """A run directory with at least one finished iteration."""

    def entry(self, iteration: int) -> dict[str, Any]:
        """Return a finished iteration's record of convergence.json."""
        return self.iterations[self.iteration_numbers.index(iteration)]

    @property
    def label(self) -> str:
        """Short name in the names of files made from the run: ``mul03`` for ``multi_03``."""
        kind, _, number = self.name.rpartition("_")
        known = {"multi": "mul", "refine": "ref"}
        return known[kind] + number if kind in known and number.isdigit() else self.name

    @property
    def apix(self) -> float:
        """Pixel size of the run's maps [A]."""
        options = self.manifest.options
        if options.get("downsample") is None:
            return float(options["apix"])
        return Volume.open(self.directory.maps(self.last, 1)).apix

    def iteration(self, asked: int | None) -> int:
        """Return the iteration asked for, the last one by default.

        Raises
        ------
        ConfigError
            The run has not finished such an iteration.
        """
        if asked is None:
            return self.last
        numbers = self.iteration_numbers
        if asked not in numbers:
            raise ConfigError(
                f"--iter={asked}: {self.directory.path} has finished iterations "
                f"{numbers[0]} to {numbers[-1]}"
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
    """Open a run directory."""
    record = read_run(path)
    if not record.iterations:
        raise FormatError(f"{path}: no iteration of this run has ended yet.")
    return FinishedRun(record.directory, record.manifest, record.iterations)


def open_run(path: str | Path) -> MultiRun:
    """Open the directory of a run, finished or still at work.

    Parameters
    ----------
    path : str or Path
        A directory of `refine_multi` or `refine`, or of ``mapsort multi`` or ``mapsort refine``.

    Returns
    -------
    MultiRun
        With the maps and particles of the last iteration that has ended.

    Raises
    ------
    FormatError
        It is not a run directory, is damaged, or no iteration has ended.

    Examples
    --------
    >>> run = open_run("multi_00")  # doctest: +SKIP
    >>> run.assignments["rlnClassNumber"].value_counts()  # doctest: +SKIP
    """
    run = open_finished(path)
    paths = [run.directory.maps(run.last, number) for number in range(1, run.n_models + 1)]
    maps = tuple(Volume.open(path) for path in paths)
    return MultiRun(run.directory.path, maps, run.directory.particles(run.last), run.iterations)


def options_after(kind: type[Asked], run: str | Path | MultiRun, options: dict[str, Any]) -> Asked:
    """Return the options of a command for what comes after a run, given from Python."""
    path = run.path if isinstance(run, MultiRun) else Path(run)
    return typed_options(kind, {"run": (path,)} | options).validated()
