"""Several focus regions (``--mask A,B``): particles are posed once, then sorted by each region.

All particles are brought to one map, that of the run. At their poses each region gives a
classification of its own, a run in a directory inside the run's; a table joins their classes.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path

import numpy as np

from mapsort.array_types import Float64, Integer
from mapsort.io.star import read_particles, write_particles
from mapsort.jobs.class_causes import CHANCE, of_kinds
from mapsort.jobs.consensus import of_one_map, replanned
from mapsort.jobs.refinement import MultiRun
from mapsort.jobs.resume import part_of_job
from mapsort.jobs.verdict import next_steps
from mapsort.options.multi import MultiOptions
from mapsort.refinement.run import Run
from mapsort.rundir.atomic import atomic_path
from mapsort.rundir.layout import RunDirectory
from mapsort.rundir.log import run_log
from mapsort.rundir.relion_job import offer_nodes_of
from mapsort.rundir.result_record import ResultMatrix, ResultRecord, ResultTable, write_result
from mapsort.rundir.set_counts import SetCounts
from mapsort.rundir.text import write_json
from mapsort.rundir.verdict_record import RegionVerdict, Split, write_verdict

LOGGER = logging.getLogger(__name__)

#: What stands for the map that poses are searched with where several are given.
_MEAN = Path("(mean of the given maps)")
#: Columns of the joined table: class in a region and its probability.
CLASS, PROBABILITY = "mapsortRegion{}Class", "mapsortRegion{}Probability"


@dataclass(frozen=True)
class Region:
    """The classification by one region."""

    #: From 1, in the order of ``--mask``.
    number: int
    mask: Path
    run: MultiRun
    #: Class of each particle, from 1, (n,) int64; junk after the maps.
    labels: Integer
    #: Of that class, (n,).
    probability: Float64
    #: Particles of each class.
    counts: SetCounts

    @classmethod
    def of(cls, number: int, mask: Path, run: MultiRun) -> Region:
        """Return what a finished run found of a region."""
        table = run.assignments
        return cls(
            number,
            mask,
            run,
            table["rlnClassNumber"].to_numpy(np.int64),
            table["rlnMaxValueProbDistribution"].to_numpy(np.float64),
            SetCounts.of_entry(run.convergence[-1]),
        )

    @property
    def split(self) -> Split | None:
        """The verdict on its classes; None where one was found."""
        return None if self.run.verdict is None else self.run.verdict.split

    @property
    def verdict(self) -> str:
        """What to believe of its classes, in a word."""
        return "one class" if self.split is None else self.split.verdict

    @property
    def words(self) -> str:
        """Its classes and the verdict, in a sentence."""
        shares = "/".join(f"{share:.1f}" for share in self.counts.shares)
        return (
            f"region {self.number} ({self.mask}): {shares} % of the particles; its classes: "
            f"{self.verdict}"
        )


@dataclass(frozen=True)
class Pair:
    """How the classes of two regions go together."""

    #: first and second: numbers of the regions.
    first: int
    second: int
    #: Cramer's V; 0 where knowing one class tells nothing of the other.
    effect: float
    #: The chance of so much among regions that are independent; None among copies of images.
    p_value: float | None
    #: Particles of each two classes, junk apart [%], (K, L).
    shares: Float64

    @classmethod
    def of(cls, a: Region, b: Region, *, copies: bool) -> Pair:
        """Compare the classes of two regions; copies of an image are not independent."""
        sizes = len(a.counts.maps), len(b.counts.maps)
        good = (a.labels <= sizes[0]) & (b.labels <= sizes[1])
        first, second = a.labels[good], b.labels[good]
        table = np.zeros(sizes)
        np.add.at(table, (first - 1, second - 1), 1.0)
        effect, p_value = of_kinds(first, second) if good.any() else (0.0, 1.0)
        shares = 100 * table / max(1, len(first))
        return cls(a.number, b.number, effect, None if copies else p_value, shares)

    @property
    def words(self) -> str:
        """Whether they go together, in a sentence."""
        told = f"(Cramer's V {self.effect:.2f}"
        if self.p_value is None:
            return f"classes of regions {self.first} and {self.second}: association {told})"
        how = "go" if self.p_value < CHANCE else "do not go"
        chance = "" if self.p_value < CHANCE else " beyond chance"
        return (
            f"classes of regions {self.first} and {self.second} {how} together{chance} {told}, "
            f"p {self.p_value:.2g})"
        )


def posed(run: Run) -> Run:
    """Return the run that poses are searched in: all particles with one map, none in focus."""
    options = replace(of_one_map(run.options), mask=())
    inputs = run.inputs
    seed = inputs.one_map
    if seed is None:
        seed = np.mean(inputs.seeds, axis=0, dtype=np.float32)
        options = replace(options, models=(_MEAN,))
    return replace(replanned(run, options, replace(inputs, seeds=(seed,))), request=run.options)


def sorted_by_regions(
    whole: MultiRun,
    options: MultiOptions,
    again: Callable[[MultiOptions], MultiRun],
    *,
    copies: bool,
) -> tuple[Region, ...]:
    """Sort the particles of a run by each region at the run's poses; write what was found.

    Parameters
    ----------
    whole : MultiRun
        Of all particles with one map.
    options : MultiOptions
        What was asked for, with the seed that the run had.
    copies : bool
        Whether some particles are copies of an image.

    Returns
    -------
    tuple of Region
        Each a run in ``region_XX``; joined in ``regions.star`` and ``regions.json``.
    """
    found = tuple(
        Region.of(number, mask, _region(whole, options, number, mask, again))
        for number, mask in enumerate(options.mask, start=1)
    )
    pairs = [Pair.of(a, b, copies=copies) for a, b in combinations(found, 2)]
    _write(whole, found, pairs)
    return found


def _region(
    whole: MultiRun,
    options: MultiOptions,
    number: int,
    mask: Path,
    again: Callable[[MultiOptions], MultiRun],
) -> MultiRun:
    """Return the run of a region, which goes on where it was stopped."""
    map_of_all = RunDirectory(whole.path, map_suffix=options.map_suffix).maps
    one = options.model is not None
    asked = replace(
        options,
        input=whole.particles,
        passthrough=(),
        datadir=None,
        model=map_of_all(len(whole.convergence), 1) if one else None,
        models=() if one else options.models,
        sym=options.imposed[:1],
        relax=(),
        breaksym=False,
        mask=(mask,),
        skipalign=True,
        path=RunDirectory(whole.path).region(number).path,
        resume=None,
    ).validated()
    LOGGER.info("region %d: classes by what lies inside %s", number, mask)
    return part_of_job(asked, again)


def _write(whole: MultiRun, found: Sequence[Region], pairs: Sequence[Pair]) -> None:
    directory = RunDirectory(whole.path)
    optics, table = read_particles(whole.particles)
    for region in found:
        table[CLASS.format(region.number)] = region.labels
        table[PROBABILITY.format(region.number)] = np.round(region.probability, 6)
    with atomic_path(directory.regions) as part:
        write_particles(part, optics, table)
    offer_nodes_of(whole.path, [region.run.path for region in found])
    _tell_in_verdict(whole, directory, found)
    words = (*(region.words for region in found), *(pair.words for pair in pairs))
    with run_log(directory.log):
        for line in words:
            LOGGER.info("%s", line)
    content = {
        "regions": [
            {
                "mask": str(region.mask),
                "path": str(region.run.path),
                "particles": region.counts.maps,
                "junk": region.counts.junk,
                "verdict": region.verdict,
            }
            for region in found
        ],
        "pairs": [
            {
                "regions": (pair.first, pair.second),
                "cramers_v": pair.effect,
                "p_value": pair.p_value,
                "percent": pair.shares,
            }
            for pair in pairs
        ],
        "words": (f"{directory.regions}  class of every particle in each region", *words),
    }
    write_json(directory.regions_record, content)
    write_result(whole.path, "0_regions", _record(found, pairs, words))


def _tell_in_verdict(whole: MultiRun, directory: RunDirectory, found: Sequence[Region]) -> None:
    """Put the verdicts of the regions into that of the run, with what to do next."""
    assert whole.verdict is not None, "a run that has ended has one"
    splits = tuple(RegionVerdict(item.number, str(item.mask), item.split) for item in found)
    verdicts = [item.run.verdict for item in found if item.run.verdict is not None]
    own = next_steps("multi", directory, None, converged=whole.verdict.converged)
    steps = (*own, *(step for verdict in verdicts for step in verdict.next_steps))
    write_verdict(directory, replace(whole.verdict, regions=splits, next_steps=steps))


def _record(found: Sequence[Region], pairs: Sequence[Pair], words: tuple[str, ...]) -> ResultRecord:
    """Return the regions for the report."""
    table = ResultTable.of(
        "Regions, each with a run of its own",
        found,
        {
            "region": lambda region: region.number,
            "mask": lambda region: str(region.mask),
            "particles of each class": lambda region: "/".join(map(str, region.counts.maps)),
            "junk": lambda region: sum(region.counts.junk),
            "classes": lambda region: region.verdict,
            "run": lambda region: str(region.run.path),
        },
    )
    matrices = tuple(
        ResultMatrix(
            f"Regions {pair.first} and {pair.second} [% of the particles]",
            tuple(f"{pair.first}: class {k + 1}" for k in range(pair.shares.shape[0])),
            tuple(f"{pair.second}: class {k + 1}" for k in range(pair.shares.shape[1])),
            tuple(map(tuple, pair.shares.tolist())),
        )
        for pair in pairs
    )
    return ResultRecord("Regions", words, (table,), matrices=matrices)
