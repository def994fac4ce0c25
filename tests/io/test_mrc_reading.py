"""Reading from stacks: any images in any order, in few reads, into any array."""

from __future__ import annotations

import itertools
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import mrcfile
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mapsort.errors import FormatError
from mapsort.io import mrc_stack
from mapsort.io.mrc import read_map, write_map, write_stack
from mapsort.io.mrc_stack import MrcStack

N = 9
STACK = (np.arange(N * 3 * 5) % 97).reshape(N, 3, 5).astype(np.float32)


@pytest.fixture(scope="module", params=["float32", "int16"])
def stack(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> MrcStack:
    """The same images as they are written here, and as integers, which are converted."""
    path = tmp_path_factory.mktemp("stack") / f"{request.param}.mrcs"
    if request.param == "float32":
        write_stack(path, STACK, 1.0)
    else:
        with mrcfile.new(path) as file:
            file.set_data(STACK.astype(np.int16))
            file.set_image_stack()
    return MrcStack(path)


@given(
    indices=st.lists(st.integers(0, N - 1), max_size=12),
    images_at_once=st.integers(0, 4),
    contiguous=st.booleans(),
)
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_images_in_any_order(
    stack: MrcStack,
    monkeypatch: pytest.MonkeyPatch,
    indices: list[int],
    images_at_once: int,
    contiguous: bool,
) -> None:
    for limit in ("_BLOCK_BYTES", "_CACHED_BYTES"):
        monkeypatch.setattr(mrc_stack, limit, images_at_once * stack.header.section_bytes + 1)
    np.testing.assert_array_equal(stack.read(indices), STACK[indices])
    room = np.zeros((len(indices), 3, 5 if contiguous else 10), np.float32)
    into = room if contiguous else room[:, :, ::2]
    seen: list[np.ndarray[Any, Any]] = []
    stack.read_into(into, np.array(indices, np.int64), inspect=lambda part: seen.append(+part))
    np.testing.assert_array_equal(into, STACK[indices])
    np.testing.assert_array_equal(np.concatenate([*seen, into[:0]]), STACK[indices])
    stack.read_into(into, np.array(indices[::-1], np.int64))
    np.testing.assert_array_equal(into, STACK[indices[::-1]])


def test_every_range(stack: MrcStack) -> None:
    for first, last in itertools.combinations_with_replacement(range(N), 2):
        wanted = range(first, last + 1)
        np.testing.assert_array_equal(stack.read(list(wanted)), STACK[first : last + 1])
        np.testing.assert_array_equal(stack.read(wanted[::-1]), STACK[first : last + 1][::-1])
    np.testing.assert_array_equal(stack.read(slice(None, None, -2)), STACK[::-2])
    assert (stack.n_images, stack.box) == (N, (3, 5))
    assert repr(stack) == f"MrcStack({str(stack.path)!r}, n_images=9, box=(3, 5))"


@pytest.mark.parametrize("most", [1, 7, 61])
def test_the_system_may_give_less_than_was_asked_for(
    stack: MrcStack, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    read = os.preadv

    def reluctant(descriptor: int, buffers: Sequence[memoryview], at: int) -> int:
        return read(descriptor, [buffers[0][:most]], at)

    monkeypatch.setattr(os, "preadv", reluctant)
    np.testing.assert_array_equal(stack.read([4, 5, 1]), STACK[[4, 5, 1]])


def test_runs_are_read_in_blocks_of_two_mebibytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Images of 16 KiB: one read for 128 of them, however many are asked for."""
    path = tmp_path / "a.mrcs"
    write_stack(path, np.zeros((200, 64, 64), np.float32), 1.0)
    stack, read, asked = MrcStack(path), os.preadv, []

    def counted(descriptor: int, buffers: Sequence[memoryview], at: int) -> int:
        asked.append(len(buffers[0]) // (64 * 64 * 4))
        return read(descriptor, buffers, at)

    monkeypatch.setattr(os, "preadv", counted)
    stack.read(slice(None))
    assert asked == [128, 72]
    # What is looked at while it is in the cache comes in parts of half a mebibyte.
    images, seen = np.empty((70, 64, 64), np.float32), []
    stack.read_into(images, np.arange(70), inspect=lambda part: seen.append(len(part)))
    assert seen == [32, 32, 6]


def test_images_larger_than_a_block(tmp_path: Path) -> None:
    path = tmp_path / "a.mrcs"
    images = np.arange(2 * 740 * 730, dtype=np.float32).reshape(2, 740, 730)
    write_stack(path, images, 1.0)
    np.testing.assert_array_equal(MrcStack(path).read([1, 0]), images[::-1])
    back = np.empty_like(images)
    MrcStack(path).read_into(back, np.arange(2))
    np.testing.assert_array_equal(back, images)


@pytest.mark.parametrize("axes", list(itertools.permutations((1, 2, 3))))
def test_every_order_of_axes(tmp_path: Path, axes: tuple[int, int, int]) -> None:
    """Density that grows with 1 x + 10 y + 100 z, stored with columns, rows, sections as told."""
    sides = {1: 2, 2: 3, 3: 4}
    columns, rows, sections = (np.arange(sides[axis]) * 10.0 ** (axis - 1) for axis in axes)
    stored = sections[:, None, None] + rows[:, None] + columns
    path = tmp_path / "a.mrc"
    write_map(path, stored, 1.0)
    with mrcfile.open(path, "r+") as file:
        file.header.mapc, file.header.mapr, file.header.maps = axes
    z, y, x = np.ogrid[:4, :3, :2]
    np.testing.assert_array_equal(read_map(path)[0], x + 10 * y + 100 * z)


@pytest.mark.parametrize("shape", [(4, 4, 2), (4, 2, 4), (2, 4, 4)])
def test_any_odd_side_is_not_cubic(tmp_path: Path, shape: tuple[int, int, int]) -> None:
    path = tmp_path / "a.mrc"
    write_map(path, np.ones(shape), 1.0)
    with pytest.raises(FormatError, match=f"the map is {shape[2]} x {shape[1]} x {shape[0]} vox"):
        read_map(path, cubic=True)


@pytest.mark.parametrize(
    ("voxel", "cubic"),
    [
        ((10.0, 10.0, 10.0), True),
        ((10.0, 10.0, 10.09), True),
        ((10.09, 10.0, 10.0), True),
        ((10.0, 10.0, 10.11), False),
        ((10.0, 9.89, 10.0), False),
        ((0.2, 0.2, 0.1), False),
        ((0.0, 10.0, 10.0), True),  # not stated
        ((0.0, 0.0, 0.0), True),
    ],
)
def test_sides_of_voxels_may_differ_by_one_percent(
    tmp_path: Path, voxel: tuple[float, ...], cubic: bool
) -> None:
    path = tmp_path / "a.mrc"
    write_map(path, np.ones((4, 4, 4)), 1.0)
    with mrcfile.open(path, "r+") as file:
        file.header.cella = tuple(4 * side for side in voxel)
    if cubic:
        assert read_map(path, cubic=True)[1] == (voxel[0] or 1.0)
    else:
        listed = " x ".join(f"{side:g}" for side in voxel)
        with pytest.raises(FormatError, match=f"the voxels are {listed} A; cubic ones"):
            read_map(path, cubic=True)


def test_statistics_of_a_stack_written_in_chunks(tmp_path: Path) -> None:
    """The extremes of chunks of their own: the lowest comes last, the highest first."""
    images = -STACK[:, :, :4] + 0.25
    path = tmp_path / "a.mrcs"
    assert write_stack(path, iter([images[0], images[1:4], images[4:]]), 2.0) == N
    with mrcfile.open(path) as file:
        assert file.data.shape == (N, 3, 4)
        found = [float(file.header[name]) for name in ("dmin", "dmax", "dmean", "rms")]
    expected = [images.min(), images.max(), images.mean(), images.std(dtype=np.float64)]
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize("value", [0.1, 0.3, 0.7, 1e-3, 1e6 / 3, -2.0])
def test_a_constant_map_has_no_deviation(tmp_path: Path, value: float) -> None:
    """Rounding makes the mean square a little less than the square of the mean, or more."""
    write_map(tmp_path / "a.mrc", np.full((3, 5, 7), value), 1.0)
    with mrcfile.open(tmp_path / "a.mrc") as file:
        assert file.header.rms == pytest.approx(0.0, abs=1e-7 * abs(value))


@pytest.mark.parametrize("apix", [0.0, -1.0, np.nan, np.inf])
def test_pixel_sizes_that_cannot_be(tmp_path: Path, apix: float) -> None:
    for write in (write_map, write_stack):
        with pytest.raises(ValueError, match=f"apix: expected a positive pixel size .* got {apix}"):
            write(tmp_path / "a.mrc", STACK, apix)


def test_images_that_are_no_stack(tmp_path: Path) -> None:
    path = tmp_path / "a.mrcs"
    for odd in ([np.ones(4)], [np.ones((1, 2, 3, 4))], [STACK[:2], STACK[:2, :2]]):
        with pytest.raises(ValueError, match=r"images: expected .* like the first, got"):
            write_stack(path, odd, 1.0)
    with pytest.raises(ValueError, match=r"images: nothing to write to .*a\.mrcs"):
        write_stack(path, [], 1.0)
    with pytest.raises(ValueError, match=r"data: expected \(nz, ny, nx\), got \(9, 15\)"):
        write_map(path, STACK.reshape(9, 15), 1.0)
    with pytest.raises(ValueError, match=r"data: expected \(nz, ny, nx\), got \(1, 9, 3, 5\)"):
        write_map(path, STACK[None], 1.0)


def test_a_stack_that_is_gone_when_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.mrcs"
    write_stack(path, STACK, 1.0)
    stack = MrcStack(path)
    path.unlink()
    with pytest.raises(FormatError, match=r"a\.mrcs: no such file\."):
        stack.read([0])


@pytest.mark.parametrize("outside", [[N], [-1], [0, N + 3], [2, -2]])
def test_the_first_image_outside_is_told(stack: MrcStack, outside: list[int]) -> None:
    number = outside[-1] + 1
    for read in (
        stack.read,
        lambda k: stack.read_into(np.empty((len(k), 3, 5), np.float32), np.array(k)),
    ):
        with pytest.raises(FormatError, match=rf"image {number} was asked for, but .* holds 9\."):
            read(outside)
    assert stack.read([]).shape == (0, 3, 5)
