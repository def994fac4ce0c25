"""The verdict on a classification, at the end of every run: what to believe, and what to do next.

Whether it has converged, whether its classes are structures, and how surely. Cheap: particles at
their final poses and in the band of the signal, a sixth of them spared to judge the others.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import scipy  # its parts are loaded when they are used

from mapsort.array_types import Float64, Integer
from mapsort.errors import NumericalError
from mapsort.geometry.symmetry import Symmetry, symmetry
from mapsort.jobs.class_causes import causes, causes_record
from mapsort.jobs.copies import copies_told
from mapsort.jobs.frames import own_frames
from mapsort.jobs.refinement import Entry
from mapsort.model.particles import Particles
from mapsort.refinement.band_images import band_particles, dealt_folds
from mapsort.refinement.run import Run
from mapsort.refinement.table_poses import table_poses
from mapsort.rundir.layout import RunDirectory
from mapsort.rundir.log import stage
from mapsort.rundir.result_record import (
    ResultCurves,
    ResultMatrix,
    ResultRecord,
    ResultTable,
    write_result,
)
from mapsort.rundir.set_counts import SetCounts
from mapsort.rundir.verdict_record import (
    NOT_SUPPORTED,
    SUPPORTED,
    UNDECIDED,
    Cause,
    PopulationRecord,
    ShellGain,
    Split,
    Verdict,
    write_verdict,
)
from mapsort.stages.components.band import Band
from mapsort.stages.components.component_settings import ComponentSettings
from mapsort.stages.components.folds import N_FOLDS
from mapsort.stages.components.held_out_split import MOST_JUDGED, HeldOutSplit, Seen, held_out_split
from mapsort.stages.components.observed import Observed
from mapsort.stages.components.populations import Populations, populations

LOGGER = logging.getLogger(__name__)

#: Particles that are looked at, at least.
FEWEST = 300
#: Standard errors by which a split must gain; where it does not gain by the first it is refuted.
DOUBTED, SIGNIFICANT = 1.0, 3.0
#: Classes of the run and those that the judges are in go together if Cramer's V is this high.
ALIKE = 0.3
#: The run's partition must explain spared particles better than so many random ones of equal size.
CHANCE = 0.05
#: From the weakest.
_STRENGTH = (NOT_SUPPORTED, UNDECIDED, SUPPORTED)
#: Part of the particles that makes junk worth a word.
_MUCH_JUNK = 0.05


def judge(command: str, run: Run, directory: RunDirectory, entries: Sequence[Entry]) -> Verdict:
    """Judge a run that has ended, and write verdict.json."""
    split, held = None, None
    tested: tuple[Cause, ...] = ()
    iteration, end = int(entries[-1]["iteration"]), str(entries[-1]["end"])
    if run.plan.n_models > 1:
        with stage("verdict") as facts:
            table = Particles.open(directory.particles(iteration)).table
            split, held = _split(run, directory, iteration, table)
            facts["split"] = split.verdict
            tested = _causes(run, table)
    converged = end.startswith("converged")
    made = Verdict(
        iteration=iteration,
        converged=converged,
        end=end,
        split=split,
        populations=held,
        causes=tested,
        doubts=(*_doubts(run, entries[-1]), *copies_told(run, directory, iteration)),
        next_steps=next_steps(command, directory, split, converged=converged),
        mask=_mask(run),
    )
    for line in made.lines:
        LOGGER.info("%s", line)
    write_verdict(directory, made)
    if tested:
        write_result(directory.path, "0_why", causes_record(tested, split))
    if held is not None:
        write_result(directory.path, "0_populations", population_record(held))
    return made


def _mask(run: Run) -> str | None:
    """Return the file of the region that classes differ in, if there is one."""
    masks = run.options.mask
    return str(masks[0]) if len(masks) == 1 else None


def _causes(run: Run, table: pd.DataFrame) -> tuple[Cause, ...]:
    """Test the classes against the experiment; nothing where one holds all particles."""
    number = table["rlnClassNumber"].to_numpy(dtype=np.int64)
    good = number <= run.plan.n_models
    several = len(np.unique(number[good])) > 1 and good.sum() >= FEWEST
    return causes(table[good], number[good]) if several else ()


def _split(
    run: Run, directory: RunDirectory, iteration: int, table: pd.DataFrame
) -> tuple[Split, PopulationRecord | None]:
    """Let particles that nothing was made of judge the split; count its classes."""
    number = table["rlnClassNumber"].to_numpy(dtype=np.int64)
    good = np.flatnonzero(number <= run.plan.n_models)
    some = good[:: max(1, -(-len(good) // MOST_JUDGED))]
    filled = np.unique(number[some])
    if len(filled) < 2:
        return Split(NOT_SUPPORTED, "one class holds all particles"), None
    if len(good) < FEWEST:
        words = f"{len(good)} particles are too few to spare any, {FEWEST} are needed"
        return Split(UNDECIDED, words), None
    apix = run.inputs.apix
    poses = table_poses(
        directory.particles(iteration), table.iloc[some], apix, rows=some, purpose="the verdict"
    )
    part = replace(run, plan=replace(run.plan, band=Band.widest(run.plan.grid.box, apix))).only(
        some
    )
    judged, held = judged_at(part, *poses, number[some])
    frames = own_frames(directory, iteration, run.plan.symmetries, apix=apix)
    if not frames.words or judged.verdict == NOT_SUPPORTED:
        return judged, held
    # Structures tell particles apart in either frame: the weaker verdict holds.
    moved, held_then = judged_at(part, *frames.moved(number[some], *poses), number[some])
    told = "; ".join(frames.words)
    if _STRENGTH.index(moved.verdict) < _STRENGTH.index(judged.verdict):
        return replace(moved, reason=f"{told}; when it is, {moved.reason}"), held_then
    return replace(judged, reason=f"{judged.reason}; {told}: {judged.verdict} then, too"), held


def judged_at(
    part: Run, rotations: Float64, origins: Float64, number: Integer
) -> tuple[Split, PopulationRecord | None]:
    """Judge the split of some particles into maps (from 1) at their poses; count the classes."""
    folds = dealt_folds(part)
    if folds.count < N_FOLDS:
        return Split(UNDECIDED, "too few different images to spare any"), None
    filled, classes = np.unique(number, return_inverse=True)
    try:
        observed = Observed.at_first(
            band_particles(part, origins), folds, rotations, _common_symmetry(part)
        )
        settings = ComponentSettings(n_threads=part.plan.n_threads, region=part.inputs.focus)
        seen = Seen.of(observed, settings)
        found = held_out_split(seen, classes, seed=part.plan.seed)
        held = populations(seen, classes, seed=part.plan.seed)
    except NumericalError as error:
        return Split(UNDECIDED, str(error)), None
    return judged_split(found, number), _recorded(held, filled)


def _recorded(held: Populations, maps: Integer) -> PopulationRecord:
    return PopulationRecord(
        maps=tuple(maps.tolist()),
        counts=tuple(held.counts.tolist()),
        posterior_sums=tuple(held.sums.tolist()),
        shares=tuple(held.shares.tolist()),
        errors=tuple(held.errors.tolist()),
        corrected=tuple(held.corrected.tolist()),
        confusion=tuple(map(tuple, held.confusion.tolist())),
        temperature=held.temperature,
        reliability=tuple(map(tuple, held.reliability.tolist())),
        calibration_error=held.calibration_error,
    )


def population_record(held: PopulationRecord) -> ResultRecord:
    """Return the populations for the report."""
    total = sum(held.counts)
    table = ResultTable.of(
        "Populations, junk apart",
        range(len(held.maps)),
        {
            "map": lambda i: held.maps[i],
            "most probable [%]": lambda i: 100 * held.counts[i] / total,
            "sum of posteriors [%]": lambda i: 100 * held.posterior_sums[i] / total,
            "corrected by confusion [%]": lambda i: 100 * held.corrected[i],
            "maximum likelihood [%]": lambda i: 100 * held.shares[i],
            "standard error [%]": lambda i: 100 * held.errors[i],
        },
    )
    names = tuple(f"map {number}" for number in held.maps)
    filled = [row for row in held.reliability if row[2] > 0]
    curve = ResultCurves(
        caption="Reliability of the posteriors",
        x_label="highest posterior",
        y_label="right",
        x=tuple(row[0] for row in filled),
        names=("particles drawn from the maps", "exact"),
        curves=(tuple(row[1] for row in filled), tuple(row[0] for row in filled)),
    )
    words = (
        "Particles are judged by maps made without them, at fixed poses. Errors are "
        "those of particles drawn anew. The confusion matrix is of particles drawn "
        "from the maps with the data's CTF, noise, brightness and poses, and classified.",
        f"Log likelihoods were divided by {held.temperature:.2f}: what tells the maps apart varies "
        "by so much more than the noise alone.",
    )
    return ResultRecord(
        title="Populations",
        summary=(held.words, *words),
        tables=(table,),
        curves=(curve,),
        matrices=(ResultMatrix("Confusion", names, names, held.confusion),),
    )


def judged_split(found: HeldOutSplit, classes: Integer) -> Split:
    """Return the verdict on what the judges say.

    Parameters
    ----------
    found : HeldOutSplit
    classes : ndarray of shape (n,)
        The run's class of every particle.
    """
    n = len(found.judges)
    if n < FEWEST // (2 * N_FOLDS):
        return Split(UNDECIDED, f"only {n} particles that were spared are no junk", judges=n)
    gain = float(found.gain_nats.mean())
    error = float(found.gain_nats.std(ddof=1) / np.sqrt(n))
    together = _association(found.classes, classes[found.judges])
    told = (
        f"several classes explain {n} particles that they were not made of by {gain:+.2f} ± "
        f"{error:.2f} nat each better than one"
    )
    if not found.gains(DOUBTED):
        verdict = NOT_SUPPORTED
    elif not found.gains(SIGNIFICANT):
        verdict = UNDECIDED
        told += ", which is not enough to be sure"
    elif together < ALIKE:
        verdict = UNDECIDED
        told += f", but these are not the classes of the run (association {together:.2f})"
    elif found.p_value > CHANCE:
        verdict = UNDECIDED
        told += f", but classes drawn by lot do as well as the run's (p = {found.p_value:.2g})"
    else:
        verdict = SUPPORTED
    return Split(verdict, told, gain, error, n, together, found.p_value, _shells(found))


def _shells(found: HeldOutSplit) -> tuple[ShellGain, ...]:
    """Return the gain by resolution shell."""
    by_ring, n = found.gain_by_ring, len(found.judges)
    errors = by_ring.std(axis=0, ddof=1) / np.sqrt(n)
    shells = zip(found.resolution_ang, by_ring.mean(axis=0), errors, strict=True)
    return tuple(ShellGain(*map(float, shell)) for shell in shells)


def _association(a: Integer, b: Integer) -> float:
    """Return Cramer's V of two classifications; 0 where one of them has a single class."""
    table = scipy.stats.contingency.crosstab(a, b).count
    if min(table.shape) < 2:
        return 0.0
    return float(scipy.stats.contingency.association(table, method="cramer"))


def _common_symmetry(run: Run) -> Symmetry:
    groups = run.plan.symmetries
    same = all(group.name == groups[0].name for group in groups)
    return groups[0] if same and not groups[0].helical else symmetry("c1")


def _doubts(run: Run, entry: Entry) -> tuple[str, ...]:
    counts = SetCounts.of_entry(entry)
    doubts = [f"map {number} is empty: it received no particles" for number in entry["empty_maps"]]
    if sum(counts.junk) > _MUCH_JUNK * counts.total:
        share = sum(counts.junk) / counts.total
        doubts.append(f"{share:.0%} of the images are junk, and are in no class")
    if not entry.get("independent_halves") and run.plan.n_models > 1:
        doubts.append("resolutions are those of halves that share references: optimistic")
    return tuple(doubts)


def next_steps(
    command: str, directory: RunDirectory, split: Split | None, *, converged: bool
) -> tuple[str, ...]:
    """Return what to do next, by the verdict on the split."""
    place = directory.path
    steps = []
    if not converged:
        steps.append(f"mapsort {command} --resume {place} --iter N: the run has not converged")
    if split is None:
        return tuple(steps)
    if split.verdict == SUPPORTED:
        steps += [
            f"mapsort compare {place}: where the maps differ",
            f"mapsort followup {place}: refine each class by itself",
        ]
    elif split.verdict == UNDECIDED:
        steps.append(f"mapsort crossval {place}: a longer test; or more particles")
    else:
        steps.append(
            "fewer classes, or one (mapsort refine): these particles do not tell so many apart"
        )
    return tuple(steps)
