"""The main job on a small problem made on the spot, scored against its truth."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.optimize import linear_sum_assignment

from mapsort.array_types import Float64
from mapsort.engines.progress import Progress, default_progress
from mapsort.errors import ConfigError
from mapsort.geometry.euler import relion_to_matrix
from mapsort.geometry.symmetry import symmetry
from mapsort.io.mrc import read_map
from mapsort.io.star import read_particles
from mapsort.jobs.multi import MultiRun, Watcher, refine_multi_run
from mapsort.jobs.simulate import Simulated, simulate
from mapsort.options.multi import MultiOptions
from mapsort.options.simulate import SimulateOptions
from mapsort.options.small import DemoOptions
from mapsort.physics.fsc import ONE_HALF, fsc, resolution_at
from mapsort.rundir.layout import RunDirectory
from mapsort.rundir.verdict_record import Verdict
from mapsort.stages.abinit.agreement import brought_onto, frame

N_CLASSES = 2


@dataclass(frozen=True)
class DemoScore:
    """How well the run found the truth.

    Attributes
    ----------
    accuracy : float
        Fraction of particles in the right class, under the best labelling of the classes.
    resolutions_ang : tuple of float
        Resolution of each map at FSC 0.5 against the true map of its class [A].
    maps : tuple of Path
        The run's maps.
    particles : Path
        Table with class and pose of every particle.
    verdict : Verdict or None
        What to believe of the run.
    """

    accuracy: float
    resolutions_ang: tuple[float, ...]
    maps: tuple[Path, ...]
    particles: Path
    verdict: Verdict | None


def demo(
    options: DemoOptions, *, progress: Progress | None = None, watcher: Watcher | None = None
) -> DemoScore:
    """Simulate two conformations of the phantom, classify them with multi, and score the result."""
    options.validated()
    shown = progress or default_progress()
    made = simulate(
        SimulateOptions(
            phantom=N_CLASSES,
            out=options.path,
            n=options.n,
            seed=options.seed,
            seedres=28.0,
            # The demonstration may be run again: what it would overwrite it made itself.
            overwrite=True,
        ),
        progress=shown,
    )
    start: dict[str, Any] = {"nmodels": N_CLASSES} if options.abinit else {"models": made.seeds}
    return classify_and_score(
        made,
        progress=shown,
        watcher=watcher,
        **start,
        path=_free_run(options.path),
        iter=options.iter,
        randomseed=options.seed,
        parallel=options.parallel,
    )


def classify_and_score(
    made: Simulated,
    *,
    progress: Progress | None = None,
    watcher: Watcher | None = None,
    **options: Any,
) -> DemoScore:
    """Classify simulated particles by multi, with these options; score it."""
    request = MultiOptions(input=made.particles, **options).validated()
    finished = refine_multi_run(request, progress=progress, watcher=watcher)
    return score(finished, made, in_any_frame=request.makes_maps)


def best_labelling(found: ArrayLike, true: ArrayLike, n_classes: int) -> tuple[float, list[int]]:
    """Match found classes to true ones so that most particles agree.

    Parameters
    ----------
    found, true : array_like of shape (n,), int
        Class of each particle, from 0.
    n_classes : int
        Number of classes on either side.

    Returns
    -------
    accuracy : float
        Fraction of particles that agree.
    labels : list of int
        True class of each found class.

    Notes
    -----
    Maximum of the confusion table's trace over all permutations (linear assignment).
    """
    confusion = np.zeros((n_classes, n_classes), int)
    np.add.at(confusion, (np.asarray(found), np.asarray(true)), 1)
    rows, columns = linear_sum_assignment(-confusion)
    return float(confusion[rows, columns].sum() / confusion.sum()), [int(c) for c in columns]


def _free_run(parent: Path) -> Path:
    """Return the first ``multi_XX`` that is not there: a demo may be run again."""
    for number in range(100):
        path = parent / f"multi_{number:02d}"
        if not path.exists():
            return path
    raise ConfigError(f"{parent}: holds 100 runs already; remove some, or give another --path")


def score(finished: MultiRun, made: Simulated, *, in_any_frame: bool) -> DemoScore:
    """Score the last iteration of a run on simulated particles against their truth.

    Parameters
    ----------
    in_any_frame : bool
        Whether the maps may lie in another frame and hand than the true ones.
    """
    run, iteration = RunDirectory(finished.path), len(finished.convergence)
    table = read_particles(run.particles(iteration))[1]
    truth = read_particles(made.truth)[1]
    found = table["rlnClassNumber"].to_numpy(int) - 1
    true = truth["rlnClassNumber"].to_numpy(int) - 1
    accuracy, labels = best_labelling(found, true, N_CLASSES)
    maps = tuple(run.maps(iteration, index + 1) for index in range(N_CLASSES))
    resolutions = []
    for number, (path, label) in enumerate(zip(maps, labels, strict=True)):
        volume, apix = read_map(path)
        truth_map = read_map(made.maps[label])[0]
        both = (found == number) & (true == label)
        if in_any_frame and both.any():
            lying = frame(_views(table[both]), _views(truth[both]), symmetry("c1").matrices)
            volume = brought_onto(volume, truth_map, lying)
        curve = fsc(volume, truth_map)
        resolutions.append(resolution_at(curve, ONE_HALF, apix, box=len(truth_map)))
    return DemoScore(accuracy, tuple(resolutions), maps, run.particles(iteration), finished.verdict)


def _views(table: pd.DataFrame) -> Float64:
    angles = ["rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi"]
    return np.asarray(relion_to_matrix(table[angles].to_numpy(np.float64)))
