from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mapsort.errors import FormatError, NumericalError
from mapsort.io import hdf_header
from mapsort.io.hdf import HdfReader, count, read_header, read_image
from mapsort.io.hdf_header import EmanTransform, header_list
from mapsort.io.hdf_writer import HdfWriter, write_images

IMAGES = np.arange(3 * 4 * 5, dtype=np.float32).reshape(3, 4, 5)
HEADER = {
    "xform.projection": EmanTransform(np.arange(12).reshape(3, 4)),
    "model_id": 2,
    "big": -(2**31),
    "class_ptcl_idxs": [3, 1, 4],
    "one": [7],
    "none": [],
    "fits": [0.5, 1.5],
    "exact": 0.1,
    "single": np.float32(0.1),
    "flag": True,
    "projection_image": "projections_01.hdf",
    "unicode": "µ",
    "empty": "",
}

names = st.text("abcdefghij_.", min_size=1, max_size=12).map(lambda name: f"x_{name}")
int32 = st.integers(-(2**31), 2**31 - 1)
float32 = st.floats(width=32, allow_nan=False)
values = st.one_of(
    int32,
    st.floats(allow_nan=False),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20),
    st.lists(int32, min_size=2, max_size=6),
    st.lists(float32, min_size=2, max_size=6),
    st.lists(float32, min_size=12, max_size=12).map(lambda m: EmanTransform(np.reshape(m, (3, 4)))),
)


@given(header=st.dictionaries(names, values, max_size=6))
@settings(max_examples=50, deadline=None)
def test_header_round_trip(
    tmp_path_factory: pytest.TempPathFactory, header: dict[str, object]
) -> None:
    path = tmp_path_factory.mktemp("hdf") / "a.hdf"
    write_images(path, IMAGES[:1], [header])
    back = read_header(path, 0)
    assert {key: back[key] for key in header} == header


def test_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "a.hdf"
    write_images(path, IMAGES, [HEADER, {}, {"apix_x": 3}], apix=1.5)
    assert count(path) == 3
    for index in range(3):
        np.testing.assert_array_equal(read_image(path, index), IMAGES[index])
    header = read_header(path, 0)
    for key in ("xform.projection", "model_id", "big", "class_ptcl_idxs", "fits", "exact"):
        assert header[key] == HEADER[key]
    assert header["flag"] == 1
    assert header["one"] == 7  # as EMAN2: one element is a scalar
    assert header_list(header, "one") == [7]
    assert header_list(header, "class_ptcl_idxs") == [3, 1, 4]
    assert header_list(header, "none") == []
    assert header["single"] == float(np.float32(0.1))
    assert (header["projection_image"], header["unicode"]) == ("projections_01.hdf", "µ")
    assert header["empty"] == ""
    assert (header["nx"], header["ny"], header["nz"], header["datatype"]) == (5, 4, 1, 7)
    assert header["apix_x"] == header["apix_z"] == 1.5
    assert read_header(path, 2)["apix_y"] == 3.0


def test_types_are_those_of_eman2(tmp_path: Path, golden_dir: Path) -> None:
    """Rewriting a file of EMAN2 gives each attribute its type, shape and value again."""
    original = golden_dir / "files/stack5.hdf"
    copy = tmp_path / "copy.hdf"
    with HdfReader(original) as reader:
        write_images(copy, reader.images(), [reader.header(i) for i in range(reader.n_images)])
    float64_in_ours = {"apix_x", "apix_y", "apix_z", "my_float"}
    with h5py.File(original) as a, h5py.File(copy) as b:
        assert b["MDF/images"].attrs["imageid_max"].tolist() == [4]
        assert b["MDF/images"].attrs["imageid_max"].dtype == np.int32
        for index in range(5):
            one, two = a[f"MDF/images/{index}"], b[f"MDF/images/{index}"]
            assert set(two.attrs) == set(one.attrs)
            assert two["image"].dtype == one["image"].dtype
            assert two["image"].chunks is None
            for key in one.attrs:
                x, y = one.attrs.get_id(key), two.attrs.get_id(key)
                assert (y.shape, y.dtype) == (x.shape, x.dtype), key
                assert y.get_type().get_class() == x.get_type().get_class()
                if x.dtype.kind == "f":
                    np.testing.assert_allclose(two.attrs[key], one.attrs[key], rtol=1e-6)
                else:
                    assert np.array_equal(two.attrs[key], one.attrs[key]), key
            assert {k for k in one.attrs if one.attrs.get_id(k).dtype == np.float64} == {
                f"EMAN.{key}" for key in float64_in_ours
            }


def test_statistics_follow_eman2(golden_dir: Path, tmp_path: Path) -> None:
    keys = ("mean", "sigma", "minimum", "maximum", "square_sum", "mean_nonzero", "sigma_nonzero")
    for name in ("vol20.hdf", "matrix_24x7.hdf", "stack5.hdf"):
        original = golden_dir / "files" / name
        write_images(tmp_path / "a.hdf", [read_image(original, 0)])
        ours, theirs = read_header(tmp_path / "a.hdf", 0), read_header(original, 0)
        for key in keys:
            assert ours[key] == pytest.approx(theirs[key], rel=1e-5), (name, key)


def test_statistics_of_an_empty_image(tmp_path: Path) -> None:
    """EMAN2 writes such averages of classes without members: no pixel but 0 has a mean."""
    write_images(tmp_path / "a.hdf", np.zeros((1, 4, 5), np.float32))
    header = read_header(tmp_path / "a.hdf", 0)
    for key in ("mean", "sigma", "minimum", "maximum", "mean_nonzero", "sigma_nonzero"):
        assert header[key] == 0, key


@pytest.mark.filterwarnings("error")
def test_statistics_too_large_for_a_header_are_its_largest_number(tmp_path: Path) -> None:
    largest = np.finfo(np.float32).max
    image = np.full((4, 4), largest)
    image[:, ::2] *= -1
    write_images(tmp_path / "a.hdf", [image])
    header = read_header(tmp_path / "a.hdf", 0)
    # half of each sign: the deviation is sqrt(16 / 15) times the largest number, too
    assert (header["square_sum"], header["sigma"], header["mean"]) == (largest, largest, 0)
    assert np.array_equal(read_image(tmp_path / "a.hdf", 0), image)


def test_golden_pixels(golden: Any, golden_dir: Path) -> None:
    entries = golden.select(lambda e: e["kind"] == "file.data" and e["module"].startswith("hdf"))
    assert len(entries) >= 10
    for entry in entries:
        expected = golden.outputs[entry["value"]["array"]]
        with HdfReader(golden_dir / entry["inputs"][0]) as reader:
            found = reader.images()
        found = found[0] if found.shape[1:] == expected.shape else found[: len(expected)]
        np.testing.assert_allclose(found, expected, rtol=0, atol=entry["atol"])


def test_golden_headers(golden: Any, golden_dir: Path) -> None:
    checked = 0
    for entry in golden.select(lambda e: e["kind"] == "file.header" and e["module"] == "hdf"):
        expected = entry["value"]["header"]
        first = int(entry["id"].rsplit(".", 1)[1]) if entry["id"][-1].isdigit() else 0
        for index, wanted in enumerate(expected if isinstance(expected, list) else [expected]):
            header = read_header(golden_dir / entry["inputs"][0], first + index)
            for key, value in wanted.items():
                if isinstance(value, dict):
                    assert isinstance(header[key], EmanTransform), key
                elif isinstance(value, list):
                    assert header_list(header, key) == value, key
                elif isinstance(value, str):
                    assert header[key] == value, key
                else:
                    assert header[key] == pytest.approx(value, rel=1e-5), key
            checked += 1
    assert checked >= 10


def test_header_of_compressed_file_is_not_carried_on(golden_dir: Path, tmp_path: Path) -> None:
    original, copy = golden_dir / "files/stack5_c8.hdf", tmp_path / "copy.hdf"
    write_images(copy, [read_image(original, 0)], [read_header(original, 0)])
    assert not [key for key in read_header(copy, 0) if key.startswith(("stored", "render"))]
    np.testing.assert_array_equal(read_image(copy, 0), read_image(original, 0))


def test_shapes(tmp_path: Path) -> None:
    path = tmp_path / "a.hdf"
    shapes = [(6,), (1, 6), (3, 6), (1, 3, 6), (2, 3, 6)]
    with HdfWriter(path) as writer:
        for shape in shapes:
            writer.append(np.ones(shape))
        assert writer.n_images == 5
    expected = [(6,), (1, 6), (3, 6), (3, 6), (2, 3, 6)]
    with h5py.File(path) as file:  # as EMAN2: one section is an image
        assert [file[f"MDF/images/{index}/image"].shape for index in range(5)] == expected
    with HdfReader(path) as reader:
        assert [reader.image(index).shape for index in range(5)] == expected
        with pytest.raises(FormatError, match=r"a\.hdf: image 1 has shape"):
            reader.images()
        assert reader.images([2, 3]).shape == (2, 3, 6)
    assert read_header(path, 4)["nz"] == 2


def test_bool_as_eman2_writes_it(tmp_path: Path) -> None:
    path = tmp_path / "a.hdf"
    write_images(path, IMAGES[:1])
    with h5py.File(path, "r+") as file:
        for name, letter in (("yes", "T"), ("no", "F")):
            file["MDF/images/0"].attrs[f"EMAN.{name}"] = np.array([ord(letter)], dtype=np.int8)
        file["MDF/images/0"].attrs["EMAN.text"] = "variable length"
    header = read_header(path, 0)
    assert (header["yes"], header["no"], header["text"]) == (True, False, "variable length")


def test_writing_is_several_times_faster_than_high_level_attributes(tmp_path: Path) -> None:
    images = np.random.default_rng(1).normal(size=(200, 64, 64)).astype(np.float32)
    headers = [HEADER | {"projection_image_idx": index} for index in range(200)]
    path = tmp_path / "a.hdf"
    write_images(path, images[:1])  # first use loads types and filters
    begin = time.process_time()
    write_images(path, images, headers)
    ours = time.process_time() - begin
    with HdfReader(path) as reader:
        np.testing.assert_array_equal(reader.images(), images)
        assert header_list(reader.header(199), "projection_image_idx") == [199]
    begin = time.process_time()
    with h5py.File(tmp_path / "b.hdf", "w") as file, h5py.File(path) as source:
        for index in range(20):
            group = file.create_group(f"MDF/images/{index}")
            for key, value in source[f"MDF/images/{index}"].attrs.items():
                group.attrs[key] = value
    theirs = (time.process_time() - begin) * 10
    assert ours < theirs / 2


def test_empty_file(tmp_path: Path) -> None:
    path = tmp_path / "empty.hdf"
    write_images(path, [])
    assert count(path) == 0
    with pytest.raises(FormatError, match=r"empty\.hdf: image 0 .*holds 0"):
        read_image(path, 0)
    with HdfReader(path) as reader, pytest.raises(FormatError, match=r"empty\.hdf: .*no image"):
        reader.images()


def test_damaged_and_foreign_files(tmp_path: Path) -> None:
    good = tmp_path / "good.hdf"
    write_images(good, IMAGES)
    cut = tmp_path / "cut.hdf"
    cut.write_bytes(good.read_bytes()[:3000])
    with pytest.raises(FormatError, match=r"cut\.hdf: not a readable HDF5"):
        count(cut)
    text = tmp_path / "text.hdf"
    text.write_text("no HDF5")
    with pytest.raises(FormatError, match=r"text\.hdf: not a readable HDF5"):
        count(text)
    with h5py.File(tmp_path / "other.hdf", "w") as file:
        file["x"] = 1
    with pytest.raises(FormatError, match=r"other\.hdf: not an EMAN2 file"):
        count(tmp_path / "other.hdf")
    with pytest.raises(FormatError, match=r"none\.hdf: no such file"):
        count(tmp_path / "none.hdf")
    for index in (-1, 3):
        with pytest.raises(FormatError, match=rf"good\.hdf: image {index} "):
            read_image(good, index)
    with h5py.File(good, "r+") as file:
        del file["MDF/images/1"]
        del file["MDF/images/2/image"]
    with pytest.raises(FormatError, match=r"good\.hdf: image 1 "):
        read_header(good, 1)
    with pytest.raises(FormatError, match=r"good\.hdf: image 2 has no pixels"):
        read_image(good, 2)


@pytest.mark.parametrize(
    "value", [2**31, None, {"a": 1}, [[1, 2], [3, 4]], ["a", "b"], "nul\0", 1j, [2**40, 1]]
)
def test_values_without_place_in_a_header(tmp_path: Path, value: object) -> None:
    with pytest.raises(ValueError, match="header item"):
        write_images(tmp_path / "a.hdf", IMAGES[:1], [{"key": value}])


def test_bad_images(tmp_path: Path) -> None:
    with HdfWriter(tmp_path / "a.hdf") as writer:
        for bad in (np.nan, np.inf, -np.inf):
            with pytest.raises(NumericalError, match=r"a\.hdf: not written: image 0"):
                writer.append(np.array([[1.0, bad]]))
        with pytest.raises(ValueError, match="image: expected"):
            writer.append(np.zeros((2, 2, 2, 2)))
        with pytest.raises(ValueError, match="name"):
            writer.append(np.zeros((2, 2)), {"n" * 200: 1})
    with pytest.raises(ValueError, match="shorter"):
        write_images(tmp_path / "b.hdf", IMAGES, [{}])
    with pytest.raises(ValueError, match="matrix"):
        EmanTransform(np.eye(3))


def test_number_of_images_must_be_one_number(tmp_path: Path) -> None:
    path = tmp_path / "a.hdf"
    write_images(path, IMAGES)
    for damaged in (np.array([2, 5], "i4"), np.array([2.0]), np.array([], "i4")):
        with h5py.File(path, "r+") as file:
            file["MDF/images"].attrs["imageid_max"] = damaged
        with pytest.raises(FormatError, match=r"a\.hdf: the file is damaged: imageid_max"):
            HdfReader(path)
    with h5py.File(path, "r+") as file:
        del file["MDF/images"].attrs["imageid_max"]
    assert count(path) == 3


def test_header_items_of_impossible_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.hdf"
    write_images(path, IMAGES[:1], [{"list": list(range(30)), "text": "x" * 90}])
    monkeypatch.setattr(hdf_header, "_MAX_ATTRIBUTE", 30 * 4)
    assert read_header(path, 0)["list"] == list(range(30))
    for limit, name in ((30 * 4 - 1, "list"), (90, "list")):
        monkeypatch.setattr(hdf_header, "_MAX_ATTRIBUTE", limit)
        with pytest.raises(FormatError, match=rf"image 0 is damaged: .*{name}.* impossible size"):
            read_header(path, 0)


def test_heap_without_end(tmp_path: Path) -> None:
    """A free list that leads back to itself: the library would follow it for ever."""
    path = tmp_path / "loop.hdf"
    write_images(path, np.ones((1, 4, 4), np.float32) * np.arange(4, dtype=np.float32))
    content = bytearray(path.read_bytes())
    at = content.index(b"HEAP")
    head, data = at + 16, int.from_bytes(content[at + 24 : at + 32], "little")
    content[head : head + 8] = (8).to_bytes(8, "little")
    content[data + 8 : data + 16] = (8).to_bytes(8, "little")
    path.write_bytes(content)
    with pytest.raises(
        FormatError, match=r"loop\.hdf: damaged HDF5 file: .* free list without end"
    ):
        HdfReader(path)


def test_pixels_that_are_announced_and_not_there(tmp_path: Path) -> None:
    path = tmp_path / "huge.hdf"
    write_images(path, np.ones((1, 4, 4), np.float32) * np.arange(4, dtype=np.float32))
    with h5py.File(path, "r+") as file:
        group = file["MDF/images/0"]
        del group["image"]
        group.create_dataset("image", shape=(1 << 20, 1 << 20), dtype="f4", chunks=(64, 64))
    with pytest.raises(FormatError, match=r"huge\.hdf: image 0 is damaged: .* are announced"):
        read_image(path, 0)
