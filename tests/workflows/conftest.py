"""Two problems with known truth, and a finished run, for the tests of the main job."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mapsort.io.star import read_particles, write_particles
from mapsort.rundir.text import read_convergence
from mapsort.workflows.multi import MultiRun, refine_multi
from mapsort.workflows.simulate import Simulated, simulate
from mapsort.workflows.simulate_options import SimulateOptions

#: The finished run's settings, beside its input.
SETTINGS: dict[str, Any] = {
    "iter": 3,
    "orientgen": "eman:delta=12",
    "randomseed": 1,
    "parallel": "thread:1",
}


@pytest.fixture(scope="session")
def problem(tmp_path_factory: pytest.TempPathFactory) -> Simulated:
    """320 particles of two states at SNR 0.2, with CTF, shifts, and a column of the user's own."""
    out = tmp_path_factory.mktemp("problem")
    made = simulate(
        SimulateOptions(
            phantom=2, out=out, n=320, box=40, apix=3.2, snr=0.2, shift=2.0, seed=7, seedres=20.0
        )
    )
    optics, table = read_particles(made.particles)
    write_particles(made.particles, optics, table.assign(labNotebookPage=np.arange(len(table)) % 9))
    return made


@pytest.fixture(scope="session")
def finished(problem: Simulated, tmp_path_factory: pytest.TempPathFactory) -> MultiRun:
    """A run of three iterations on `problem`."""
    path = tmp_path_factory.mktemp("run") / "multi_00"
    return refine_multi(problem.particles, problem.seeds, path=path, **SETTINGS)


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Simulated:
    """Little enough for one iteration to take less than a second."""
    out = tmp_path_factory.mktemp("small")
    return simulate(
        SimulateOptions(
            phantom=2, out=out, n=120, box=32, apix=4.0, snr=0.3, shift=2.0, seed=3, seedres=24.0
        )
    )


@pytest.fixture
def run_small(small: Simulated, tmp_path: Path):
    """Run the main job on `small`, or on what is given in its place."""

    def run(
        particles: Any = small.particles, models: Any = small.seeds, **options: Any
    ) -> MultiRun:
        name = f"run_{len(list(tmp_path.glob('run_*'))):02d}"
        quick = {
            "iter": 1,
            "orientgen": "eman:delta=24",
            "randomseed": 1,
            "parallel": "thread:1",
            "path": tmp_path / name,
        }
        return refine_multi(particles, models, **(quick | options))

    return run


@pytest.fixture(scope="session")
def results() -> Callable[[Path], dict[str, Any]]:
    """Everything that a run found, for comparing runs bit for bit; times and memory left out."""

    def of(path: Path) -> dict[str, Any]:
        found: dict[str, Any] = {
            file.name: hashlib.sha256(file.read_bytes()).hexdigest()
            for file in path.iterdir()
            if file.suffix in (".mrc", ".hdf", ".h5", ".star", ".txt")
        }
        entries = read_convergence(path / "convergence.json")
        for entry in entries:
            del entry["seconds"], entry["peak_memory_mib"]
        return found | {"convergence": entries}

    return of
