"""Chunks are read one ahead of the one in work, and no further."""

from __future__ import annotations

import weakref
from concurrent.futures import Future
from typing import ClassVar

import numpy as np
import pytest

from mapsort.engines.chunks import chunk_ranges, over_chunks, read_ahead


class Images:
    """What is read of a chunk; how many there are is known."""

    alive: ClassVar[weakref.WeakSet[Images]] = weakref.WeakSet()

    def __init__(self, where: slice) -> None:
        self.where = where
        self.alive.add(self)


class ReadsAtOnce:
    """A reading thread that is never late: it reads while the work waits for it."""

    def __init__(self, **_named):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *_error):
        pass

    def submit(self, read, where):
        done = Future()
        done.set_result(read(where))
        return done


def test_a_chunk_is_let_go_before_the_one_after_the_next_is_read(monkeypatch):
    """The memory of a run must not hang on how the reading thread and the work take turns."""
    monkeypatch.setattr("mapsort.engines.chunks.ThreadPoolExecutor", ReadsAtOnce)
    others = []

    def read(where):
        others.append(len(Images.alive))
        return Images(where)

    chunks = chunk_ranges(100, 10)
    found = list(over_chunks(read, lambda where, images: images.where == where, chunks))
    assert found == [(where, True) for where in chunks]
    # the first one meets none, and each other one the one that is in work
    assert others == [0] + [1] * 9
    assert not Images.alive


def test_results_come_in_order_with_their_own_arguments():
    chunks = chunk_ranges(25, 10)
    along = ((number,) for number in range(3))
    found = over_chunks(lambda where: np.arange(25)[where], _told, chunks, along=along)
    assert list(found) == [
        (slice(0, 10), (0, 9, 0)),
        (slice(10, 20), (10, 19, 1)),
        (slice(20, 25), (20, 24, 2)),
    ]


def _told(_where, numbers, more):
    return int(numbers[0]), int(numbers[-1]), more


def test_what_fails_in_reading_or_in_work_comes_out():
    def read(where):
        if where.start == 20:
            raise OSError("gone")
        return where

    with pytest.raises(OSError, match="gone"):
        list(over_chunks(read, lambda where, _: where, chunk_ranges(30, 10)))
    with pytest.raises(ZeroDivisionError):
        list(over_chunks(lambda where: where, lambda *_: 1 // 0, chunk_ranges(30, 10)))
    assert list(read_ahead(read, [])) == []
