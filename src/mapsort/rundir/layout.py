"""Names of all files in a run directory, and how a new one gets its number."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from mapsort.errors import ConfigError

_MAP_SUFFIXES = (".mrc", ".hdf")


@dataclass(frozen=True)
class RunDirectory:
    """A run directory: every file of it has its name from here.

    Iterations are YY (00 = the seeds), maps ZZ (from 01), both with two digits.

    Parameters
    ----------
    path : Path
        The directory.
    map_suffix : str, optional
        ``.mrc`` or ``.hdf``: the format of maps.
    """

    path: Path
    map_suffix: str = ".mrc"

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", Path(self.path))
        if self.map_suffix not in _MAP_SUFFIXES:
            raise ConfigError(
                f"map format {self.map_suffix!r} is not known; known are "
                f"{' and '.join(_MAP_SUFFIXES)}."
            )

    @classmethod
    def next_free(
        cls, parent: str | Path = ".", *, prefix: str = "multi", map_suffix: str = ".mrc"
    ) -> RunDirectory:
        """Make the next numbered run directory: highest existing number + 1, the first is 00.

        Two runs started at the same moment get different directories: making one is a single step
        of the file system, and the loser tries the next number.

        Parameters
        ----------
        parent : str or Path, optional
            Where run directories are.
        prefix : str, optional
            ``multi`` or ``refine``.
        map_suffix : str, optional
            ``.mrc`` or ``.hdf``.

        Returns
        -------
        RunDirectory
            The directory, empty and existing.

        Raises
        ------
        ConfigError
            ``parent`` is not a directory.
        """
        parent = Path(parent)
        if not parent.is_dir():
            raise ConfigError(f"{parent}: not a directory; a run directory is made inside one.")
        pattern = re.compile(rf"{re.escape(prefix)}_(\d{{2,}})")
        while True:
            matches = (pattern.fullmatch(entry.name) for entry in parent.iterdir())
            number = 1 + max((int(match[1]) for match in matches if match), default=-1)
            run = cls(parent / f"{prefix}_{number:02d}", map_suffix=map_suffix)
            try:
                run.path.mkdir()
            except FileExistsError:
                continue
            return run

    def maps(self, iteration: int, model: int) -> Path:
        """Map ``threed_YY_ZZ``."""
        return self._map("threed", iteration, model)

    def threed_filt(self, iteration: int, model: int) -> Path:
        """Map after filtering, ``threed_filt_YY_ZZ``."""
        return self._map("threed_filt", iteration, model)

    def threed_mask(self, iteration: int, model: int) -> Path:
        """Mask ``threed_mask_YY_ZZ``."""
        return self._map("threed_mask", iteration, model)

    def threed_even(self, iteration: int, model: int) -> Path:
        """Map of the even particles, ``threed_even_YY_ZZ``."""
        return self._map("threed_even", iteration, model)

    def threed_odd(self, iteration: int, model: int) -> Path:
        """Map of the odd particles, ``threed_odd_YY_ZZ``."""
        return self._map("threed_odd", iteration, model)

    def projections(self, iteration: int) -> Path:
        """Projections of all maps, ``projections_YY.hdf``."""
        return self._of_iteration("projections", iteration, ".hdf")

    def simmx(self, iteration: int, *, sparse: bool = False) -> Path:
        """Similarity matrix ``simmx_YY.hdf``, or ``.h5`` when only best matches are kept."""
        return self._of_iteration("simmx", iteration, ".h5" if sparse else ".hdf")

    def proj_simmx(self, iteration: int) -> Path:
        """Two-stage: projections against projections, ``proj_simmx_YY.hdf``."""
        return self._of_iteration("proj_simmx", iteration, ".hdf")

    def simmx_stg1(self, iteration: int) -> Path:
        """Two-stage: similarity of the first stage, ``simmx_stg1_YY.hdf``."""
        return self._of_iteration("simmx_stg1", iteration, ".hdf")

    def proj_stg1(self, iteration: int) -> Path:
        """Two-stage: averaged projections of the first stage, ``proj_stg1_YY.hdf``."""
        return self._of_iteration("proj_stg1", iteration, ".hdf")

    def classify(self, iteration: int) -> Path:
        """Classification matrix ``classify_YY.hdf``."""
        return self._of_iteration("classify", iteration, ".hdf")

    def classes(self, iteration: int) -> Path:
        """Class averages ``classes_YY.hdf``."""
        return self._of_iteration("classes", iteration, ".hdf")

    def cls_result(self, iteration: int) -> Path:
        """Classification matrix after averaging, ``cls_result_YY.hdf``."""
        return self._of_iteration("cls_result", iteration, ".hdf")

    def particles(self, iteration: int) -> Path:
        """Particle table ``particles_YY.star``."""
        return self._of_iteration("particles", iteration, ".star")

    def intermediate(self, iteration: int) -> list[Path]:
        """Files of an iteration between the maps: all but maps, tables and curves."""
        return [
            self.projections(iteration),
            self.proj_simmx(iteration),
            self.proj_stg1(iteration),
            self.simmx_stg1(iteration),
            self.simmx(iteration),
            self.simmx(iteration, sparse=True),
            self.classify(iteration),
            self.classes(iteration),
            self.cls_result(iteration),
        ]

    def poses(self, iteration: int) -> Path:
        """Exact poses of a single-map refinement, ``poses_YY.h5``: what --resume goes on from."""
        return self._of_iteration("poses", iteration, ".h5")

    def fsc(self, iteration: int, model: int) -> Path:
        """FSC against the iteration before, ``fsc_YY_ZZ.txt``."""
        return self.path / f"fsc_{iteration:02d}_{model:02d}.txt"

    def fsc_mutual(self, iteration: int) -> Path:
        """FSC between maps, ``fsc_mutual_YY.txt``."""
        return self._of_iteration("fsc_mutual", iteration, ".txt")

    def fsc_eo(self, iteration: int, model: int) -> Path:
        """Even/odd FSC, ``fsc_eo_YY_ZZ.txt``."""
        return self.path / f"fsc_eo_{iteration:02d}_{model:02d}.txt"

    @property
    def convergence(self) -> Path:
        """Figures of every iteration, ``convergence.json``."""
        return self.path / "convergence.json"

    @property
    def log(self) -> Path:
        """The log, ``run.log``."""
        return self.path / "run.log"

    @property
    def log_json(self) -> Path:
        """The log as one JSON object a line, ``run.log.json``."""
        return self.path / "run.log.json"

    @property
    def lock(self) -> Path:
        """Says which process works in the directory, ``run.lock``."""
        return self.path / "run.lock"

    @property
    def progress(self) -> Path:
        """Where the run stands, for monitors to poll, ``progress.json``."""
        return self.path / "progress.json"

    @property
    def checkpoint(self) -> Path:
        """Directory of what a stopped run goes on from, ``checkpoint``."""
        return self.path / "checkpoint"

    @property
    def parms(self) -> Path:
        """Options and provenance, ``0_refine_parms.json``.

        A run that goes on with other options, or in another place, adds ``1_refine_parms.json``
        and so on; the last one counts, and none is changed.
        """
        return self.path / f"{max(self._parms_numbers(), default=0)}_refine_parms.json"

    @property
    def next_parms(self) -> Path:
        """Where the record of a run that goes on otherwise is written."""
        return self.path / f"{max(self._parms_numbers(), default=-1) + 1}_refine_parms.json"

    def _parms_numbers(self) -> list[int]:
        names = [file.name.partition("_") for file in self.path.glob("*_refine_parms.json")]
        return [int(number) for number, _, _ in names if number.isdecimal()]

    @property
    def report(self) -> Path:
        """The report, ``report/index.html``."""
        return self.path / "report" / "index.html"

    def _map(self, stem: str, iteration: int, model: int) -> Path:
        return self.path / f"{stem}_{iteration:02d}_{model:02d}{self.map_suffix}"

    def _of_iteration(self, stem: str, iteration: int, suffix: str) -> Path:
        return self.path / f"{stem}_{iteration:02d}{suffix}"
