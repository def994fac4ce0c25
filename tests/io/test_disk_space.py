"""Space is reserved in steps before a library writes, and what was not used is given back."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from mapsort.io.hdf_writer import DiskSpace

MIB = 1 << 20

pytestmark = pytest.mark.skipif(
    not hasattr(os, "posix_fallocate"), reason="this system cannot reserve space"
)


def test_more_is_reserved_than_asked_for_and_given_back(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"begun")
    space = DiskSpace(path)
    for asked, reserved in ((1, 1), (MIB, 1), (MIB + 1, 2), (5 * MIB, 6), (3, 6)):
        space.reach(asked)
        assert path.stat().st_size == reserved * MIB
    # Blocks, not only a size: a file of nothing but a size can still meet a full disk.
    assert path.stat().st_blocks * 512 >= 6 * MIB
    space.release_from(5)
    assert path.read_bytes() == b"begun"
    space.release_from(10)
    assert path.stat().st_size == 5


def test_a_check_leaves_an_empty_file(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"what was there")
    DiskSpace.check(path, 3 * MIB)
    assert path.read_bytes() == b""


def test_a_full_disk_is_told_with_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, int]] = []

    def full(_descriptor: int, begin: int, length: int) -> None:
        asked.append((begin, length))
        if begin:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    path = tmp_path / "a"
    path.touch()
    space = DiskSpace(path)
    space.reach(10)
    with pytest.raises(OSError, match="No space left") as caught:
        space.reach(2 * MIB)
    assert (caught.value.errno, caught.value.filename) == (errno.ENOSPC, str(path))
    # Only what is new is asked for, and again after it failed.
    with pytest.raises(OSError, match="No space left"):
        space.reach(2 * MIB)
    assert asked == [(0, MIB), (MIB, 2 * MIB), (MIB, 2 * MIB)]
