"""Images that begin as copies of one another are those that are written each by itself."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from mapsort.io import hdf_copies
from mapsort.io.hdf_writer import HdfWriter, write_images

RNG = np.random.default_rng(7)


def mixed_images(large: int) -> list[np.ndarray]:
    """Images of three sizes in turn, one of them too large to be copied."""
    shapes = [(3, 4), (large, 8), (5,)] * 4
    return [RNG.normal(size=shape).astype(np.float32) for shape in shapes]


def parts(path: Path, index: int) -> tuple[object, ...]:
    """Return what an image's object holds and how its pixels lie in the file."""
    with h5py.File(path) as file:
        group = file[f"MDF/images/{index}"]
        pixels = group["image"]
        items = {name: np.asarray(value).tolist() for name, value in group.attrs.items()}
        layout = pixels.id.get_create_plist()
        times = layout.get_obj_track_times()
        return (
            sorted(group),
            items,
            str(pixels.id.get_type().dtype),
            layout.get_layout(),
            times,
            pixels[()].tobytes(),
        )


@pytest.mark.parametrize("compressbits", [None, 0, 5])
def test_images_of_several_sizes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compressbits: int | None
) -> None:
    monkeypatch.setattr(hdf_copies, "_MOST_COPIED", 100)
    images = mixed_images(large=40)
    headers = [{"model_id": number // 5, "note": "same"} for number in range(len(images))]
    write_images(tmp_path / "all.hdf", images, headers, compressbits=compressbits)
    for index, image in enumerate(images):
        write_images(tmp_path / "one.hdf", [image], [headers[index]], compressbits=compressbits)
        assert parts(tmp_path / "all.hdf", index) == parts(tmp_path / "one.hdf", 0)


def test_more_kinds_than_are_kept(tmp_path: Path) -> None:
    """Texts that differ from image to image make kinds of their own; memory stays bounded."""
    images = RNG.normal(size=(400, 2, 2)).astype(np.float32)
    with HdfWriter(tmp_path / "all.hdf") as writer:
        for number, image in enumerate(images):
            writer.append(image, {"note": f"image {number // 2}"})
    for number in (0, 1, 126, 127, 128, 129, 398, 399):
        write_images(tmp_path / "one.hdf", [images[number]], [{"note": f"image {number // 2}"}])
        assert parts(tmp_path / "all.hdf", number) == parts(tmp_path / "one.hdf", 0)


def test_files_of_copies_are_of_the_oldest_version(tmp_path: Path) -> None:
    """As EMAN2 of any age reads them: superblock 0, groups with symbol tables."""
    write_images(tmp_path / "all.hdf", RNG.normal(size=(3, 4, 4)).astype(np.float32))
    raw = (tmp_path / "all.hdf").read_bytes()
    assert raw[8] == 0
    # a heap, a tree and a table of names for each image and the three groups above
    assert raw.count(b"HEAP") == raw.count(b"TREE") == 3 + 3
    assert raw.count(b"OHDR") == 0


def test_an_image_that_is_refused_leaves_nothing_behind(tmp_path: Path) -> None:
    """Items before the one that does not fit were brought up to date already."""
    image = RNG.normal(size=(2, 2)).astype(np.float32)
    first = {"ptcl_repr": 1, "model_id": 1}
    with HdfWriter(tmp_path / "all.hdf") as writer:
        writer.append(image, first)
        writer.append(image, first)
        with pytest.raises(ValueError, match="model_id"):
            writer.append(image, {"ptcl_repr": 2, "model_id": 2**40})
        writer.append(image, first)
    assert parts(tmp_path / "all.hdf", 2) == parts(tmp_path / "all.hdf", 0)
