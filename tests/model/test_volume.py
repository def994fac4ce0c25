from __future__ import annotations

from pathlib import Path

import mrcfile
import numpy as np
import pytest

from mapsort.errors import FormatError, NumericalError
from mapsort.io.hdf_writer import write_images
from mapsort.io.mrc import write_map
from mapsort.model.volume import Volume

DATA = np.random.default_rng(0).normal(size=(6, 6, 6)).astype(np.float32)


@pytest.mark.parametrize("suffix", [".mrc", ".map", ".hdf"])
def test_round_trip(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"map{suffix}"
    Volume(DATA, 1.7).write(path)
    back = Volume.open(path)
    assert (back.box, back.apix) == (6, pytest.approx(1.7))
    assert back.data.dtype == np.float32
    np.testing.assert_array_equal(back.data, DATA)
    assert Volume.open(path, apix=3.0).apix == 3.0


def test_other_types_become_float32() -> None:
    assert Volume(DATA.astype(np.float64)[::-1], 1).data.dtype == np.float32
    assert Volume(DATA[::-1], 1).data.flags.c_contiguous


@pytest.mark.parametrize(
    ("data", "apix", "message"),
    [
        (DATA[:5], 1.0, "data: expected"),
        (DATA[0], 1.0, "data: expected"),
        (DATA, 0.0, "apix"),
        (DATA, float("nan"), "apix"),
    ],
)
def test_arguments(data: np.ndarray, apix: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Volume(data, apix)


@pytest.mark.parametrize("suffix", [".mrc", ".hdf"])
def test_files_that_cannot_be_refined(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"bad{suffix}"

    def write(data: np.ndarray) -> None:
        if suffix == ".hdf":
            write_images(path, [data], apix=1.0)
        else:
            write_map(path, data, 1.0)

    write(DATA[:4])
    with pytest.raises(FormatError, match=r"bad\.\w+: the map is 6 x 6 x 4"):
        Volume.open(path)
    write(np.zeros_like(DATA))
    with pytest.raises(FormatError, match=r"bad\.\w+: the map is constant"):
        Volume.open(path)
    path.unlink()
    with pytest.raises(FormatError, match=r"bad\.\w+: no such file"):
        Volume.open(path)


def test_not_finite(tmp_path: Path) -> None:
    path = tmp_path / "nan.mrc"
    data = DATA.copy()
    data[1, 2, 3] = np.nan
    with pytest.raises(NumericalError, match=r"nan\.mrc"):
        Volume(data, 1.0).write(path)
    write_map(path, DATA, 1.0)
    with mrcfile.mmap(path, "r+") as mrc:
        mrc.data[1, 2, 3] = np.nan
    with pytest.raises(FormatError, match=r"nan\.mrc: .*NaN"):
        Volume.open(path)


def test_pixel_size_missing(tmp_path: Path) -> None:
    path = tmp_path / "map.mrc"
    with mrcfile.new(path, DATA):
        pass
    with pytest.raises(FormatError, match=r"map\.mrc: no usable pixel size.*--apix"):
        Volume.open(path)
    assert Volume.open(path, apix=2.0).apix == 2.0


def test_kinds(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"a\.tif: maps are read from"):
        Volume.open("a.tif")
    with pytest.raises(ValueError, match=r"a\.tif"):
        Volume(DATA, 1.0).write("a.tif")
    write_images(tmp_path / "two.hdf", [DATA, DATA])
    with pytest.raises(FormatError, match=r"two\.hdf: 2 images"):
        Volume.open(tmp_path / "two.hdf")


def test_real_maps(shared_dir: Path) -> None:
    paths = sorted((shared_dir / "data/maps").glob("*.mrc"))
    assert len(paths) == 8
    for path in paths:
        volume = Volume.open(path)
        assert volume.box == 64
        assert volume.apix == pytest.approx(float(path.stem.rsplit("_", 1)[1].rstrip("A")))


def test_one_map_in_two_formats(golden_dir: Path) -> None:
    files = golden_dir / "files"
    np.testing.assert_array_equal(
        Volume.open(files / "vol20.hdf").data, Volume.open(files / "vol20.mrc").data
    )
