"""Writing EMAN2's HDF: parts, statistics, space on disk, and what an item may be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mapsort.errors import NumericalError
from mapsort.io.hdf import read_header, read_image
from mapsort.io.hdf_header import EmanTransform, header_list, read_attributes
from mapsort.io.hdf_writer import DiskSpace, HdfWriter, write_images

RNG = np.random.default_rng(5)
STATISTICS = (
    "mean",
    "sigma",
    "minimum",
    "maximum",
    "square_sum",
    "mean_nonzero",
    "sigma_nonzero",
)


@given(
    shape=st.tuples(st.integers(1, 9), st.integers(1, 5)),
    at_once=st.integers(1, 10),
    zeros=st.floats(0, 1),
)
@settings(max_examples=30)
def test_rows_at_a_time_make_the_image_that_is_written_at_once(
    tmp_path_factory: pytest.TempPathFactory,
    shape: tuple[int, int],
    at_once: int,
    zeros: float,
) -> None:
    path = tmp_path_factory.mktemp("hdf") / "a.hdf"
    image = RNG.normal(size=shape).astype(np.float32)
    image[RNG.uniform(size=shape) < zeros] = 0
    asked: list[slice] = []

    def rows(where: slice) -> np.ndarray[Any, Any]:
        asked.append(where)
        return image[where].astype(np.float64)

    with HdfWriter(path, apix=2.5) as writer:
        writer.append(image)
        writer.append_rows(shape, rows, at_once=at_once)
        writer.append(image)
        assert writer.n_images == 3
    for index in range(3):
        np.testing.assert_array_equal(read_image(path, index), image)
    once, parts = read_header(path, 0), read_header(path, 1)
    # sums of parts are rounded in another order
    assert parts == pytest.approx(once, rel=1e-6, abs=1e-6)
    assert once["apix_x"] == 2.5
    assert max(part.stop - part.start for part in asked) <= at_once


@given(st.lists(st.floats(-100, 100, width=32), min_size=1, max_size=12))
def test_statistics_are_numpys(
    tmp_path_factory: pytest.TempPathFactory, values: list[float]
) -> None:
    """Deviations by n - 1, of one pixel 0; those of the pixels that are not 0 by their number."""
    path = tmp_path_factory.mktemp("hdf") / "a.hdf"
    image = np.array(values, np.float32)
    write_images(path, [image])
    wide, total = image.astype(np.float64), len(values)
    n = int(np.count_nonzero(image))
    sums = wide.sum(), (wide**2).sum()

    def sigma(number: int) -> float:
        if number < 2:
            return 0.0
        return float(np.sqrt(max(0.0, sums[1] - sums[0] ** 2 / number) / (number - 1)))

    expected = {
        "mean": wide.mean(),
        "sigma": sigma(total),
        "minimum": wide.min(),
        "maximum": wide.max(),
        "square_sum": sums[1],
        "mean_nonzero": sums[0] / n if n else 0.0,
        "sigma_nonzero": sigma(n),
    }
    found = read_header(path, 0)
    # sums of squares up to 1e5: a deviation is the root of a difference of such
    assert {key: found[key] for key in STATISTICS} == pytest.approx(expected, rel=1e-4, abs=1e-3)
    assert (found["nx"], found["ny"], found["nz"]) == (total, 1, 1)


@pytest.mark.parametrize("value", [0.1, 0.3, -0.7, 1e-3, 1e5 / 3])
def test_a_constant_image_has_no_deviation(tmp_path: Path, value: float) -> None:
    write_images(tmp_path / "a.hdf", [np.full((5, 7), value, np.float32)])
    assert read_header(tmp_path / "a.hdf", 0)["sigma"] == pytest.approx(0, abs=1e-7 * abs(value))


@pytest.mark.parametrize("shape", [(0, 4), (4, 0), (-1, 4)])
def test_rows_and_columns_are_needed(tmp_path: Path, shape: tuple[int, int]) -> None:
    with HdfWriter(tmp_path / "a.hdf") as writer:
        with pytest.raises(ValueError, match="image: expected rows and columns, got"):
            writer.append_rows(shape, lambda _: np.zeros((1, 1)), at_once=1)
        for empty in (np.zeros(0), np.zeros((2, 0))):
            with pytest.raises(ValueError, match="image: expected 1 to 3 dimensions, got"):
                writer.append(empty)
        assert writer.n_images == 0


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("row", [0, 2])
def test_bad_pixels_are_met_in_every_part(tmp_path: Path, bad: float, row: int) -> None:
    image = np.ones((3, 4))
    image[row, 1] = bad
    with HdfWriter(tmp_path / "a.hdf") as writer:
        writer.append(np.ones((3, 4)))
        with pytest.raises(NumericalError) as caught:
            writer.append_rows((3, 4), lambda where: image[where], at_once=1)
        assert str(caught.value) == (
            f"{tmp_path / 'a.hdf'}: not written: image 1 holds NaN or infinite values."
        )


@pytest.mark.parametrize("bits", [None, 0, 8])
def test_space_is_reserved_before_it_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bits: int | None
) -> None:
    """Enough for every image with its header, and not many times as much.

    Without it a full disk ends the process. The longest list that HDF5 keeps takes 64 kB.
    """
    path = tmp_path / "a.hdf"
    asked: list[int] = []
    checked: list[int] = []
    monkeypatch.setattr(DiskSpace, "reach", lambda _, size: asked.append(size))
    monkeypatch.setattr(DiskSpace, "check", lambda path, size: (path.touch(), checked.append(size)))
    images = [np.zeros((2, 2)), RNG.normal(size=(2, 150, 200)), np.zeros((3, 3)), np.zeros(2)]
    headers: list[dict[str, Any]] = [
        {},
        {},
        {"class_ptcl_idxs": list(range(16_000)), "score": [0.5] * 16_000},
        {"text": "x" * 60_000},
    ]
    with HdfWriter(path, compressbits=bits) as writer:
        before = writer._file.get_filesize()
        assert before <= checked[0] <= 1 << 18
        for number, (image, header) in enumerate(zip(images, headers, strict=True)):
            writer.append(image, header)
            after = writer._file.get_filesize()
            assert after <= asked[number]
            assert asked[number] - before <= 16 * (after - before) + (1 << 18)
            before = after
    assert header_list(read_header(path, 2), "class_ptcl_idxs") == list(range(16_000))


def test_closing_twice_is_no_harm(tmp_path: Path) -> None:
    writer = HdfWriter(tmp_path / "a.hdf")
    writer.append(np.ones((2, 2)))
    writer.close()
    writer.close()
    # What was reserved and not needed has been given back.
    assert (tmp_path / "a.hdf").stat().st_size < 1 << 14
    with h5py.File(tmp_path / "a.hdf") as file:
        assert file["MDF/images"].attrs["imageid_max"].tolist() == [0]


def test_items_that_describe_how_pixels_were_stored_are_not_carried_on(tmp_path: Path) -> None:
    header = {"stored_renderbits": 8, "render_bits": 3, "datatype": 2, "storedness": 4}
    write_images(tmp_path / "a.hdf", [np.ones((2, 2))], [{**header, "nx": 77, "apix_y": 3}])
    found = read_header(tmp_path / "a.hdf", 0)
    assert not {"stored_renderbits", "render_bits"} & set(found)
    assert (found["datatype"], found["storedness"], found["nx"]) == (7, 4, 2)
    assert (found["apix_x"], found["apix_y"]) == (1.0, 3.0)
    for key in ("is_complex", "is_complex_ri", "changecount", "all_int"):
        assert found[key] == 0


def test_limits_of_items(tmp_path: Path) -> None:
    """HDF5 keeps names of 127 bytes, five of which are "EMAN."; integers have 32 bits."""
    path, image = tmp_path / "a.hdf", np.ones((2, 2))
    longest = "é" * 61
    good = {
        longest: 1,
        "n": 1,
        "low": -(2**31),
        "high": 2**31 - 1,
        "ends": [-(2**31), 2**31 - 1],
        "flags": [True, False],
        "numpy": np.int16(5),
        "wide": np.float64(0.1),
        "array": np.array([1.5, 2.5]),
        "tuple": (1, 2, 3),
        "no": np.bool_(False),
    }
    write_images(path, [image], [good])
    found = read_header(path, 0)
    assert {key: found[key] for key in good} == {
        **good,
        "flags": [1, 0],
        "array": [1.5, 2.5],
        "tuple": [1, 2, 3],
    }
    for item, message in (
        ({"": 1}, "the name must have 1 to 122 bytes"),
        ({longest + "x": 1}, "the name must have 1 to 122 bytes"),
        ({"k": 2**31}, "header item 'k': a number does not fit into 32 bits"),
        ({"k": -(2**31) - 1}, "header item 'k': a number does not fit into 32 bits"),
        ({"k": [0, 2**31]}, "header item 'k': a number does not fit into 32 bits"),
        ({"k": [-(2**31) - 1, 0]}, "header item 'k': a number does not fit into 32 bits"),
        ({"k": np.ones((2, 2))}, r"header item 'k': expected one dimension, got \(2, 2\)"),
        ({"k": ["a"]}, "header item 'k': a list may hold integers or floats only"),
        ({"k": {1}}, "header item 'k': set cannot be kept in a header"),
        ({"k": "a\0b"}, "header item EMAN.k: the text holds a NUL character"),
    ):
        with pytest.raises(ValueError, match=message):
            write_images(path, [image], [item])


def test_items_of_other_programs(tmp_path: Path) -> None:
    """Attributes that EMAN2 did not write, or not in its own way."""
    path = tmp_path / "a.hdf"
    write_images(path, [np.ones((2, 2))])
    with h5py.File(path, "r+") as file:
        attributes = file["MDF/images/0"].attrs
        attributes["CLASS"] = 1
        attributes["EMAN.none"] = np.array([], "f4")
        attributes["EMAN.double"] = np.array([0.1, 0.2])
        attributes["EMAN.scalar"] = np.int64(2**40)
        attributes["EMAN.fixed"] = np.bytes_(b"six\0ty")
        attributes["EMAN.square"] = np.arange(4).reshape(2, 2)
        found = read_attributes(file["MDF/images/0"].id, lambda name: name != "apix_x")
        assert not {"CLASS", "", "apix_x"} & set(found)
        assert (found["none"], found["double"], found["scalar"]) == ([], [0.1, 0.2], 2**40)
        assert (found["fixed"], found["square"]) == ("six", [0, 1, 2, 3])
        attributes["EMAN.odd"] = np.zeros(1, dtype=[("a", "<f4"), ("b", "<f4")])
        with pytest.raises(ValueError, match=r"header item EMAN\.odd is of no known type"):
            read_attributes(file["MDF/images/0"].id)


def test_transforms_are_values() -> None:
    one, same, other = EmanTransform(np.eye(3, 4)), EmanTransform(np.eye(3, 4)), np.eye(3, 4)
    assert one == same
    assert len({one, same, EmanTransform(2 * other)}) == 2
    assert one != EmanTransform(2 * other)
    assert (one == "text") is False
    with pytest.raises(ValueError, match="read-only"):
        one.matrix[0, 0] = 2
    with pytest.raises(ValueError, match=r"matrix: expected \(3, 4\), got \(4, 4\)"):
        EmanTransform(np.eye(4))


@pytest.mark.parametrize("value", [[7] * 16_128, "x" * 64_512], ids=["list", "text"])
def test_the_largest_items_of_a_header(tmp_path: Path, value: list[int] | str) -> None:
    """63 KiB: HDF5 keeps no more in the version that every EMAN2 reads."""
    image = np.ones((2, 2), np.float32)
    write_images(tmp_path / "a.hdf", [image], [{"item": value}])
    assert read_header(tmp_path / "a.hdf", 0)["item"] == value
    with pytest.raises(ValueError, match=r"header item EMAN\.item: 645\d\d bytes, and 64512 is"):
        write_images(tmp_path / "b.hdf", [image], [{"item": value + value[:1]}])


ITEMS = st.fixed_dictionaries(
    {"ptcl_repr": st.integers(0, 2), "apix_x": st.sampled_from([1.0, 2.5])},
    optional={
        "class_ptcl_idxs": st.lists(st.integers(0, 9), max_size=3),
        "note": st.sampled_from(["one", "other"]),
        "value": st.sampled_from([0.0, -0.0, 1.5, np.float32(1.5), True, 2]),
        "xform.projection": st.sampled_from([EmanTransform(np.eye(3, 4) * s) for s in (1, 2)]),
    },
)


@given(st.lists(ITEMS, min_size=1, max_size=12))
@settings(max_examples=40, deadline=None)
def test_headers_of_many_images_are_those_of_each_alone(
    tmp_path_factory: pytest.TempPathFactory, headers: list[dict[str, Any]]
) -> None:
    """Of what kind those before were must not matter: types, bits and texts are an image's own."""
    place = tmp_path_factory.mktemp("hdf")
    images = RNG.normal(size=(len(headers), 3, 4)).astype(np.float32)
    write_images(place / "all.hdf", images, headers)
    for index, (image, header) in enumerate(zip(images, headers, strict=True)):
        write_images(place / "one.hdf", [image], [header])
        with h5py.File(place / "all.hdf") as every, h5py.File(place / "one.hdf") as one:
            found, wanted = every[f"MDF/images/{index}"], one["MDF/images/0"]
            assert _stored(found) == _stored(wanted)
            np.testing.assert_array_equal(found["image"][()], image)


def _stored(group: h5py.Group) -> dict[str, tuple[str, bytes]]:
    """Return type and bytes of each item."""
    items = {}
    for name in group.attrs:
        attribute = group.attrs.get_id(name)
        values = np.empty(attribute.shape, attribute.dtype)
        attribute.read(values)
        items[name] = (str(attribute.dtype), values.tobytes())
    return items
