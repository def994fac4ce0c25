"""What the benchmarks of the suite share: maps, views, and how much is measured."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mrcfile
import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from scipy.spatial.transform import Rotation

import mapsort
from mapsort.geometry.euler import matrix_to_relion
from mapsort.io.star_tables import write_tables
from mapsort.physics.phantom import RADIUS_ANG, phantom_map

#: Boxes [pixels] and numbers of images that users have; the small one only shows that it runs.
SIZES, QUICK_SIZES = {64: 2000, 128: 500, 256: 100}, {32: 200}


@dataclass(frozen=True)
class Views:
    """A map of the built-in phantom, random views of it, and what is seen in them.

    Attributes
    ----------
    volume : ndarray of shape (box, box, box), float32
    rotations : ndarray of shape (n, 3, 3)
        Object to view.
    images : ndarray of shape (n, box, box), float32
    apix : float
        Pixel size [A].
    """

    volume: npt.NDArray[np.float32]
    rotations: npt.NDArray[np.float64]
    images: npt.NDArray[np.float32]
    apix: float

    @property
    def box(self) -> int:
        """Box [pixels]."""
        return len(self.volume)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Offer a run that takes seconds."""
    parser.addoption("--quick", action="store_true", help="small sizes, to see that all runs")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Measure everything at every size."""
    if "views" in metafunc.fixturenames:
        sizes = QUICK_SIZES if metafunc.config.getoption("quick") else SIZES
        names = [f"{n}x{box}px" for box, n in sizes.items()]
        metafunc.parametrize("views", sizes.items(), indirect=True, ids=names, scope="session")


@pytest.fixture(scope="session")
def views(request: Any) -> Views:
    """Views of one size."""
    box, n = request.param
    # The molecule's radius is a third of the box.
    apix = 3.0 * RADIUS_ANG / box
    volume = np.asarray(phantom_map(0, box, apix), np.float32)
    rotations = Rotation.random(n, rng=np.random.default_rng(1)).as_matrix()
    return Views(volume, rotations, mapsort.project(volume, rotations), apix)


@pytest.fixture
def view_files(views: Views, tmp_path: Path) -> Path:
    """A directory with the map, its views and their poses, for programs: map.mrc, views.star."""
    mapsort.Volume(views.volume, views.apix).write(tmp_path / "map.mrc")
    with mrcfile.new(tmp_path / "views.mrcs") as file:
        file.set_data(views.images)
        file.voxel_size = views.apix
    angles = matrix_to_relion(views.rotations)
    names = [f"{i + 1:06d}@views.mrcs" for i in range(len(angles))]
    table = pd.DataFrame(angles, columns=["rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi"])
    table = table.assign(rlnImageName=names, rlnOpticsGroup=1)
    optics = pd.DataFrame(
        {
            "rlnOpticsGroup": [1],
            "rlnOpticsGroupName": ["one"],
            "rlnVoltage": [300.0],
            "rlnSphericalAberration": [2.7],
            "rlnAmplitudeContrast": [0.1],
            "rlnImagePixelSize": [views.apix],
            "rlnImageSize": [views.box],
            "rlnImageDimensionality": [2],
        }
    )
    write_tables(tmp_path / "views.star", {"optics": optics, "particles": table})
    return tmp_path


@pytest.fixture(autouse=True)
def _compared_at_one_size(request: pytest.FixtureRequest) -> None:
    """Group what was measured by size, too."""
    if "views" in request.fixturenames:
        benchmark = request.getfixturevalue("benchmark")
        benchmark.group += f", {request.getfixturevalue('views').box} px"
