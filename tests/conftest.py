"""Fixtures that every room's tests may use."""

from __future__ import annotations

import hashlib
import json
import lzma
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import settings
from threadpoolctl import threadpool_limits

from mapsort.io.star import read_particles, write_particles
from mapsort.jobs.multi import MultiRun, refine_multi
from mapsort.jobs.simulate import Simulated, simulate
from mapsort.options.simulate import SimulateOptions
from mapsort.rundir.text import read_convergence

# Test processes share the cores: threads of BLAS that wait for each other would take them all.
# In programs that tests start, too.
threadpool_limits(1, "blas")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

# How long an example takes depends on what else the machine does: it is no reason to fail.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Give all tests of a file to one process: the run that they look at is made only once."""
    if config.getvalue("dist") != "load":
        return None
    from xdist.scheduler import LoadFileScheduling

    # Files in their order: those with few tests are often the longest, and must not come last.
    config.option.loadscopereorder = False
    return LoadFileScheduling(config, log)


#: Files of a run that tell its directory, or are links to others.
OTHER_NAMES = ("run_it", "RELION_", "job.star")

GOLDEN = Path(__file__).resolve().parent / "data" / "golden"


def golden_entries() -> list[dict[str, Any]]:
    """Return every reference value with what it is of (data/golden/README.md)."""
    return json.loads(lzma.decompress((GOLDEN / "golden.json.xz").read_bytes()))


@pytest.fixture(scope="session")
def golden_dir() -> Path:
    """Directory of the original's reference values and files."""
    return GOLDEN


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """Directory with data of others, not in the repository: ``data/maps`` and the like.

    Where MAPSORT_SHARED names it, what is missing there is an error.
    """
    named = os.environ.get("MAPSORT_SHARED")
    path = Path(named or Path(__file__).resolve().parents[1] / "../shared").resolve()
    if not (path / "data" / "maps").is_dir():
        assert named is None, f"MAPSORT_SHARED={named}: no data/maps there"
        pytest.skip("maps and tables of others, not in the repository; set MAPSORT_SHARED")
    return path


class Golden:
    """The reference values: entries, their input arrays and their expected results."""

    def __init__(self, directory: Path) -> None:
        self.entries = golden_entries()
        self.facts: dict[str, dict[str, Any]] = json.loads((directory / "inputs.json").read_text())
        self.inputs = np.load(directory / "inputs.npz")
        self.outputs = np.load(directory / "outputs.npz")

    def select(self, wanted: Callable[[dict[str, Any]], bool]) -> list[dict[str, Any]]:
        """Entries for which `wanted` is true; an empty selection is an error of the test."""
        entries = [entry for entry in self.entries if wanted(entry)]
        assert entries, "no reference entry selected"
        return entries

    def check(self, entry: dict[str, Any], ours: np.ndarray) -> None:
        """Assert agreement within the entry's tolerance (an array, a list, or a digest)."""
        value = entry["value"]
        if isinstance(value, dict) and "digest" in value:
            digest = value["digest"]
            assert list(ours.shape) == digest["shape"], entry["id"]
            scale = max(abs(digest["min"]), abs(digest["max"]))
            found = [ours.mean(), ours.std(ddof=1), ours.min(), ours.max()]
            expected = [digest[k] for k in ("mean", "sigma", "min", "max")]
            found += [ours[tuple(index)] for index, _ in digest["pixels"]]
            expected += [pixel for _, pixel in digest["pixels"]]
            found, expected = np.array(found), np.array(expected)
        else:
            expected = np.asarray(
                self.outputs[value["array"]] if isinstance(value, dict) else value
            )
            found = np.asarray(ours)
            assert found.shape == expected.shape, entry["id"]
            scale = np.abs(expected).max()
        error = np.abs(found - expected).max()
        assert error <= entry["atol"] + entry["rtol"] * scale, (entry["id"], error)


@pytest.fixture(scope="session")
def golden(golden_dir: Path) -> Golden:
    """Reference values computed with EMAN2."""
    return Golden(golden_dir)


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


#: What makes a run of little input quick.
QUICK: dict[str, Any] = {
    "iter": 1,
    "orientgen": "eman:delta=24",
    "randomseed": 1,
    "parallel": "thread:1",
}


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Simulated:
    """Little enough for one iteration to take a second, and enough to be sorted."""
    out = tmp_path_factory.mktemp("small")
    return simulate(
        SimulateOptions(
            phantom=2, out=out, n=120, box=32, apix=4.0, snr=0.3, shift=2.0, seed=3, seedres=24.0
        )
    )


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Simulated:
    """Little enough for two iterations to take a third of a second, and too little to be sorted."""
    out = tmp_path_factory.mktemp("tiny")
    return simulate(
        SimulateOptions(
            phantom=2, out=out, n=40, box=16, apix=8.0, snr=0.5, shift=1.0, seed=3, seedres=30.0
        )
    )


@pytest.fixture(scope="session")
def uneven(tiny: Simulated) -> Path:
    """Table of the particles of `tiny` in half-sets of 13 and 27, in no order."""
    optics, table = read_particles(tiny.particles)
    first = np.random.default_rng(4).permutation(len(table))[:13]
    table["rlnRandomSubset"] = np.where(np.isin(np.arange(len(table)), first), 1, 2)
    path = tiny.particles.with_name("uneven.star")
    write_particles(path, optics, table)
    return path


Runs = Callable[..., MultiRun]


@pytest.fixture(scope="session")
def runs_on() -> Callable[..., Runs]:
    """Make the main job on something simulated, or on what is given in its place."""

    def runs(made: Simulated, directory: Path, **quick: Any) -> Runs:
        def run(
            particles: Any = made.particles, models: Any = made.seeds, **options: Any
        ) -> MultiRun:
            name = f"run_{len(list(directory.glob('run_*'))):02d}"
            everything = QUICK | quick | {"path": directory / name} | options
            return refine_multi(particles, models, **everything)

        return run

    return runs


@pytest.fixture
def run_small(small: Simulated, tmp_path: Path, runs_on: Callable[..., Runs]) -> Runs:
    """Run the main job on `small`."""
    return runs_on(small, tmp_path)


@pytest.fixture
def run_tiny(tiny: Simulated, tmp_path: Path, runs_on: Callable[..., Runs]) -> Runs:
    """Run the main job on `tiny`."""
    return runs_on(tiny, tmp_path, orientgen="eman:delta=60")


@pytest.fixture(scope="session")
def small_run(
    small: Simulated, tmp_path_factory: pytest.TempPathFactory, runs_on: Callable[..., Runs]
) -> Runs:
    """Finished runs on `small` by their options, for all tests that only read them."""
    run, made = runs_on(small, tmp_path_factory.mktemp("small_runs")), {}

    def shared(**options: Any) -> MultiRun:
        key = repr(sorted(options.items()))
        if key not in made:
            made[key] = run(**options)
        return made[key]

    return shared


@pytest.fixture(scope="session")
def results() -> Callable[[Path], dict[str, Any]]:
    """Everything that a run found, for comparing runs bit for bit; times and memory left out."""

    def of(path: Path) -> dict[str, Any]:
        found: dict[str, Any] = {
            file.name: hashlib.sha256(file.read_bytes()).hexdigest()
            for file in path.iterdir()
            if file.suffix in (".mrc", ".hdf", ".h5", ".star", ".txt")
            and not file.name.startswith(OTHER_NAMES)
        }
        entries = read_convergence(path / "convergence.json")
        for entry in entries:
            del entry["seconds"], entry["peak_memory_mib"]
        return found | {"convergence": entries}

    return of
