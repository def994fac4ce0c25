"""Whether this installation computes what it should: the main job in small, and the kernels."""

from __future__ import annotations

import importlib
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mapsort import _core
from mapsort.array_types import Complex64
from mapsort.geometry.euler import eman_to_matrix
from mapsort.jobs.demo import classify_and_score
from mapsort.jobs.simulate import simulate
from mapsort.options.simulate import SimulateOptions
from mapsort.physics.phantom import phantom_map
from mapsort.stages.fourier_grid import FourierGrid

#: Two classes sorted by chance would come to 0.5 +- 0.03 of 300 particles.
LEAST_ACCURACY = 0.8
#: Instruction sets round differently (fused multiply-add); a wrong kernel differs far more.
ISA_TOLERANCE = 5e-5
_PARTICLES, _BOX, _ITERATIONS = 300, 32, 2


@dataclass(frozen=True)
class SmallRun:
    """What the small problem came to.

    Attributes
    ----------
    accuracy : float
        Fraction of the particles in their true class.
    seconds : float
        Wall time of the run, without the simulation.
    """

    accuracy: float
    seconds: float


def small_run(*, n_threads: int) -> SmallRun:
    """Simulate 300 particles of two conformations, classify them with multi, and score the result.

    Everything happens in a temporary directory: particles, maps, tables and log are written and
    read as in any run.
    """
    with tempfile.TemporaryDirectory(prefix="mapsort-") as parent:
        out = Path(parent)
        made = simulate(
            SimulateOptions(
                phantom=2, out=out, n=_PARTICLES, box=_BOX, apix=4.0, snr=2.0, seed=1, seedres=28.0
            )
        )
        started = time.perf_counter()
        result = classify_and_score(
            made,
            path=out / "multi_00",
            iter=_ITERATIONS,
            orientgen="eman:delta=15",
            randomseed=1,
            parallel=f"thread:{n_threads}",
        )
        seconds = time.perf_counter() - started
    return SmallRun(result.accuracy, seconds)


def isa_differences() -> dict[str, float]:
    """Return how far each available instruction set is from the baseline.

    The relative root-mean-square difference of central slices, by instruction set.
    """
    available = _core.available_isas()
    slices = {isa: _slices(importlib.import_module(f"mapsort._core_{isa}")) for isa in available}
    baseline = slices["baseline"]
    scale = np.linalg.norm(baseline)
    return {isa: float(np.linalg.norm(values - baseline) / scale) for isa, values in slices.items()}


def _slices(kernels: Any) -> Complex64:
    box = _BOX
    grid = FourierGrid.for_box(box)
    angles = np.random.default_rng(1).uniform(0.0, 180.0, (16, 3))
    window = kernels.Window(
        grid.volume_window(phantom_map(0, box, 4.0), max_radius=box // 2),
        scale=grid.scale,
        oversampling=grid.scale,
    )
    slices: Complex64 = kernels.project_cartesian(
        window,
        rotations=np.ascontiguousarray(eman_to_matrix(angles)),
        max_radius=box // 2,
        box=box,
    )
    return slices
