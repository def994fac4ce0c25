"""Pictures: which way is up, what is bright, and that no pixel is lost."""

from __future__ import annotations

import base64
import io

import numpy as np
from PIL import Image

from mapsort.io.png import (
    central_slices,
    data_uri,
    grey,
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
