"""Pictures: which way is up, what is bright, and that no pixel is lost."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image

from mapsort.io.png import (
    central_slices,
    data_uri,
    grey,
    grey_range,
    map_strips,
    montage,
    png,
    projections,
    shrunk,
)


def test_slices_and_sums_go_along_z_y_x() -> None:
    volume = np.random.default_rng(0).normal(size=(6, 7, 8)).astype(np.float32)
    cut, flat = central_slices(volume), projections(volume)
    np.testing.assert_array_equal(cut[0], volume[3])
    np.testing.assert_array_equal(cut[1], volume[:, 3])
    np.testing.assert_array_equal(cut[2], volume[:, :, 4])
    for axis, image in enumerate(flat):
        np.testing.assert_allclose(image, volume.sum(axis=axis), rtol=1e-5, atol=1e-5)


def test_bright_is_dense_and_y_grows_upward() -> None:
    image = np.zeros((20, 20))
    image[2, 5] = 1.0
    picture = grey(image)
    assert picture[17, 5] == picture.max() == 252
    assert picture[0, 0] == 0


def test_a_constant_image_is_black() -> None:
    assert not grey(np.full((4, 4), 7.0)).any()


def test_montage_and_png_keep_every_pixel() -> None:
    pictures = [np.full((3, 4), 40 * i, dtype=np.uint8) for i in range(5)]
    sheet = np.asarray(Image.open(io.BytesIO(png(montage(pictures, columns=3, gap=1)))))
    assert sheet.shape == (7, 14)
    for number, picture in enumerate(pictures):
        y, x = (number // 3) * 4, (number % 3) * 5
        np.testing.assert_array_equal(sheet[y : y + 3, x : x + 4], picture)
    assert (sheet[3] == 255).all()
    assert (sheet[:, 4] == 255).all()


def test_large_pictures_are_averaged_down() -> None:
    picture = np.zeros((64, 64), dtype=np.uint8)
    picture[::2] = 200
    small = shrunk(picture, 32)
    assert small.shape == (32, 32)
    assert (small == 100).all()
    assert shrunk(picture, 64) is picture


def test_strips_of_a_map() -> None:
    volume = np.random.default_rng(0).normal(size=(24, 24, 24)).astype(np.float32)
    for strip in map_strips(volume, 16):
        assert Image.open(io.BytesIO(strip)).size == (3 * 16 + 4, 16)
    uri = data_uri(b"abc")
    kind, _, content = uri.partition(",")
    assert kind == "data:image/png;base64"
    assert base64.b64decode(content) == b"abc"


def test_one_in_a_thousand_pixels_may_be_cut_off_at_each_end() -> None:
    ramp = np.random.default_rng(0).permutation(1001.0 * np.arange(1001)).reshape(7, 143)
    assert grey_range(ramp) == pytest.approx((1001.0, 999 * 1001.0))
    assert grey_range(np.full((3, 3), 7.0)) == (7.0, 8.0)


def test_grey_levels_are_multiples_of_four_between_the_limits() -> None:
    """63 steps of 4 from black to 252; what lies beyond the limits is black or that."""
    densities = np.array([[-9.0, -1.0, 0.0, 0.5, 1.0, 9.0]])
    np.testing.assert_array_equal(grey(densities, (-1.0, 1.0)), [[0, 0, 128, 188, 252, 252]])
    np.testing.assert_array_equal(grey(densities, (0.0, 2.0)), [[0, 0, 0, 64, 128, 252]])
    levels = grey(np.linspace(0, 1, 2000)[None], (0.0, 1.0))
    assert np.unique(levels).tolist() == list(range(0, 256, 4))
    assert levels.dtype == np.uint8


@pytest.mark.parametrize(
    ("shape", "largest", "expected"),
    [
        ((100, 50), 25, (25, 12)),
        ((50, 100), 25, (12, 25)),
        ((100, 1), 10, (10, 1)),
        ((2, 300), 30, (1, 30)),
        ((40, 31), 40, (40, 31)),
        ((41, 30), 40, (40, 29)),
    ],
)
def test_both_sides_shrink_alike(
    shape: tuple[int, int], largest: int, expected: tuple[int, int]
) -> None:
    picture = np.full(shape, 203, dtype=np.uint8)
    small = shrunk(picture, largest)
    assert small.shape == expected
    if shape == expected:
        assert small is picture
    else:
        assert (small == 200).all()  # a multiple of four again


@pytest.mark.parametrize(
    ("number", "columns", "gap", "shape"),
    [
        (1, 3, 2, (3, 5)),
        (2, 3, 2, (3, 12)),
        (3, 3, 2, (3, 19)),
        (4, 3, 2, (8, 19)),
        (6, 2, 0, (9, 10)),
    ],
)
def test_a_sheet_is_as_large_as_its_pictures(
    number: int, columns: int, gap: int, shape: tuple[int, int]
) -> None:
    pictures = [np.full((3, 5), k, dtype=np.uint8) for k in range(number)]
    sheet = montage(pictures, columns=columns, gap=gap)
    assert sheet.shape == shape
    assert [(sheet == k).sum() for k in range(number)] == [15] * number
    assert (sheet == 255).sum() == sheet.size - 15 * number
    assert (
        montage(pictures, columns=columns).shape == montage(pictures, columns=columns, gap=2).shape
    )


def test_slices_of_a_strip_have_one_scale_and_sums_each_its_own() -> None:
    """A plane at half the density of the centre: grey where all three share their limits."""
    volume = np.zeros((20, 20, 20), dtype=np.float32)
    volume[:, :, 10] = 1.0  # the slice seen along x is all of it
    volume[10, :, 10] = 2.0
    slices, sums = (np.asarray(Image.open(io.BytesIO(strip))) for strip in map_strips(volume, 20))
    assert slices.shape == sums.shape == (20, 64)
    along_z, along_y, along_x = slices[:, :20], slices[:, 22:42], slices[:, 44:]
    assert (along_z[:, 10] == 252).all()
    assert np.delete(along_z, 10, axis=1).max() == 0
    assert (along_x[9] == 252).all()  # row 10 from below
    np.testing.assert_array_equal(np.unique(np.delete(along_x, 9, axis=0)), [128])
    np.testing.assert_array_equal(np.unique(along_y[np.arange(20) != 9][:, 10]), [128])
    # Along x the sum of one layer is that layer, from black to white again.
    assert set(np.unique(sums[:, 44:])) == {0, 252}
