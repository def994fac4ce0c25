"""Work on other processes and machines, through Dask: the same pieces in the same order."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from mapsort.engines.threads import available_threads
from mapsort.errors import ConfigError, MapsortError, RunError

if TYPE_CHECKING:
    from distributed import Client, Future

T = TypeVar("T")
R = TypeVar("R")

#: Pieces under way for each thread of the workers: enough that none waits for the next.
AHEAD = 3
#: How often a piece is tried elsewhere when its worker is lost or cannot read a file.
RETRIES = 3
#: How long connecting may take [s].
CONNECT_SECONDS = 30


class DaskEngine:
    """Workers of a Dask cluster.

    A piece of work depends on its own input only and results come back in the order of the pieces,
    so that what is made of them is the same, bit for bit, wherever they were done and however
    often.

    Parameters
    ----------
    client : distributed.Client
    name : str
        As the user wrote it, for messages.
    """

    def __init__(self, client: Client, name: str) -> None:
        self._client = client
        self._name = name

    def in_order(
        self, function: Callable[[Any, T], R], shared: object, pieces: Sequence[T]
    ) -> Iterator[R]:
        """Yield ``function(shared, piece)`` for every piece, in order.

        Parameters
        ----------
        function : callable
            Of a module that the workers have.
        shared : object
            Sent to every worker once.
        pieces : sequence
            Small inputs.

        Raises
        ------
        RunError
            Workers or the scheduler were lost, and the work could not be done elsewhere.
        MapsortError
            What a piece raised.
        """
        with self._losses_told():
            sent = self._client.scatter(shared, broadcast=True, hash=False)
            waiting: deque[Future] = deque()
            left = iter(pieces)
            try:
                for _ in range(max(2, AHEAD * sum(self.tasks_at_once().values()))):
                    self._submit_next(function, sent, left, waiting)
                while waiting:
                    result = waiting.popleft().result()
                    self._submit_next(function, sent, left, waiting)
                    yield result
            finally:
                # Also when the caller stops early: nothing goes on in the background.
                self._client.cancel(list(waiting))

    def on_each_worker(self, function: Callable[..., R], *args: object) -> dict[str, R]:
        """Return ``function(*args)`` of every worker by the worker's address."""
        with self._losses_told():
            found: dict[str, R] = self._client.run(function, *args)
            return found

    def tasks_at_once(self) -> dict[str, int]:
        """Return how many pieces each worker does at a time, by the worker's address."""
        return dict(self._client.nthreads())

    def _submit_next(
        self,
        function: Callable[[Any, T], R],
        sent: Future,
        left: Iterator[T],
        waiting: deque[Future],
    ) -> None:
        for piece in left:
            waiting.append(self._client.submit(function, sent, piece, pure=False, retries=RETRIES))
            return

    @contextmanager
    def _losses_told(self) -> Iterator[None]:
        from asyncio import CancelledError as LoopCancelledError
        from concurrent.futures import CancelledError

        from distributed.client import FutureCancelledError
        from distributed.comm.core import CommClosedError
        from distributed.scheduler import KilledWorker, NoWorkerError

        try:
            yield
        except MapsortError:
            raise
        except (KilledWorker, NoWorkerError) as error:
            raise RunError(
                f"--parallel={self._name}: workers were lost, {RETRIES} and more of them at the "
                "same work; their logs tell why (memory?)"
            ) from error
        except (
            CommClosedError,
            CancelledError,
            LoopCancelledError,
            FutureCancelledError,
            TimeoutError,
        ) as error:
            raise RunError(f"--parallel={self._name}: the Dask scheduler was lost") from error


@contextmanager
def dask_engine(name: str, *, address: str | None, n_local: int | None) -> Iterator[DaskEngine]:
    """Connect to a Dask scheduler, or start workers on this machine, while the block lasts.

    Parameters
    ----------
    name : str
        As the user wrote it.
    address : str or None
        Of an existing scheduler.
    n_local : int or None
        Number of worker processes to start here instead; they share the threads of this process.

    Raises
    ------
    ConfigError
        Dask is not installed, or the scheduler does not answer or has no workers.
    """
    try:
        from distributed import Client, LocalCluster
    except ImportError as error:
        raise ConfigError(
            f"--parallel={name}: Dask is not installed; pip install 'mapsort[dask]'"
        ) from error
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    if n_local is not None:
        with (
            LocalCluster(
                n_workers=n_local,
                threads_per_worker=1,
                processes=True,
                dashboard_address=None,
                memory_limit=0,
                silence_logs=logging.CRITICAL,
                env={"OMP_NUM_THREADS": str(max(1, available_threads() // n_local))},
            ) as cluster,
            Client(cluster, set_as_default=False) as client,
        ):
            yield DaskEngine(client, name)
        return
    try:
        client = Client(address, timeout=CONNECT_SECONDS, set_as_default=False)
    except (OSError, TimeoutError) as error:
        raise ConfigError(
            f"--parallel={name}: no Dask scheduler answers there; is it running, and is the port "
            "open from here?"
        ) from error
    with client:
        if not client.nthreads():
            raise ConfigError(f"--parallel={name}: the Dask scheduler has no workers yet")
        yield DaskEngine(client, name)
