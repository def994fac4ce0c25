"""Work on particles chunk by chunk, reading one chunk ahead of the one being worked on."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from functools import lru_cache
from itertools import repeat
from typing import Any, TypeVar

from threadpoolctl import ThreadpoolController

from mapsort.array_types import Indices
from mapsort.engines.dask_engine import DaskEngine

T = TypeVar("T")
R = TypeVar("R")
#: Some particles: consecutive ones, or those of a half-set by their numbers.
Rows = slice | Indices
AnyRows = TypeVar("AnyRows", bound=Rows)

#: Bytes of working memory that one chunk of particles may take. The largest array of a chunk, its
#: transforms, stays below 32 MiB: glibc gives larger ones back to the system as soon as they are
#: freed, and the system clears them anew for the next chunk, which takes as long as the transforms.
CHUNK_BYTES = 48 * 2**20
#: Chunks never get longer than this, so that progress is seen and interruption is quick.
LONGEST_CHUNK = 1024


def chunk_length(bytes_per_item: int) -> int:
    """Return how many items make a chunk; it depends on their size only, never on threads."""
    return max(1, min(LONGEST_CHUNK, CHUNK_BYTES // max(1, bytes_per_item)))


def chunk_ranges(n: int, length: int) -> list[slice]:
    """Return consecutive ranges of at most ``length`` items that cover n items."""
    return [slice(first, min(first + length, n)) for first in range(0, n, length)]


def length(where: Rows) -> int:
    """Return how many particles there are in some rows."""
    if isinstance(where, slice):
        return len(range(where.start, where.stop, where.step or 1))
    return len(where)


def read_ahead(read: Callable[[R], T], ranges: Sequence[R]) -> Generator[tuple[R, T], None, None]:
    """Yield (range, read(range)) in order, the next range being read in the background.

    No more than two are in memory where the caller lets go of each before it asks for the next.
    """
    if not ranges:
        return
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="read-ahead") as reader:
        waiting: Future[T] = reader.submit(read, ranges[0])
        for index, this in enumerate(ranges):
            current = waiting.result()
            if index + 1 < len(ranges):
                waiting = reader.submit(read, ranges[index + 1])
            yield this, current
            del current


def over_chunks(
    read: Callable[[AnyRows], T],
    work: Callable[..., R],
    chunks: Sequence[AnyRows],
    *,
    engine: DaskEngine | None = None,
    along: Iterable[tuple[Any, ...]] = repeat(()),
) -> Iterator[tuple[AnyRows, R]]:
    """Yield (rows, work(rows, read(rows), ...)) for chunks of particles, in order.

    Parameters
    ----------
    read, work : callable
        With an engine they are sent to every worker once, and there read and work on chunks.
    engine : DaskEngine, optional
        By default work is done here.
    along : iterable of tuple, optional
        Further arguments of ``work`` for each chunk.
    """
    if engine is None:
        with closing(read_ahead(read, chunks)) as reading:
            for where, more in zip(chunks, along, strict=False):
                # an unnamed argument: nothing here holds it while the next one is asked for
                yield where, work(where, next(reading)[1], *more)
        return
    pieces = zip(chunks, along, strict=False)
    results = engine.in_order(_read_and_work, (read, work), pieces)
    yield from zip(chunks, results, strict=True)


def on_threads(work: Callable[[T], R], pieces: Sequence[T], n_threads: int) -> Iterator[R]:
    """Yield work(piece) for pieces in order, several at the same time.

    Each piece is worked on by one thread, so that results do not depend on how many there are.

    Parameters
    ----------
    work : callable
        Depends on its argument only; numpy in it uses one thread.
    """
    libraries = _libraries(len(sys.modules))
    with libraries.limit(limits=1), ThreadPoolExecutor(n_threads, "piece") as pool:
        yield from pool.map(work, pieces)


@lru_cache(maxsize=1)
def _libraries(n_modules: int) -> ThreadpoolController:  # noqa: ARG001 (what it is kept by)
    """Return what sets the threads of the libraries that so many imported modules have loaded.

    They are found in the list of all that the process has in memory: some milliseconds, which
    searches of short rounds would spend a hundred times over.
    """
    return ThreadpoolController()


def _read_and_work(
    shared: tuple[Callable[[Rows], T], Callable[..., R]], piece: tuple[Rows, tuple[Any, ...]]
) -> R:
    """Do one chunk on a worker."""
    read, work = shared
    where, more = piece
    return work(where, read(where), *more)
