"""Compressed images: EMAN2's layout, and no pixel moved by more than half a level."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from mapsort.errors import NumericalError
from mapsort.io.hdf import HdfReader, read_header, read_image
from mapsort.io.hdf_writer import HdfWriter, write_images

#: As large as may be while the header's sum of squares is still a float32.
EXTREME = st.floats(-(2.0**59), 2.0**59, width=32, allow_nan=False)
MODEST = st.floats(-100, 100, width=32, allow_nan=False)
SHAPES = st.one_of(
    st.tuples(st.integers(1, 20)),
    st.tuples(st.integers(1, 20), st.integers(1, 9)),
    st.tuples(st.integers(2, 3), st.integers(1, 10), st.integers(1, 5)),
)
IMAGES = st.one_of(
    npst.arrays(np.float32, SHAPES, elements=EXTREME),
    npst.arrays(np.float32, SHAPES, elements=MODEST),
)


@pytest.mark.parametrize("bits", [8, 12])
def test_layout_is_that_of_eman2(tmp_path: Path, golden_dir: Path, bits: int) -> None:
    """The original wrote these very images with so many bits: same items, types and chunks."""
    files = golden_dir / "files"
    copy = tmp_path / "copy.hdf"
    with HdfReader(files / "stack5.hdf") as reader:
        headers = [reader.header(i) for i in range(reader.n_images)]
        write_images(copy, reader.images(), headers, compressbits=bits)
    with h5py.File(files / f"stack5_c{bits}.hdf") as theirs, h5py.File(copy) as ours:
        for index in range(5):
            a, b = theirs[f"MDF/images/{index}"], ours[f"MDF/images/{index}"]
            assert set(b.attrs) == set(a.attrs)
            for key in a.attrs:
                x, y = a.attrs.get_id(key), b.attrs.get_id(key)
                assert (y.shape, y.dtype) == (x.shape, x.dtype), key
            for key in ("datatype", "stored_renderbits", "render_compress_level", "mean", "sigma"):
                np.testing.assert_allclose(
                    b.attrs[f"EMAN.{key}"], a.attrs[f"EMAN.{key}"], rtol=1e-5, err_msg=key
                )
            one, two = a["image"], b["image"]
            assert (two.dtype, two.chunks, two.shape) == (one.dtype, one.chunks, one.shape)
            assert (two.compression, two.compression_opts) == ("gzip", 1)
            assert (one.compression, one.compression_opts) == ("gzip", 1)


@given(bits=st.integers(1, 16), image=IMAGES)
@settings(max_examples=40, deadline=None)
def test_no_pixel_moves_by_more_than_half_a_level(
    tmp_path_factory: pytest.TempPathFactory, bits: int, image: np.ndarray
) -> None:
    path = tmp_path_factory.mktemp("hdf") / "a.hdf"
    write_images(path, [image], compressbits=bits)
    back = read_image(path, 0).astype(np.float64)
    wide = image.astype(np.float64)
    level = (wide.max() - wide.min()) / (2**bits - 1)
    # Both ends of the range are rounded to float32 when they are read back.
    rounding = np.spacing(np.abs(image).max()).astype(np.float64)
    assert back.shape == image.shape
    assert np.abs(back - wide).max() <= level / 2 + rounding
    header = read_header(path, 0)
    assert (header["stored_rendermin"], header["stored_rendermax"]) == (image.min(), image.max())
    assert (header["stored_renderbits"], header["stored_truncated"]) == (bits, 0)


@given(image=IMAGES)
@settings(max_examples=15, deadline=None)
def test_with_zero_bits_nothing_is_lost(
    tmp_path_factory: pytest.TempPathFactory, image: np.ndarray
) -> None:
    path = tmp_path_factory.mktemp("hdf") / "a.hdf"
    write_images(path, [image], compressbits=0)
    np.testing.assert_array_equal(read_image(path, 0), image)
    with h5py.File(path) as file:
        assert file["MDF/images/0/image"].compression == "gzip"
        assert file["MDF/images/0"].attrs["EMAN.datatype"].tolist() == [7]


@pytest.mark.parametrize(("bits", "kind", "number"), [(8, "u1", 2), (9, "<u2", 4), (16, "<u2", 4)])
def test_stored_integers_fill_the_range(tmp_path: Path, bits: int, kind: str, number: int) -> None:
    """The formula that every reader of these files knows, on the integers that h5py gives."""
    image = np.linspace(-3, 5, 24 * 7, dtype=np.float32).reshape(24, 7)
    write_images(tmp_path / "a.hdf", [image], compressbits=bits)
    with h5py.File(tmp_path / "a.hdf") as file:
        group = file["MDF/images/0"]
        stored, attributes = group["image"][()], dict(group.attrs)
    assert stored.dtype == np.dtype(kind)
    assert attributes["EMAN.datatype"].tolist() == [number]
    assert (stored.min(), stored.max()) == (0, 2**bits - 1)
    low, high = (float(attributes[f"EMAN.stored_render{end}"][0]) for end in ("min", "max"))
    value = stored / (2**bits - 1) * (high - low) + low
    np.testing.assert_allclose(value, image, atol=8 / (2**bits - 1) / 2 + 1e-6)
    np.testing.assert_allclose(read_image(tmp_path / "a.hdf", 0), value, rtol=0, atol=1e-6)


def test_constant_image(tmp_path: Path) -> None:
    image = np.full((5, 6), 2.5, np.float32)
    write_images(tmp_path / "a.hdf", [image], compressbits=8)
    np.testing.assert_array_equal(read_image(tmp_path / "a.hdf", 0), image)


def test_a_map_takes_less_space_and_the_same_bytes_each_time(tmp_path: Path) -> None:
    """Noise of 8 bits cannot be deflated below one byte of the four that a float takes."""
    volume = np.random.default_rng(0).normal(size=(32, 32, 32)).astype(np.float32)
    for name, bits in (("plain", None), ("one", 8), ("two", 8)):
        write_images(tmp_path / name, [volume], apix=2.0, compressbits=bits)
    with h5py.File(tmp_path / "one") as file:
        assert file["MDF/images/0/image"].chunks == (1, 8, 32)
        assert file["MDF/images/0/image"].id.get_storage_size() < 1.1 * volume.size
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    assert (tmp_path / "one").stat().st_size < 0.6 * (tmp_path / "plain").stat().st_size
    assert np.abs(read_image(tmp_path / "one", 0) - volume).max() <= np.ptp(volume) / 509


def test_what_cannot_be_compressed(tmp_path: Path) -> None:
    for bits in (-1, 17):
        with pytest.raises(ValueError, match=f"compressbits: expected 0 to 16, got {bits}"):
            HdfWriter(tmp_path / "a.hdf", compressbits=bits)
    assert not (tmp_path / "a.hdf").exists()
    with pytest.raises(NumericalError, match="NaN or infinite"):
        write_images(tmp_path / "b.hdf", [np.array([[1.0, np.nan]])], compressbits=8)
