"""How many threads libraries use while a job works."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from threadpoolctl import threadpool_limits


@contextmanager
def thread_limits(n_threads: int) -> Iterator[None]:
    """Let the kernels use some threads while the block lasts, and BLAS one.

    On some processors the last bits of a product of BLAS depend on its number of threads; results
    of mapsort do not.
    """
    with threadpool_limits(n_threads), threadpool_limits(1, "blas"):
        yield
