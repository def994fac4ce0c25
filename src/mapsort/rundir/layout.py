"""Names of all files in a run directory, and how a new one gets its number."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mapsort.errors import ConfigError

_MAP_SUFFIXES = (".mrc", ".hdf")


class _File:
    """A file that there is once."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, run: RunDirectory, kind: object) -> Path:
        return run.path / self._name


class _OfIteration:
    """A file of each iteration, ``stem_YY.suffix``: its path is a function of the iteration."""

    def __init__(self, name: str) -> None:
        self._stem, _, self._suffix = name.partition("_YY")

    def __get__(self, run: RunDirectory, kind: object) -> Callable[[int], Path]:
        return lambda iteration: run.path / f"{self._stem}_{iteration:02d}{self._suffix}"


class _OfMap:
    """A file of each map, ``stem_YY_ZZ``: a map, unless it has a suffix of its own."""

    def __init__(self, name: str) -> None:
        self._stem, _, self._suffix = name.partition("_YY_ZZ")

    def __get__(self, run: RunDirectory, kind: object) -> Callable[[int, int], Path]:
        suffix = self._suffix or run.map_suffix
        return lambda iteration, model: (
            run.path / f"{self._stem}_{iteration:02d}_{model:02d}{suffix}"
        )


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

    #: Maps; after filtering; masks; of the even and of the odd particles.
    maps = _OfMap("threed_YY_ZZ")
    threed_filt = _OfMap("threed_filt_YY_ZZ")
    threed_mask = _OfMap("threed_mask_YY_ZZ")
    threed_even = _OfMap("threed_even_YY_ZZ")
    threed_odd = _OfMap("threed_odd_YY_ZZ")
    #: Down to which resolution the halves agree about each voxel.
    locres = _OfMap("locres_YY_ZZ")
    #: FSC with the iteration before, of even and odd particles (for EMDB, too), and between maps.
    fsc = _OfMap("fsc_YY_ZZ.txt")
    fsc_eo = _OfMap("fsc_eo_YY_ZZ.txt")
    fsc_xml = _OfMap("fsc_YY_ZZ.xml")
    fsc_mutual = _OfIteration("fsc_mutual_YY.txt")
    #: Projections of all maps, and every particle's similarity with them, or its best matches only.
    projections = _OfIteration("projections_YY.hdf")
    simmx = _OfIteration("simmx_YY.hdf")
    best_matches = _OfIteration("simmx_YY.h5")
    #: Two-stage: projections with projections, particles with averaged projections, and these.
    proj_simmx = _OfIteration("proj_simmx_YY.hdf")
    simmx_stg1 = _OfIteration("simmx_stg1_YY.hdf")
    proj_stg1 = _OfIteration("proj_stg1_YY.hdf")
    #: Classification matrix, class averages, and the matrix after averaging.
    classify = _OfIteration("classify_YY.hdf")
    classes = _OfIteration("classes_YY.hdf")
    cls_result = _OfIteration("cls_result_YY.hdf")
    #: The particle table.
    particles = _OfIteration("particles_YY.star")
    #: Figures of every iteration; the log, and the same as one JSON object a line.
    convergence = _File("convergence.json")
    #: What to believe of a run that has ended.
    verdict = _File("verdict.json")
    #: Of ``--replicates``: the table with consensus classes, and how well the runs agree.
    consensus = _File("consensus.star")
    replicates = _File("replicates.json")
    #: Directory of ``--control``: the twin of the particles, and the run on it.
    control = _OfIteration("control_YY")
    #: Of several focus regions: the table with the classes of each, and how these go together.
    regions = _File("regions.star")
    regions_record = _File("regions.json")
    #: Of ``--relax``: the table with each particle at the copy that maps made without it tell.
    relaxed = _File("relaxed.star")
    log = _File("run.log")
    log_json = _File("run.log.json")
    #: Which process works in the directory; where it stands, for monitors to poll.
    lock = _File("run.lock")
    progress = _File("progress.json")
    #: Directory of what a stopped run goes on from.
    checkpoint = _File("checkpoint")
    report = _File("report/index.html")
    #: What ChimeraX shows of it.
    view = _File("view.cxc")
    #: Of ``mapsort pca``: mean map, table with coordinates, summary, picture.
    mean = _File("mean.mrc")
    latent = _File("particles.star")
    pca = _File("pca.json")
    latent_picture = _File("latent.png")
    #: Of ``mapsort abinit``: summary and picture; its table is as that of ``pca``.
    abinit = _File("abinit.json")
    abinit_picture = _File("abinit.png")

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", Path(self.path))
        if self.map_suffix not in _MAP_SUFFIXES:
            raise ConfigError(
                f"map format {self.map_suffix!r} is not known; known are "
                f"{' and '.join(_MAP_SUFFIXES)}."
            )

    def region(self, number: int) -> RunDirectory:
        """Return the run directory of a focus region, from 1, inside this one."""
        return RunDirectory(self.path / f"region_{number:02d}", map_suffix=self.map_suffix)

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
            ``multi``, ``refine``, ``pca`` or ``abinit``.

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

    def difference(self, iteration: int, a: int, b: int) -> Path:
        """Return where map b differs from map a, in standard errors."""
        return self.path / f"difference_{iteration:02d}_{a:02d}_{b:02d}.mrc"

    def relion(self, iteration: int, name: str) -> Path:
        """Return a file of an iteration by RELION's name, ``run_itYYY_<name>``."""
        return self.path / f"run_it{iteration:03d}_{name}"

    def abinit_map(self, number: int) -> Path:
        """Return a map made of particles alone, from 1."""
        return self.path / f"map_{number:02d}.mrc"

    def component(self, number: int) -> Path:
        """Return the map of a principal component, from 1."""
        return self.path / f"component_{number:02d}.mrc"

    def movie_frame(self, number: int, frame: int) -> Path:
        """Return a map of the movie along a principal component, both from 1."""
        return self.path / f"component_{number:02d}_movie" / f"frame_{frame:02d}.mrc"

    def intermediate(self, iteration: int) -> list[Path]:
        """Return files of an iteration between the maps: all but maps, tables and curves."""
        kinds = (
            *(self.projections, self.proj_simmx, self.proj_stg1, self.simmx_stg1, self.simmx),
            *(self.best_matches, self.classify, self.classes, self.cls_result),
        )
        return [name(iteration) for name in kinds]

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
