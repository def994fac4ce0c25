"""Particles of one or two structures, of which the second has a lump more."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

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
