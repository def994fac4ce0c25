from __future__ import annotations

import gzip
import pickle
from pathlib import Path
from typing import Any

import mrcfile
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mapsort.errors import FormatError, NumericalError
from mapsort.io.mrc import read_map, write_map, write_stack
from mapsort.io.mrc_header import read_header
from mapsort.io.mrc_stack import MrcStack

MODES = {0: "i1", 1: "i2", 2: "f4", 6: "u2", 12: "f2"}


def ramp(shape: tuple[int, ...], dtype: str = "f4") -> np.ndarray:
    return (np.arange(np.prod(shape)) % 101).reshape(shape).astype(dtype)


def write_raw(
    path: Path, data: np.ndarray, mode: int, order: str, *, nsymbt: int = 0, rows: int = 0
) -> None:
    """A stack written byte by byte, independent of the code under test."""
    nz, ny, nx = data.shape
    header = bytearray(1024)
    words = np.array([rows or nx, ny, nz, mode, 0, 0, 0, nx, ny, nz], dtype=f"{order}i4")
    header[:40] = words.tobytes()
    header[40:52] = np.array([nx * 1.5, ny * 1.5, nz * 1.5], dtype=f"{order}f4").tobytes()
    header[64:76] = np.array([1, 2, 3], dtype=f"{order}i4").tobytes()
    header[92:96] = np.array([nsymbt], dtype=f"{order}i4").tobytes()
    header[208:212] = b"MAP "
    header[212:216] = bytes([0x44, 0x44, 0, 0] if order == "<" else [0x11, 0x11, 0, 0])
    path.write_bytes(bytes(header) + bytes(nsymbt) + data.tobytes())


@given(
    data=hnp.arrays(
        np.float32,
        hnp.array_shapes(min_dims=3, max_dims=3, max_side=6),
        elements=st.floats(-1e6, 1e6, width=32),
    ),
    apix=st.floats(0.1, 50),
)
@settings(max_examples=40, deadline=None)
def test_map_round_trip(
    tmp_path_factory: pytest.TempPathFactory, data: np.ndarray, apix: float
) -> None:
    path = tmp_path_factory.mktemp("map") / "map.mrc"
    write_map(path, data, apix)
    back, apix_back = read_map(path)
    assert back.dtype == np.float32
    np.testing.assert_array_equal(back, data)
    assert apix_back == pytest.approx(apix, rel=1e-6)


def test_map_is_valid_mrc2014_volume(tmp_path: Path) -> None:
    path = tmp_path / "map.mrc"
    data = ramp((6, 5, 4))
    write_map(path, data, 1.25, origin_ang=(1, 2, 3))
    assert mrcfile.validate(path)
    with mrcfile.open(path) as mrc:
        assert mrc.is_volume()
        np.testing.assert_array_equal(mrc.data, data)
        assert (mrc.voxel_size.x, mrc.voxel_size.y, mrc.voxel_size.z) == (1.25, 1.25, 1.25)
        header = mrc.header
        assert (header.dmin, header.dmax) == (data.min(), data.max())
        assert header.dmean == pytest.approx(data.mean())
        assert header.rms == pytest.approx(data.std())
        assert header.nversion == 20141  # MRC2014, with float16 and its other later additions
        assert (header.origin.x, header.origin.y, header.origin.z) == (1, 2, 3)


def test_equal_maps_give_equal_bytes(tmp_path: Path) -> None:
    for name in ("a.mrc", "b.mrc"):
        write_map(tmp_path / name, ramp((4, 4, 4)), 2.0)
    assert (tmp_path / "a.mrc").read_bytes() == (tmp_path / "b.mrc").read_bytes()


def test_permuted_axes_come_in_standard_order(tmp_path: Path) -> None:
    path = tmp_path / "permuted.mrc"
    data = ramp((2, 3, 4))  # stored (section, row, column)
    write_map(path, data, 1.0)
    with mrcfile.open(path, "r+") as mrc:
        mrc.header.mapc, mrc.header.mapr, mrc.header.maps = 3, 1, 2
    back, _ = read_map(path)  # columns are z, rows x, sections y
    np.testing.assert_array_equal(back, data.transpose(2, 0, 1))


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("mode", MODES)
def test_all_modes_and_byte_orders(tmp_path: Path, mode: int, order: str) -> None:
    path = tmp_path / "stack.mrcs"
    data = ramp((4, 3, 5))
    if mode != 6:
        data -= 50
    write_raw(path, data.astype(order + MODES[mode]), mode, order, nsymbt=64)
    stack = MrcStack(path)
    assert (stack.n_images, stack.box, stack.apix) == (4, (3, 5), 1.5)
    images = stack.read([3, 0, 3])
    assert images.dtype == np.float32
    np.testing.assert_array_equal(images, data[[3, 0, 3]])
    np.testing.assert_array_equal(read_map(path)[0], data)


@pytest.mark.parametrize("nx", [6, 7])
def test_four_bit(tmp_path: Path, nx: int) -> None:
    path = tmp_path / "stack.mrcs"
    data = (ramp((3, 4, nx)) % 16).astype("u1")
    even = np.concatenate([data, np.zeros((3, 4, nx % 2), "u1")], axis=2)
    write_raw(path, even[..., 0::2] | (even[..., 1::2] << 4), 101, "<", rows=nx)
    np.testing.assert_array_equal(MrcStack(path).read(slice(None)), data)


def test_imod_unsigned_bytes(tmp_path: Path) -> None:
    path = tmp_path / "old.st"
    write_raw(path, np.full((1, 2, 2), 200, dtype="u1"), 0, "<")
    assert MrcStack(path).read(0).max() == 200 - 256
    raw = bytearray(path.read_bytes())
    raw[152:156] = np.array([1146047817], dtype="<i4").tobytes()
    # Bit 0 of the flags says "signed"; the others say other things.
    for flags, value in ((0, 200), (2, 200), (1, 200 - 256), (3, 200 - 256)):
        raw[156:160] = np.array([flags], dtype="<i4").tobytes()
        path.write_bytes(raw)
        assert MrcStack(path).read(0).max() == value


def test_wrong_machine_stamp_is_seen_through(tmp_path: Path) -> None:
    path = tmp_path / "stamp.mrcs"
    write_raw(path, ramp((2, 3, 3)), 2, "<")
    raw = bytearray(path.read_bytes())
    raw[212:214] = b"\x11\x11"
    path.write_bytes(raw)
    np.testing.assert_array_equal(MrcStack(path).read([1]), ramp((2, 3, 3))[[1]])


def test_streamed_stack(tmp_path: Path) -> None:
    path = tmp_path / "stack.mrcs"
    data = ramp((7, 4, 4))
    assert write_stack(path, (chunk for chunk in (data[0], data[1:4], data[4:])), 3.0) == 7
    assert mrcfile.validate(path)
    with mrcfile.open(path) as mrc:
        assert mrc.is_image_stack()
        np.testing.assert_array_equal(mrc.data, data)
        assert mrc.header.rms == pytest.approx(data.std())
    whole = tmp_path / "whole.mrcs"
    write_stack(whole, data, 3.0)
    assert whole.read_bytes() == path.read_bytes()
    assert MrcStack(path).apix == 3.0


def test_stack_is_picklable_and_reopens_after_close(tmp_path: Path) -> None:
    path = tmp_path / "stack.mrcs"
    data = ramp((5, 4, 4))
    write_stack(path, data, 1.0)
    stack = MrcStack(path)
    stack.read([0])
    sent = pickle.dumps(stack)
    assert len(sent) < 1000
    np.testing.assert_array_equal(pickle.loads(sent).read(slice(1, 3)), data[1:3])
    stack.close()
    np.testing.assert_array_equal(stack.read(4), data[[4]])


def test_truncated_stack_is_refused_with_the_number_of_whole_images(tmp_path: Path) -> None:
    path = tmp_path / "cut.mrcs"
    write_stack(path, ramp((10, 8, 8)), 1.0)
    with path.open("r+b") as file:
        file.truncate(1024 + 6 * 256 + 100)
    told = r"cut\.mrcs: truncated.* 10 images.*holds 6 whole ones .* ends in image 7\. Copy"
    with pytest.raises(FormatError, match=told):
        MrcStack(path)
    with pytest.raises(FormatError, match=r"cut\.mrcs: truncated"):
        read_map(path)


def test_stack_that_is_cut_off_while_it_is_open(tmp_path: Path) -> None:
    path = tmp_path / "cut.mrcs"
    data = ramp((10, 8, 8))
    write_stack(path, data, 1.0)
    stack = MrcStack(path)
    with path.open("r+b") as file:
        file.truncate(1024 + 6 * 256 + 100)
    np.testing.assert_array_equal(stack.read(slice(2, 6)), data[2:6])
    # Where the read begins must not matter to which image is named.
    for first in (0, 4, 6):
        with pytest.raises(FormatError, match=r"cut\.mrcs: truncated: image 7 of 10 is cut off"):
            stack.read(slice(first, 8))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "empty"),
        (b"MRC?", "not an MRC file: 4 bytes"),
        (b"just some text that is long enough " * 100, "not an MRC file"),
        (gzip.compress(bytes(5000), mtime=0), "compressed"),
        (bytes(2000), "not an MRC file"),
    ],
)
def test_files_that_are_not_mrc(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "strange.mrc"
    path.write_bytes(content)
    with pytest.raises(FormatError, match=rf"strange\.mrc: .*{message}"):
        MrcStack(path)


def test_missing_file_and_directory(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"none\.mrc: no such file"):
        read_map(tmp_path / "none.mrc")
    with pytest.raises(FormatError, match="cannot be read: Is a directory"):
        read_map(tmp_path)


@pytest.mark.parametrize(("mode", "message"), [(4, "complex"), (17, "mode 17 is not known")])
def test_modes_that_are_not_images(tmp_path: Path, mode: int, message: str) -> None:
    path = tmp_path / "odd.mrc"
    write_raw(path, ramp((2, 2, 2)), mode, "<")
    with pytest.raises(FormatError, match=rf"odd\.mrc: .*{message}"):
        read_header(path)


def test_damaged_size_in_header(tmp_path: Path) -> None:
    path = tmp_path / "negative.mrc"
    write_raw(path, ramp((2, 2, 2)), 2, "<", rows=-5)
    with pytest.raises(FormatError, match=r"negative\.mrc: damaged MRC header: .*-5 x 2 x 2"):
        read_header(path)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_not_finite(tmp_path: Path, value: float) -> None:
    path = tmp_path / "nan.mrcs"
    data = ramp((5, 4, 4))
    data[3, 1, 2] = value
    write_raw(path, data, 2, "<")
    stack = MrcStack(path)
    with pytest.raises(FormatError, match=r"nan\.mrcs: image 4 holds NaN"):
        stack.read([0, 3])
    assert stack.read([0, 1, 2, 4]).shape == (4, 4, 4)
    assert stack.read([3], check=False).shape == (1, 4, 4)
    with pytest.raises(FormatError, match=r"nan\.mrcs: the map holds NaN"):
        read_map(path)
    with pytest.raises(NumericalError, match=r"out\.mrc"):
        write_map(tmp_path / "out.mrc", data, 1.0)
    with pytest.raises(NumericalError, match=r"out\.mrcs"):
        write_stack(tmp_path / "out.mrcs", data, 1.0)


@pytest.mark.parametrize("index", [-1, 5])
def test_image_outside_the_stack(tmp_path: Path, index: int) -> None:
    path = tmp_path / "stack.mrcs"
    write_stack(path, ramp((5, 4, 4)), 1.0)
    with pytest.raises(FormatError, match=rf"stack\.mrcs: image {index + 1} .*holds 5"):
        MrcStack(path).read([0, index])


def test_cubic_check(tmp_path: Path) -> None:
    path = tmp_path / "slab.mrc"
    write_map(path, ramp((2, 4, 4)), 1.0)
    assert read_map(path)[0].shape == (2, 4, 4)
    with pytest.raises(FormatError, match=r"slab\.mrc: the map is 4 x 4 x 2"):
        read_map(path, cubic=True)
    write_map(path, ramp((4, 4, 4)), 1.0)
    with mrcfile.open(path, "r+") as mrc:
        mrc.voxel_size = (1.0, 1.0, 1.5)
    with pytest.raises(FormatError, match=r"slab\.mrc: the voxels are 1 x 1 x 1\.5"):
        read_map(path, cubic=True)


def test_missing_pixel_size_reads_as_one(tmp_path: Path) -> None:
    path = tmp_path / "map.mrc"
    write_map(path, ramp((4, 4, 4)), 1.0)
    with mrcfile.open(path, "r+") as mrc:
        mrc.header.cella = (0, 0, 0)
    assert read_map(path)[1] == 1.0
    assert read_header(path).apix is None


def test_arguments(tmp_path: Path) -> None:
    path = tmp_path / "x.mrc"
    with pytest.raises(ValueError, match="data"):
        write_map(path, ramp((4, 4)), 1.0)
    with pytest.raises(ValueError, match="data"):
        write_map(path, np.zeros((0, 4, 4), np.float32), 1.0)
    write_map(path, np.ones((1, 1, 1), np.float32), 1.0)
    with pytest.raises(ValueError, match="apix"):
        write_map(path, ramp((4, 4, 4)), 0.0)
    with pytest.raises(ValueError, match="nothing to write"):
        write_stack(path, [], 1.0)
    with pytest.raises(ValueError, match="like the first"):
        write_stack(path, [ramp((4, 4)), ramp((5, 5))], 1.0)


def test_golden_files(golden: Any, golden_dir: Path) -> None:
    entries = golden.select(lambda e: e["kind"] == "file.data" and e["module"] in ("mrc", "mrcs"))
    assert len(entries) == 3
    for entry in entries:
        expected = golden.outputs[entry["value"]["array"]]
        stack = MrcStack(golden_dir / entry["inputs"][0]).read(slice(None))
        np.testing.assert_array_equal(stack.reshape(expected.shape), expected)


def test_a_map_that_relion_rewrote(golden_dir: Path) -> None:
    relion, apix = read_map(golden_dir / "files/relion/vol20_relion.mrc", cubic=True)
    original, _ = read_map(golden_dir / "files/vol20.mrc", cubic=True)
    assert apix == 4.0
    np.testing.assert_allclose(relion, original, rtol=0, atol=1e-6)


def test_real_files(shared_dir: Path) -> None:
    small = MrcStack(shared_dir / "data/stacks/empiar10076_7_64px.mrcs")
    assert (small.n_images, small.box, small.apix) == (7, (64, 64), 6.55)
