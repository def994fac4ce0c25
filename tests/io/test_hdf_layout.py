"""EMAN2's HDF files as other programs may write them, sound and damaged."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from mapsort.errors import FormatError
from mapsort.io.hdf import HdfReader, HdfStack, count, read_image
from mapsort.io.hdf_pixels import is_scale, is_storage, scaled_back
from mapsort.io.hdf_writer import write_images
from mapsort.io.image_stack import open_stack
from mapsort.io.mrc import write_stack
from mapsort.io.mrc_stack import MrcStack

IMAGES = np.arange(4 * 3 * 5, dtype=np.float32).reshape(4, 3, 5)


def with_dataset(path: Path, **dataset: Any) -> Path:
    """One image whose pixels h5py makes."""
    write_images(path, IMAGES[:1])
    with h5py.File(path, "r+") as file:
        group = file["MDF/images/0"]
        del group["image"]
        group.create_dataset("image", **dataset)
    return path


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((5,), (5,)),
        ((3, 5), (3, 5)),
        ((1, 5), (1, 5)),
        ((1, 3, 5), (3, 5)),
        ((2, 3, 5), (2, 3, 5)),
        ((1, 1, 5), (1, 5)),
    ],
)
def test_one_section_is_an_image(
    tmp_path: Path, shape: tuple[int, ...], expected: tuple[int, ...]
) -> None:
    data = np.arange(np.prod(shape), dtype="<i2").reshape(shape)
    with HdfReader(with_dataset(tmp_path / "a.hdf", data=data)) as reader:
        assert reader.shape(0) == expected
        np.testing.assert_array_equal(reader.image(0), data.reshape(expected))
        assert reader.image(0).dtype == np.float32


@pytest.mark.parametrize(
    ("dataset", "told"),
    [
        ({"data": np.zeros((2, 2), complex)}, "image 0 is no image: (2, 2) of complex128."),
        ({"data": np.zeros((2, 2), bool)}, "image 0 is no image: (2, 2) of bool."),
        ({"data": np.zeros((1, 2, 2, 2))}, "image 0 is no image: (1, 2, 2, 2) of float64."),
        ({"data": 1.0}, "image 0 is no image: () of float64."),
        (
            {"data": np.zeros((0, 4))},
            "image 0 is damaged: (0, 4) pixels are announced and 0 bytes stored.",
        ),
        # Neither is ever written: contiguous pixels without room, and chunks that are not there.
        (
            {"shape": (8, 8), "dtype": "f4"},
            "image 0 is damaged: (8, 8) pixels are announced and 0 bytes stored.",
        ),
        (
            {"shape": (8, 8), "dtype": "f4", "chunks": (4, 4)},
            "image 0 is damaged: (8, 8) pixels are announced and 0 bytes stored.",
        ),
    ],
)
def test_datasets_that_are_no_image(tmp_path: Path, dataset: dict[str, Any], told: str) -> None:
    path = with_dataset(tmp_path / "a.hdf", **dataset)
    with HdfReader(path) as reader:
        for read in (reader.image, reader.shape):
            with pytest.raises(FormatError) as caught:
                read(0)
            assert str(caught.value) == f"{path}: {told}"


def test_nothing_deflates_better_than_nothing(tmp_path: Path) -> None:
    """Zeros, the best that deflate can do, about 1030 to 1, are an image; 1200 to 1 cannot be."""
    path = with_dataset(
        tmp_path / "a.hdf", data=np.zeros((1024, 1024)), chunks=(1024, 1024), compression=9
    )
    assert not read_image(path, 0).any()
    assert (HdfReader(path).shape(0), 8 << 20) == ((1024, 1024), 8 << 20)
    # One of 1200 chunks of the size is there.
    path = with_dataset(tmp_path / "b.hdf", shape=(1200, 64), dtype="f4", chunks=(1, 64))
    with h5py.File(path, "r+") as file:
        file["MDF/images/0/image"][0] = 1
    with pytest.raises(FormatError, match="are announced and 256 bytes stored"):
        read_image(path, 0)
    with h5py.File(path, "r+") as file:
        file["MDF/images/0/image"][1] = 1
    assert read_image(path, 0).sum() == 128


def test_images_of_two_sizes_are_told_with_their_numbers(tmp_path: Path) -> None:
    path = tmp_path / "a.hdf"
    write_images(path, [IMAGES[0], IMAGES[0][:2], IMAGES[1], IMAGES[0][:, :4]])
    with HdfReader(path) as reader:
        np.testing.assert_array_equal(reader.images([2, 0]), IMAGES[[1, 0]])
        for wanted in ([2, 1], [1, 2], [0, 2, 3], [3, 0]):
            a, b = wanted[0], wanted[-1]
            shapes = [reader.shape(index) for index in (b, a)]
            with pytest.raises(FormatError) as caught:
                reader.images(wanted)
            told = f"image {b} has shape {shapes[0]}, image {a} {shapes[1]}; they must be equal."
            assert str(caught.value) == f"{path}: {told}"
        with pytest.raises(FormatError, match="the file holds no image"):
            reader.images([])


def test_how_many_images_there_are(tmp_path: Path) -> None:
    """As the file says, else by the highest number among its groups."""
    path = tmp_path / "a.hdf"
    write_images(path, IMAGES[[0] * 11])
    assert count(path) == 11
    with h5py.File(path, "r+") as file:
        images = file["MDF/images"]
        images.attrs["imageid_max"] = np.uint16(2)
        images.create_group("ctf")
    assert count(path) == 3
    with pytest.raises(FormatError) as caught:
        read_image(path, 3)
    assert str(caught.value) == (
        f"{path}: image 3 was asked for; the file holds 3, counted from 0."
    )
    with h5py.File(path, "r+") as file:
        del file["MDF/images"].attrs["imageid_max"]
    assert count(path) == 11
    with h5py.File(path, "r+") as file:
        for index in range(11):
            del file[f"MDF/images/{index}"]
    assert count(path) == 0


def test_items_of_a_scale() -> None:
    assert is_scale("stored_renderbits")
    assert not is_scale("stored_truncated")
    assert is_storage("stored_truncated")
    assert is_storage("render_compress_level")
    assert not is_storage("mean")


@pytest.mark.parametrize("missing", ["bits", "min", "max", None])
def test_integers_without_a_scale_are_as_they_are(missing: str | None) -> None:
    stored = np.array([[0, 255], [51, 102]], np.uint8)
    scale = {"bits": 8, "min": -1.0, "max": 4.0}
    header = {f"stored_render{name}": value for name, value in scale.items() if name != missing}
    found = scaled_back(stored, header)
    assert found.dtype == np.float32
    expected = stored if missing else [[-1, 4], [0, 1]]
    np.testing.assert_allclose(found, expected, atol=1e-6)
    # Floating-point pixels have no levels.
    np.testing.assert_array_equal(scaled_back(np.float64(stored), header), stored)


@pytest.mark.parametrize(
    ("shape", "chunk"),
    [
        ((5,), (5,)),
        ((3, 5), (3, 5)),
        ((8, 5), (8, 5)),
        ((20, 5), (8, 5)),
        ((2, 20, 5), (1, 8, 5)),
        ((3, 4, 5), (1, 4, 5)),
    ],
)
def test_chunks_are_eight_rows(
    tmp_path: Path, shape: tuple[int, ...], chunk: tuple[int, ...]
) -> None:
    path = tmp_path / "a.hdf"
    for bits in (0, 8, 16):
        write_images(path, [np.ones(shape)], compressbits=bits)
        with h5py.File(path) as file:
            assert file["MDF/images/0/image"].chunks == chunk


@pytest.mark.parametrize(
    ("value", "stated"),
    [
        (1.5, 1.5),
        (2, 2.0),
        (np.float32(0.5), 0.5),
        (0, None),
        (-1.5, None),
        (np.nan, None),
        (np.inf, None),
        ("1.5", None),
        ([1.0, 2.0], None),
        (None, None),
    ],
)
def test_pixel_size_of_the_first_header(tmp_path: Path, value: Any, stated: float | None) -> None:
    path = tmp_path / "a.hdf"
    write_images(path, IMAGES)
    with h5py.File(path, "r+") as file:
        attributes = file["MDF/images/0"].attrs
        del attributes["EMAN.apix_x"]
        if value is not None:
            attributes["EMAN.apix_x"] = value
    assert HdfStack(path).stated_apix == stated


def test_a_stack_gives_images_one_by_one(tmp_path: Path) -> None:
    path = tmp_path / "a.HDF"
    write_images(path, IMAGES, [{"k": number} for number in range(4)])
    opened = open_stack(path)
    assert isinstance(opened, HdfStack)
    sent = pickle.loads(pickle.dumps(opened))
    for stack in (opened, sent):
        assert (stack.path, stack.n_images, stack.box) == (path, 4, (3, 5))
        assert repr(stack) == f"HdfStack({str(path)!r}, n_images=4, box=(3, 5))"
        assert stack.header(2)["k"] == 2
        images, seen = np.empty((3, 3, 5), np.float32), []
        stack.read_into(images, np.array([3, 0, 3]), inspect=seen.append)
        np.testing.assert_array_equal(images, IMAGES[[3, 0, 3]])
        np.testing.assert_array_equal(np.concatenate(seen), images)
        stack.read_into(images, np.array([1, 2, 0]))
        np.testing.assert_array_equal(images, IMAGES[[1, 2, 0]])


def test_the_suffix_tells_the_format(tmp_path: Path) -> None:
    for suffix in (".mrc", ".mrcs", ".st", ".MRCS", ".raw"):
        write_stack(tmp_path / f"a{suffix}", IMAGES, 1.0)
        assert isinstance(open_stack(tmp_path / f"a{suffix}"), MrcStack)
    for suffix in (".hdf", ".hdf5", ".h5"):
        write_images(tmp_path / f"a{suffix}", IMAGES)
        assert isinstance(open_stack(tmp_path / f"a{suffix}"), HdfStack)
    with pytest.raises(FormatError) as caught:
        open_stack(Path("bdb:set#a"))
    assert str(caught.value) == (
        "bdb:set#a: bdb:set#a is an EMAN2 bdb: data base, which is not read. "
        "Convert it with EMAN2 first: e2proc2d.py bdb:set#a particles.hdf"
    )


def test_a_map_is_no_stack(tmp_path: Path) -> None:
    write_images(tmp_path / "a.hdf", [np.zeros((2, 3, 5))])
    with pytest.raises(FormatError, match="image 0 is 5 x 3 x 2 pixels; 2-D images are needed"):
        HdfStack(tmp_path / "a.hdf")


def test_a_number_of_images_that_is_not_true(tmp_path: Path) -> None:
    """Those that are not there are not looked for one by one: that took minutes and gigabytes."""
    path = tmp_path / "a.hdf"
    write_images(path, IMAGES[:2])
    with h5py.File(path, "r+") as file:
        file["MDF/images"].attrs["imageid_max"] = np.int32(2**31 - 2)
    with HdfReader(path) as reader:
        assert (reader.n_images, reader.first) == (2**31 - 1, 0)
        with pytest.raises(
            FormatError, match=r"2147483645 are not there \(2, 3, 4, 5, 6, \.\.\.\)"
        ):
            reader.header(2)


def test_images_that_were_deleted(tmp_path: Path) -> None:
    """A hole is told by its number; the other images can be read."""
    path = tmp_path / "a.hdf"
    write_images(path, IMAGES[[0, 1, 2, 3] * 3])
    with h5py.File(path, "r+") as file:
        for index in (0, 7):
            del file[f"MDF/images/{index}"]
    for index in (0, 7):
        with pytest.raises(FormatError) as caught:
            read_image(path, index)
        assert str(caught.value) == (
            f"{path}: image {index} is missing: of images 0 to 11, 2 are not there (0, 7). Leave "
            "them out with a list (.lst)."
        )
    stack = HdfStack(path)
    again = tmp_path / "b.hdf"
    again.write_bytes(path.read_bytes())
    assert (stack.n_images, stack.box) == (12, (3, 5))
    images = np.empty((2, 3, 5), np.float32)
    stack.read_into(images, np.array([1, 11]))
    np.testing.assert_array_equal(images, IMAGES[[1, 3]])
    with h5py.File(again, "r+") as file:
        for index in (*range(1, 7), *range(8, 12)):
            del file[f"MDF/images/{index}"]
    with pytest.raises(FormatError, match=r"12 are not there \(0, 1, 2, 3, 4, \.\.\.\)"):
        HdfStack(again)
