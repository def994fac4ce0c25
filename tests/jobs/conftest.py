"""Particles of one or two structures; how well two classes agree with them; runs that stop."""

from __future__ import annotations

from collections.abc import Callable
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mapsort.engines.progress import SilentProgress
from mapsort.errors import Interrupted
from mapsort.io.star import read_particles
from mapsort.jobs.multi import MultiRun
from mapsort.jobs.simulate import Simulated, simulate
from mapsort.model.volume import Volume
from mapsort.options.simulate import SimulateOptions
from mapsort.physics.phantom import phantom_map


@pytest.fixture
def lumps(tmp_path: Path) -> Callable[[int], tuple[Simulated, tuple[Path, Path]]]:
    """Make 360 particles of so many structures; and the maps of both."""

    def made(states: int) -> tuple[Simulated, tuple[Path, Path]]:
        base = phantom_map(0, 32, 4.0)
        more = base.copy()
        more[11:16, 19:24, 13:18] += 0.5 * base.max()
        paths = tmp_path / "a.mrc", tmp_path / "b.mrc"
        for path, volume in zip(paths, (base, more), strict=True):
            Volume(volume, 4.0).write(path)
        options = SimulateOptions(
            maps=paths[:states], out=tmp_path / "made", n=360, snr=0.3, shift=1.0, seedres=24.0
        )
        return simulate(options), paths

    return made


class StopAt(SilentProgress):
    """Interrupts a run when a stage begins for the n-th time."""

    def __init__(self, stage: str, nth: int) -> None:
        self.stage, self.left = stage, nth

    def start(self, stage: str, *_: object, **__: object) -> None:
        self.left -= self.stage in stage
        if self.left == 0:
            raise Interrupted("stopped")


@pytest.fixture
def stop_at() -> type[StopAt]:
    return StopAt


@pytest.fixture
def agreement() -> Callable[[Simulated, MultiRun], float]:
    """Share of particles in their state's class, for the best of naming two classes."""

    def share(problem: Simulated, run: MultiRun) -> float:
        truth = read_particles(problem.truth)[1]["rlnClassNumber"].to_numpy()
        found = run.assignments["rlnClassNumber"].to_numpy()
        return max(np.mean(np.array((0, *names))[truth] == found) for names in permutations((1, 2)))

    return share


@pytest.fixture(scope="module")
def little(tmp_path_factory: pytest.TempPathFactory) -> Simulated:
    """90 particles of 20 px at 6.4 A, two states: enough for a class average to be one."""
    out = tmp_path_factory.mktemp("little")
    return simulate(
        SimulateOptions(
            phantom=2, out=out, n=90, box=20, apix=6.4, snr=0.4, shift=1.5, seed=3, seedres=24.0
        )
    )


@pytest.fixture
def run_little(
    little: Simulated, tmp_path: Path, runs_on: Callable[..., Any]
) -> Callable[..., Any]:
    """Run the main job on `little`."""
    return runs_on(little, tmp_path)


@pytest.fixture(scope="module")
def plain(
    little: Simulated, tmp_path_factory: pytest.TempPathFactory, runs_on: Callable[..., Any]
) -> MultiRun:
    """The run on `little` that every option is compared with."""
    return runs_on(little, tmp_path_factory.mktemp("plain"))()
