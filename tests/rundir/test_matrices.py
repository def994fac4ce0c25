"""A classification matrix read back; other files are refused."""

from __future__ import annotations

import numpy as np
import pytest

from mapsort.errors import FormatError
from mapsort.io.hdf_writer import write_images
from mapsort.rundir.matrices import map_starts, read_matches, read_members


@pytest.mark.parametrize("shape", [(5, 1), (5, 3), (1, 2)])
def test_matrices(tmp_path, shape):
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 9, shape), rng.integers(0, 2, shape), *rng.normal(size=(5, *shape))]
    images[5] = rng.integers(0, 2, shape)
    path = tmp_path / "cls.hdf"
    write_images(path, images)
    found, matches = read_members(path), read_matches(path)
    np.testing.assert_array_equal(found.class_of, images[0])
    np.testing.assert_array_equal(found.used, images[1] == 1)
    assert (found.weight == 1).all()
    np.testing.assert_array_equal(matches.reference, images[0])
    for name, image in zip(("dx", "dy", "alpha", "mirror"), images[2:6], strict=True):
        np.testing.assert_allclose(getattr(matches, name), image, rtol=1e-6)


def test_files_that_are_no_matrices(tmp_path):
    path = tmp_path / "a.hdf"
    with pytest.raises(FormatError, match="no such file"):
        read_members(path)
    write_images(path, [np.zeros((4, 1))])
    with pytest.raises(FormatError, match="1 images; a classification matrix has at least"):
        read_members(path)
    write_images(path, [np.zeros((4, 1)), np.zeros((5, 1))])
    with pytest.raises(FormatError, match="images differ in shape"):
        read_members(path)


@pytest.mark.parametrize("counts", [[3], [2, 4], [1, 0, 2], [0, 3], [3, 0]])
def test_map_starts(tmp_path, counts):
    path = tmp_path / "projections.hdf"
    model = np.repeat(np.arange(1, len(counts) + 1), counts)
    headers = [{"model_id": int(m)} for m in model]
    write_images(path, np.zeros((len(model), 4, 4)), headers)
    expected = [0, *np.cumsum(counts)]
    assert map_starts(path, len(counts)).tolist() == expected


def test_images_without_a_map_number(tmp_path):
    write_images(tmp_path / "a.hdf", np.zeros((3, 4, 4)))
    with pytest.raises(FormatError, match="model_id"):
        map_starts(tmp_path / "a.hdf", 2)
