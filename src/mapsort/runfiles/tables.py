"""The particle table that an iteration writes: class, pose, score and probability."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from mapsort.array_types import Float64, Real
from mapsort.engines.chunks import chunk_ranges
from mapsort.io.star import write_particles
from mapsort.model.half_sets import SUBSET
from mapsort.model.matches import Matches
from mapsort.model.particles import Particles
from mapsort.model.poses import Poses
from mapsort.model.references import References
from mapsort.refinement.iteration import Outcome
from mapsort.refinement.run import Run
from mapsort.refinement.table_poses import pose_columns
from mapsort.rundir.layout import RunDirectory
from mapsort.stages.average.particle_fit import outlier_scores
from mapsort.stages.classify.assignment import effective_classes, map_posterior, posterior

#: Beginning of the names of coordinates along principal components, numbered from 1.
LATENT = "mapsortLatent"
#: Effective number of classes of each particle: 1 where its class is sure.
EFFECTIVE = "mapsortEffectiveClasses"
#: How sure the copy is that a particle lies at, of a relaxed symmetry.
COPY_PROBABILITY = "mapsortCopyProbability"
#: Rows that are made and written together.
LONGEST_ROWS = 8192
#: Columns that a run or another program found of the particles and that do not hold any more once
#: their poses and classes are others. A run that finds them itself writes them anew.
_FOUND_BEFORE = (
    "rlnOriginX",
    "rlnOriginY",
    "rlnLogLikeliContribution",
    "rlnMaxValueProbDistribution",
    "rlnNrOfSignificantSamples",
    "mapsortScale",
    "mapsortOutlierScore",
    "mapsortJunkProbability",
    EFFECTIVE,
    COPY_PROBABILITY,
)


def without_found(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table of particles without what an earlier run found of them."""
    names = map(str, table)
    found = [name for name in names if name in _FOUND_BEFORE or name.startswith(LATENT)]
    return table.drop(columns=found)


def seen_from_here(paths: Sequence[Path], *, target: Path | None = None) -> list[str]:
    """Return files' paths as seen from the working directory, absolute where they lie outside.

    RELION and EMAN2 resolve names from the directory they run in, the project; names that the input
    gives relative to its own place would be lost. Of a table (``target``) that is written elsewhere
    the project is its own directory.
    """
    here = Path.cwd()
    if target is not None and not _absolute(target).is_relative_to(here):
        here = _absolute(target).parent
    seen = map(_absolute, paths)
    return [str(path.relative_to(here) if path.is_relative_to(here) else path) for path in seen]


def _absolute(path: Path) -> Path:
    # A link's own name is the one that the user knows.
    return path.resolve() if ".." in path.parts else path.absolute()


def image_names(
    particles: Particles, where: slice = slice(None), *, target: Path | None = None
) -> list[str]:
    """Return ``000001@stack`` with the stack's path as `seen_from_here` gives it."""
    seen = seen_from_here(particles.files, target=target)
    places = zip(particles.index_in_file[where], particles.file_of[where], strict=True)
    return [f"{index + 1:06d}@{seen[owner]}" for index, owner in places]


def write_table(
    run: Run, directory: RunDirectory, iteration: int, rows: Iterator[pd.DataFrame]
) -> None:
    """Write particles_YY.star."""
    write_particles(directory.particles(iteration), run.inputs.particles.optics, rows)


def assignment_rows(run: Run, outcome: Outcome) -> Iterator[pd.DataFrame]:
    """Yield consecutive rows of the table of several maps: class, pose, score, probability.

    Junk is in classes of its own, after the last map's; ``mapsortJunkProbability`` says how surely.
    ``mapsortScale`` is the particle's scale over the mean one, ``mapsortOutlierScore`` how unlike
    the others it is, in standard deviations; with ``--relax``, ``mapsortCopyProbability`` how sure
    the copy is that it lies at, among those of its map.
    """
    # What is told of a particle among all others.
    fit, quality = outcome.averaged.fit, np.array(outcome.averaged.matches.quality[:, 0])
    run.execution.scratch.release()
    marks = {
        "mapsortScale": np.round(fit.scales(), 4),
        "mapsortOutlierScore": np.round(outlier_scores(fit, quality), 3),
    }
    for where in chunk_ranges(len(quality), LONGEST_ROWS):
        table = _rows(run, outcome, where)
        yield table.assign(**{name: values[where] for name, values in marks.items()})
        run.execution.scratch.release()


def _rows(run: Run, outcome: Outcome, where: slice) -> pd.DataFrame:
    table = without_found(run.inputs.rows(where))
    matches, references = outcome.averaged.matches.part(where), run.plan.references
    poses, junk = outcome.found.poses, outcome.junk
    if poses is None:
        rotations, origins = matches.poses(references)
    else:
        rotations, origins = poses.rotation[where, 0], poses.origin[where, 0]
    model = references.model[matches.reference[:, 0]]
    known = outcome.state.known
    if known is None:
        every = matches.map_probabilities(references)
        probability = every[np.arange(len(matches)), model]
    else:
        every = known.rows(where).responsibilities
        probability = known.rows(where).probability
    if references.n_models > 1:
        table[EFFECTIVE] = np.round(effective_classes(every), 4)
    if run.plan.copies is not None:
        table[COPY_PROBABILITY] = np.round(_copy_probability(matches, references), 6)
    table["rlnImageName"] = image_names(run.inputs.particles, where)
    number = model.astype(int) + 1
    halves = run.inputs.halves
    # Copies that end up in several sets must stay in one half when sets are refined alone.
    if run.options.halves or halves.has_copies:
        table[SUBSET] = halves.half[where].astype(int) + 1
    if junk.probability is not None and junk.kind is not None:
        kind = junk.kind[where]
        number = np.where(kind > 0, references.n_models + kind, number)
        table["mapsortJunkProbability"] = np.round(junk.probability[where], 6)
    table["rlnClassNumber"] = number
    _place(table, rotations, origins, matches.score[:, 0], run.inputs.apix)
    table["rlnMaxValueProbDistribution"] = np.round(probability, 6)
    return table


def _copy_probability(matches: Matches, references: References) -> Float64:
    """Return how probable the best match is among those with its map, (n,)."""
    every = posterior(matches, references)
    model = references.model[matches.reference[:, 0]]
    own = map_posterior(every, matches, references)[np.arange(len(matches)), model]
    return np.asarray(every[:, 0] / own)


def _place(
    table: pd.DataFrame, rotations: Float64, origins: Real, scores: Real, apix: float
) -> None:
    """Set the columns of pose and score."""
    for name, values in pose_columns(rotations, origins, apix).items():
        table[name] = np.round(values, 4)
    table["rlnLogLikeliContribution"] = np.round(scores.astype(float), 4)


def pose_rows(run: Run, poses: Poses) -> Iterator[pd.DataFrame]:
    """Yield consecutive rows of the table of one map: half-set, pose and score of every particle.

    ``rlnRandomSubset`` is 1 for the even and 2 for the odd half, as RELION numbers half-sets.
    """
    for where in chunk_ranges(len(poses), LONGEST_ROWS):
        table = without_found(run.inputs.rows(where))
        table["rlnImageName"] = image_names(run.inputs.particles, where)
        table["rlnClassNumber"] = 1
        table[SUBSET] = run.inputs.halves.half[where].astype(int) + 1
        best = poses.rows(where).first(1)
        place = (best.rotation[:, 0], best.origin[:, 0], best.score[:, 0])
        _place(table, *place, run.inputs.apix)
        yield table
        run.execution.scratch.release()
