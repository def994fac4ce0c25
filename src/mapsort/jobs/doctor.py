"""Examine an installation: what it is and runs on, and whether it computes what it should."""

from __future__ import annotations

import importlib
import os
import platform
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from mapsort import _core
from mapsort._version import __version__
from mapsort.array_types import Complex64
from mapsort.engines.resources import available_memory, available_threads
from mapsort.errors import MapsortError
from mapsort.geometry.euler import eman_to_matrix
from mapsort.jobs.demo import classify_and_score
from mapsort.jobs.simulate import simulate
from mapsort.options.simulate import SimulateOptions
from mapsort.physics.phantom import phantom_map
from mapsort.rundir.wording import readable_size
from mapsort.stages.fourier_grid import FourierGrid


def build_config() -> dict[str, Any]:
    """Return how this installation was built and what it runs on.

    Returns
    -------
    dict
        ``version``, ``compiler``, ``cxx_standard``, ``flags``, ``simd_lanes``, ``openmp``,
        ``processors``, ``isa_compiled``, ``isa_available``, ``isa_active``, ``threads``: what a
        report of a problem should state.
    """
    return {
        "version": __version__,
        **_core.build(),
        "isa_compiled": _core.compiled_isas(),
        "isa_available": _core.available_isas(),
        "isa_active": _core.isa,
        "threads": available_threads(),
    }


#: Two classes sorted by chance would come to 0.5 +- 0.03 of 300 particles.
LEAST_ACCURACY = 0.8
#: Instruction sets round differently (fused multiply-add); a wrong kernel differs far more.
ISA_TOLERANCE = 5e-5
_PARTICLES, _BOX, _ITERATIONS = 300, 32, 2


@dataclass(frozen=True)
class SmallRun:
    """What the small problem came to."""

    #: Fraction of the particles in their true class.
    accuracy: float
    #: Wall time of the run, without the simulation.
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
            models=made.seeds,
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


#: A run of 100,000 particles of 256 pixels takes about this much.
_LITTLE_MEMORY = 4 * 2**30
_LITTLE_DISK = 10 * 2**30


class State(StrEnum):
    """What a finding means."""

    GOOD = "ok"
    NOTE = "note"
    BAD = "FAILED"


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    #: What was looked at.
    name: str
    state: State
    #: What was found and, unless it is good, what to do.
    text: str


def examine() -> Iterator[Finding]:
    """Look at everything an installation needs, and compute a small problem.

    Yields
    ------
    Finding
        As soon as it is known; the computations come last and take about five seconds.
    """
    yield Finding("mapsort", State.GOOD, f"{__version__} in {Path(__file__).parents[1]}")
    yield Finding("Python", State.GOOD, f"{platform.python_version()} at {sys.executable}")
    yield Finding(
        "system", State.GOOD, f"{platform.system()} {platform.release()} {platform.machine()}"
    )
    config = build_config()
    yield _packages()
    yield _instruction_sets(config)
    yield _threads(config)
    yield _memory()
    yield _disk("working directory", Path())
    yield _disk("temporary files", Path(tempfile.gettempdir()))
    yield _guarded("kernels agree", _kernels)
    yield _guarded("small problem", partial(_small_problem, config["threads"]))


def _packages() -> Finding:
    """Say which versions of the needed packages there are."""
    needed = [need for need in metadata.requires("mapsort") or [] if "extra ==" not in need]
    found, missing = [], []
    for need in needed:
        name = re.match(r"[A-Za-z0-9._-]+", need)
        assert name is not None, need
        try:
            found.append(f"{name[0]} {metadata.version(name[0])}")
        except metadata.PackageNotFoundError:
            missing.append(name[0])
    if missing:
        return Finding(
            "packages", State.BAD, f"missing: {', '.join(missing)}; pip install mapsort again"
        )
    return Finding("packages", State.GOOD, ", ".join(found))


def _noted(name: str, text: str, note: str = "") -> Finding:
    """Return a finding that is good, or one with what is to be noted of it."""
    return Finding(name, State.NOTE, f"{text}: {note}") if note else Finding(name, State.GOOD, text)


def _instruction_sets(config: dict[str, Any]) -> Finding:
    active, available = config["isa_active"], config["isa_available"]
    text = f"{active} of {', '.join(available)} (compiled: {', '.join(config['isa_compiled'])})"
    wish = os.environ.get("MAPSORT_ISA", "")
    note = f"MAPSORT_ISA={wish} asks for a slower one; unset it for speed"
    return _noted("instruction set", text, "" if active == available[0] else note)


def _threads(config: dict[str, Any]) -> Finding:
    count, processors = config["threads"], config["processors"]
    text = f"{count} of {processors} processors"
    if config["openmp"] is None:
        return Finding("threads", State.NOTE, "compiled without OpenMP: the kernels use one thread")
    if count < processors:
        why = "OMP_NUM_THREADS" if os.environ.get("OMP_NUM_THREADS") else "affinity or quota"
        return _noted("threads", f"{text} ({why})")
    note = "OMP_NUM_THREADS asks for more; runs will be slower"
    return _noted("threads", text, note if count > processors else "")


def _memory() -> Finding:
    size = available_memory()
    note = "little; mapsort multi --check tells a need"
    text = f"{readable_size(size)} available"
    return _noted("memory", text, note if size < _LITTLE_MEMORY else "")


def _disk(name: str, directory: Path) -> Finding:
    free = shutil.disk_usage(directory).free
    note = "little" if free < _LITTLE_DISK else ""
    if not os.access(directory, os.W_OK):
        note = "it cannot be written to"
    return _noted(name, f"{readable_size(free)} free in {directory.resolve()}", note)


def _guarded(name: str, look: Callable[[], Finding]) -> Finding:
    """Report an error of what is being tested as what it is: a finding."""
    try:
        return look()
    except (MapsortError, ArithmeticError, MemoryError, OSError, RuntimeError, ValueError) as error:
        return Finding(name, State.BAD, f"{type(error).__name__}: {error}")


def _kernels() -> Finding:
    differences = isa_differences()
    text = ", ".join(f"{isa} {value:.1e}" for isa, value in differences.items())
    told = f"difference from the baseline: {text}"
    if all(value <= ISA_TOLERANCE for value in differences.values()):
        return Finding("kernels agree", State.GOOD, told)
    what = "set MAPSORT_ISA=baseline and report this, please"
    return Finding("kernels agree", State.BAD, f"{told}; {what}")


def _small_problem(n_threads: int) -> Finding:
    result = small_run(n_threads=n_threads)
    told = f"{result.accuracy:.0%} of 300 particles classified right in {result.seconds:.1f} s"
    if result.accuracy >= LEAST_ACCURACY:
        return Finding("small problem", State.GOOD, told)
    return Finding("small problem", State.BAD, f"{told}; expected {LEAST_ACCURACY:.0%} at least")
