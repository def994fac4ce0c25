"""Classifications again (``--replicates``): what is the same in all of them, and what is not.

Each replicate has another seed and a random part of the particles. Labels are matched to those of
the first run; the consensus is the label that a particle has most often.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from mapsort.array_types import Bool, Float64, Indices, Integer
from mapsort.io.star import read_particles, write_particles
from mapsort.jobs.finished_run import open_run
from mapsort.jobs.refinement import MultiRun
from mapsort.jobs.resume import part_of_job
from mapsort.model.particles import Particles
from mapsort.options.multi import MultiOptions
from mapsort.options.types import KeptFiles
from mapsort.rundir.atomic import atomic_path
from mapsort.rundir.layout import RunDirectory
from mapsort.rundir.result_record import ResultRecord, ResultTable, write_result
from mapsort.rundir.text import write_json
from mapsort.stages.classify.agreement import Labels, rand_index, relabelled

LOGGER = logging.getLogger(__name__)

#: Part of the images that a replicate sees.
PART = 0.8
#: Column of the part of the runs that agree on a particle's class.
STABILITY = "mapsortStability"
#: Mean Jaccard index from which a class is stable, and below which it is not (Hennig, Comput. Stat.
#: Data Anal. 52 (2007) 258).
STABLE, DISSOLVED = 0.75, 0.6


@dataclass(frozen=True)
class Consensus:
    """What several classifications agree on."""

    #: Class of each particle, from 1, as the first run numbers them, (n,) int64; junk after the
    #: maps.
    labels: Labels
    #: Part of the runs with the particle that have it there, (n,).
    stability: Float64
    #: Mean Jaccard index of each class with the same in every other run, (classes,).
    jaccard: Float64
    #: Mean adjusted Rand index of every two runs, over the particles that they share.
    agreement: float


def replicated(
    first: MultiRun,
    options: MultiOptions,
    particles: Particles,
    again: Callable[[MultiOptions, Particles], MultiRun],
) -> Consensus:
    """Classify some of the input's particles again; return what the runs agree on.

    It is also in ``consensus.star`` and ``replicates.json``. The first run was of all particles;
    ``options`` have the seed that it had.
    """
    directory = RunDirectory(first.path)
    every = [_classes_of(first)]
    images = particles.image_numbers()
    for number in range(2, options.replicates + 1):
        chosen = drawn(images, options.randomseed or 0, number)
        found = _replicate(directory, options, particles.subset(chosen), number, again)
        labels = np.zeros(len(images), np.int64)
        labels[chosen] = found
        every.append(labels)
    made = consensus(np.stack(every))
    _write(directory, first, made, options.replicates)
    return made


def drawn(images: Integer, seed: int, number: int) -> Indices:
    """Return the particles of a replicate; copies of an image are all there, or none."""
    rng = np.random.default_rng([seed, number])
    names = np.unique(images)
    some = rng.permutation(names)[: max(1, round(PART * len(names)))]
    return np.flatnonzero(np.isin(images, some))


def _replicate(
    directory: RunDirectory,
    options: MultiOptions,
    particles: Particles,
    number: int,
    again: Callable[[MultiOptions, Particles], MultiRun],
) -> Labels:
    """Return the classes of a replicate, which may have been made before."""
    path = directory.path / f"replicate_{number:02d}"
    if RunDirectory(path).verdict.exists():
        return _classes_of(open_run(path))
    seed = np.random.SeedSequence([options.randomseed or 0, number]).generate_state(1)[0]
    asked = replace(
        options,
        path=path,
        randomseed=int(seed),
        replicates=1,
        control=False,
        resume=None,
        no_report=True,
        keepfiles=KeptFiles.MAPS,
    )
    return _classes_of(part_of_job(asked, lambda options: again(options, particles)))


def _classes_of(run: MultiRun) -> Labels:
    return run.assignments["rlnClassNumber"].to_numpy(np.int64)


def consensus(runs: Labels) -> Consensus:
    """Return what runs agree on.

    Parameters
    ----------
    runs : ndarray of shape (r, n), int64
        Class of each particle in each run, from 1; 0 where the run has not seen it. All particles
        are in the first run.
    """
    count = int(runs.max())
    matched = runs
    labels = runs[0]
    # The vote of all is a better reference than one run is.
    for _ in range(2):
        matched = np.stack([relabelled(run, labels, count) for run in matched])
        votes = np.stack([(matched == number).sum(axis=0) for number in range(1, count + 1)])
        # Of equals that of the first run.
        votes = 2 * votes + (np.arange(1, count + 1)[:, None] == matched[0])
        labels = 1 + votes.argmax(axis=0)
    seen = (matched > 0).sum(axis=0)
    agree = (matched == labels).sum(axis=0)
    jaccard = [
        np.mean([_jaccard(matched[0], other, number) for other in matched[1:]])
        for number in range(1, count + 1)
    ]
    pairs = [rand_index(a[both], b[both]) for a, b, both in _shared(matched)]
    return Consensus(labels, agree / seen, np.array(jaccard), float(np.mean(pairs)))


def _shared(runs: Labels) -> list[tuple[Labels, Labels, Bool]]:
    return [(a, b, (a > 0) & (b > 0)) for a, b in combinations(runs, 2)]


def _jaccard(first: Labels, other: Labels, number: int) -> float:
    """Return how alike a class is in two runs: shared particles over all, of those in both."""
    both = (first > 0) & (other > 0)
    own, its = (first == number) & both, (other == number) & both
    return float((own & its).sum() / max(1, (own | its).sum()))


def _write(directory: RunDirectory, first: MultiRun, made: Consensus, count: int) -> None:
    optics, table = read_particles(first.particles)
    table = table.assign(rlnClassNumber=made.labels, **{STABILITY: np.round(made.stability, 4)})
    path = directory.consensus
    with atomic_path(path) as part:
        write_particles(part, optics, table)
    sizes = np.bincount(made.labels, minlength=len(made.jaccard) + 1)[1:]
    content = {
        "replicates": count,
        "adjusted_rand_index": made.agreement,
        "jaccard": made.jaccard,
        "particles": sizes,
        "mean_stability": float(made.stability.mean()),
    }
    write_json(directory.replicates, content)
    words = (
        f"{count} classifications, with other seeds and {PART:.0%} of the images each after the "
        f"first, agree by {made.agreement:.2f} (mean adjusted Rand index); a particle is in its "
        f"class in {made.stability.mean():.0%} of them."
    )
    LOGGER.info("%s", words)
    record = ResultTable.of(
        "Classes in all replicates",
        range(len(made.jaccard)),
        {
            "class": lambda i: i + 1,
            "particles": lambda i: int(sizes[i]),
            "Jaccard index": lambda i: float(made.jaccard[i]),
            "": lambda i: _told(float(made.jaccard[i])),
        },
    )
    write_result(directory.path, "0_replicates", ResultRecord("Replicates", (words,), (record,)))


def _told(jaccard: float) -> str:
    return "stable" if jaccard >= STABLE else "not stable" if jaccard < DISSOLVED else "doubtful"
