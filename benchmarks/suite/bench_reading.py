"""Files: a particle table beside the starfile package, a stack beside mrcfile and a plain read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mrcfile
import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
import starfile

import mapsort
from mapsort.io.star import read_particles
from mapsort.io.star_tables import write_tables

OPTICS = {
    "rlnOpticsGroup": 1,
    "rlnImagePixelSize": 1.5,
    "rlnImageSize": 64,
    "rlnVoltage": 300.0,
    "rlnSphericalAberration": 2.7,
    "rlnAmplitudeContrast": 0.1,
}


@pytest.fixture(scope="module")
def table(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A particle table of 100,000 rows and ten columns."""
    n = 1000 if request.config.getoption("quick") else 100_000
    rng = np.random.default_rng(3)
    names = ("DefocusU", "DefocusV", "DefocusAngle", "AngleRot", "AngleTilt", "AnglePsi")
    numbers = {f"rln{name}": rng.uniform(1e4, 2e4, n).round(4) for name in names}
    frame = pd.DataFrame(numbers).assign(rlnOpticsGroup=1, rlnClassNumber=2)
    frame["rlnImageName"] = [f"{i + 1:06d}@stack_{i // 500:04d}.mrcs" for i in range(n)]
    frame["rlnMicrographName"] = [f"mic_{i // 500:04d}.mrc" for i in range(n)]
    optics = pd.DataFrame(OPTICS, index=[0])
    path = tmp_path_factory.mktemp("table") / "particles.star"
    write_tables(path, {"optics": optics, "particles": frame})
    return path


@pytest.mark.benchmark(group="table")
@pytest.mark.parametrize("reader", ["mapsort", "starfile"])
def test_table(table: Path, benchmark: Any, reader: str) -> None:
    """Both give a table with names and numbers."""
    read = {
        "mapsort": lambda: read_particles(table)[1],
        "starfile": lambda: starfile.read(table)["particles"],
    }[reader]
    frame = benchmark.pedantic(read, rounds=3)
    assert frame["rlnDefocusU"].dtype == np.float64
    assert frame["rlnImageName"].iloc[-1].endswith(".mrcs")


@pytest.mark.benchmark(group="stack")
@pytest.mark.parametrize("reader", ["mapsort", "mrcfile", "plain"])
def test_stack(views: Any, benchmark: Any, reader: str, tmp_path: Path) -> None:
    """All images of a stack, from the system's cache into memory."""
    path = tmp_path / "images.mrcs"
    with mrcfile.new(path) as file:
        file.set_data(views.images)
        file.voxel_size = views.apix
    particles = mapsort.Particles.open(path)

    def plain() -> npt.NDArray[np.float32]:
        return np.fromfile(path, np.float32, offset=1024).reshape(views.images.shape)

    read = {
        "mapsort": lambda: particles.images(slice(None)),
        "mrcfile": lambda: mrcfile.read(path),
        "plain": plain,
    }[reader]
    assert np.array_equal(benchmark(read), views.images)
