"""Files that are put together without the HDF5 library are files of the HDF5 library."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from mapsort.io import hdf_objects
from mapsort.io.hdf_header import EmanTransform
from mapsort.io.hdf_writer import HdfWriter, write_images

RNG = np.random.default_rng(9)
HEADER: dict[str, Any] = {
    "model_id": 3,
    "score": 0.25,
    "mean_of_all": np.float32(1.5),
    "class_ptcl_src": "particles.star",
    "class_ptcl_idxs": list(range(700)),
    "weights": [0.5, 1.5],
    "xform.projection": EmanTransform(np.eye(3, 4)),
}


def stored(group: h5py.Group) -> dict[str, tuple[object, ...]]:
    """Type in the file, extent and bytes of every attribute."""
    items = {}
    for name in group.attrs:
        attribute = group.attrs.get_id(name)
        values = np.empty(attribute.shape, attribute.dtype)
        attribute.read(values)
        kind, space = attribute.get_type(), attribute.get_space()
        extent = space.get_simple_extent_type(), space.get_simple_extent_dims()
        items[name] = (kind.encode(), extent, values.tobytes())
    return items


@pytest.mark.parametrize("shape", [(5,), (3, 5), (2, 3, 5), (7, 9)])
def test_headers_and_pixels_are_those_that_the_library_writes(
    tmp_path: Path, shape: tuple[int, ...]
) -> None:
    """Images that are deflated are written by the library, and only the way of storage differs."""
    image = RNG.normal(size=shape).astype(np.float32)
    write_images(tmp_path / "own.hdf", [image], [HEADER])
    write_images(tmp_path / "library.hdf", [image], [HEADER], compressbits=0)
    with h5py.File(tmp_path / "own.hdf") as own, h5py.File(tmp_path / "library.hdf") as other:
        found, wanted = own["MDF/images/0"], other["MDF/images/0"]
        items = stored(found)
        for name in ("EMAN.stored_renderbits", "EMAN.render_compress_level"):
            items[name] = stored(wanted)[name]
        assert items == stored(wanted)
        assert found["image"].dtype == wanted["image"].dtype == np.dtype("<f4")
        np.testing.assert_array_equal(found["image"][()], image)
        assert found["image"].chunks is None
        assert stored(own["MDF/images"]) == stored(other["MDF/images"])


# 8 names a leaf, 32 leaves a node: one and two leaves, one node and two, two levels above them
@pytest.mark.parametrize("n_images", [0, 1, 8, 9, 256, 257, 8193])
def test_every_image_is_found_by_its_name(tmp_path: Path, n_images: int) -> None:
    path = tmp_path / "a.hdf"
    with HdfWriter(path) as writer:
        for number in range(n_images):
            writer.append(np.full(2, number, np.float32))
    with h5py.File(path) as file:
        images = file["MDF/images"]
        assert images.attrs["imageid_max"].tolist() == [n_images - 1]
        assert list(images) == sorted(map(str, range(n_images)))
        for number in {0, n_images // 2, n_images - 1} & set(range(n_images)):
            assert images[f"{number}/image"][:].tolist() == [number, number]
        assert str(n_images) not in images
        assert "-1" not in images


def test_the_library_goes_on_with_the_file(tmp_path: Path) -> None:
    """EMAN2 appends to files and changes their headers."""
    path = tmp_path / "a.hdf"
    images = RNG.normal(size=(300, 4, 4)).astype(np.float32)
    write_images(path, images, [HEADER] * 300)
    with h5py.File(path, "r+") as file:
        group = file["MDF/images"]
        for number in range(300, 700):
            group.create_group(str(number)).create_dataset("image", data=images[number - 400])
        del group["17"], group["18"].attrs["EMAN.model_id"], group["19/image"]
        group["20"].attrs["EMAN.list"] = np.arange(900)
        group["21/image"][0] = 7.0
    with h5py.File(path) as file:
        group = file["MDF/images"]
        assert set(group) == set(map(str, range(700))) - {"17"}
        assert "EMAN.model_id" not in group["18"].attrs
        assert len(group["20"].attrs["EMAN.list"]) == 900
        np.testing.assert_array_equal(group["21/image"][0], 7.0)
        for number in (0, 16, 299):
            np.testing.assert_array_equal(group[f"{number}/image"][()], images[number])
        np.testing.assert_array_equal(group["699/image"][()], images[299])


def test_objects_begin_at_multiples_of_eight() -> None:
    data, header = hdf_objects.group([(b"a", 8), (b"b" * 9, 16)], [], 800)
    assert len(data) % 8 == 0
    assert header % 8 == 0
    assert 800 < header < 800 + len(data)
    assert hdf_objects.SUPERBLOCK_BYTES % 8 == 0


def test_a_longer_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.hdf"
    write_images(path, np.ones((50, 8, 8)))
    write_images(path, np.ones((1, 2, 2)))
    with h5py.File(path) as file:
        assert list(file["MDF/images"]) == ["0"]
        assert path.stat().st_size == file.id.get_filesize() < 1 << 13
