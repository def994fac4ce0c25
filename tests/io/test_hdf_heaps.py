"""Free lists of name heaps, made byte by byte: which have no end, and which are no matter."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from mapsort.errors import FormatError
from mapsort.io import hdf_heaps
from mapsort.io.hdf_heaps import refuse_looped_heaps

END = 1


def heap(
    blocks: dict[int, int], *, first: int, segment: int = 96, at: int = 0, size: int | None = None
) -> bytes:
    """A heap at byte `at` of a file: its head, then its segment; offset of block → next block."""
    address = at + 32
    room = bytearray(segment if size is None else size)
    for offset, following in blocks.items():
        room[offset : offset + 16] = struct.pack("<QQ", following, 16)
    return b"HEAP\0\0\0\0" + struct.pack("<QQQ", segment, first, address) + bytes(room)


def is_refused(path: Path, content: bytes) -> bool:
    path.write_bytes(content)
    try:
        refuse_looped_heaps(path)
    except FormatError:
        return True
    return False


@pytest.mark.parametrize(
    ("blocks", "first", "looped"),
    [
        ({}, END, False),
        ({0: END}, 0, False),
        ({0: 16, 16: 48, 48: END}, 0, False),
        ({48: 16, 16: 80, 80: END}, 48, False),
        ({0: 0}, 0, True),
        ({16: 16}, 16, True),
        ({16: 48, 48: 16}, 16, True),
        ({16: 48, 48: 80, 80: 48}, 16, True),
        # The last block that fits into the segment of 96 bytes, and the first that does not.
        ({80: 80}, 80, True),
        ({81: 81}, 81, False),
        ({16: 1 << 60}, 16, False),
    ],
)
def test_lists_that_lead_back_to_themselves(
    tmp_path: Path, blocks: dict[int, int], first: int, looped: bool
) -> None:
    # The file goes on behind the segment.
    content = heap(blocks, first=first, size=256)
    assert is_refused(tmp_path / "a.hdf", content) is looped


def test_what_the_file_does_not_hold_is_not_followed(tmp_path: Path) -> None:
    """A block may end with the file, and not behind it; a head as well."""
    path = tmp_path / "a.hdf"
    whole = heap({80: 80}, first=80, segment=1000, size=96)
    assert is_refused(path, whole)
    assert not is_refused(path, whole[:-1])
    for size in (8, 9, 31, 32):
        assert not is_refused(path, whole[:size])


def test_every_heap_of_a_file_is_looked_at(tmp_path: Path) -> None:
    path = tmp_path / "a.hdf"
    good = heap({16: END}, first=16)
    bad = heap({16: 16}, first=16, at=len(good) + 3)
    path.write_bytes(good + b"..." + bad + heap({}, first=END))
    with pytest.raises(FormatError) as caught:
        refuse_looped_heaps(path)
    assert str(caught.value) == (
        f"{path}: damaged HDF5 file: the heap at byte {len(good) + 3} has a free list without end. "
        "Copy the file again."
    )
    # Heaps may stand at the very beginning, and one directly behind another.
    assert is_refused(path, heap({16: 16}, first=16))
    assert is_refused(path, good + heap({16: 16}, first=16, at=len(good)))


def test_files_that_are_not_looked_through(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.hdf"
    looped = heap({16: 16}, first=16)
    assert hdf_heaps._LARGEST_BYTES == 256 * 2**20
    monkeypatch.setattr(hdf_heaps, "_LARGEST_BYTES", len(looped))
    assert is_refused(path, looped)
    assert not is_refused(path, looped + b"\0")
    assert not is_refused(path, b"")
    assert not is_refused(path, b"H")
    with pytest.raises(FormatError, match=r"none\.hdf: no such file\."):
        refuse_looped_heaps(tmp_path / "none.hdf")
