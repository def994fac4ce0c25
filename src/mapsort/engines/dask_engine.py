"""Work on other processes and machines, through Dask: the same pieces in the same order."""

from __future__ import annotations

import asyncio
import logging
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent import futures
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from mapsort.engines.resources import available_threads
from mapsort.errors import ConfigError, RunError

if TYPE_CHECKING:
    from distributed import Client, Future

T = TypeVar("T")
R = TypeVar("R")

#: Pieces under way for each thread of the workers: enough that none waits for the next.
AHEAD = 3
#: How often a piece is tried elsewhere when its worker is lost or cannot read a file.
RETRIES = 3
#: How often one looks whether the scheduler is still there while waiting for a result [s].
ASK_SECONDS = 10.0
#: A cluster without workers, or whose workers have nothing to do, while results are waited for, is
#: given up after so many such looks: workers lost shortly after each other may leave it so. Our own
#: are started again in seconds; those of a queue may come back when it lets them.
MOST_IDLE, MOST_IDLE_ELSEWHERE = 12, 180
#: How long connecting may take [s].
CONNECT_SECONDS = 30
#: For workers of our own: nobody reads Dask's profile, and looking at themselves many times a
#: second takes some percent of a core each. A busy machine must not make them count as lost: that
#: their process has ended is seen without asking them.
LOCAL_SETTINGS = {
    "distributed.worker.profile.enabled": False,
    "distributed.admin.tick.interval": "1s",
    "distributed.admin.system-monitor.interval": "5s",
    "distributed.scheduler.worker-ttl": None,
}


class DaskEngine:
    """Workers of a Dask cluster.

    A piece of work depends on its own input only and results come back in the order of the pieces,
    so that what is made of them is the same, bit for bit, wherever they were done and however
    often.

    Parameters
    ----------
    name : str
        As the user wrote it, for messages.
    most_idle : int
        Looks at a cluster that does nothing, `ASK_SECONDS` apart, before it is given up.
    """

    def __init__(self, client: Client, name: str, *, most_idle: int = MOST_IDLE) -> None:
        self._client, self._name, self._most_idle = client, name, most_idle

    def in_order(
        self, function: Callable[[Any, T], R], shared: object, pieces: Iterable[T]
    ) -> Iterator[R]:
        """Yield ``function(shared, piece)`` for every piece, in order.

        Parameters
        ----------
        function : callable
            Of a module that the workers have.
        shared : object
            Sent to every worker that does some of the work, once.
        pieces : iterable
            Small inputs; taken as workers become free.

        Raises
        ------
        RunError
            Workers or the scheduler were lost, and the work could not be done elsewhere.
        MapsortError
            What a piece raised.
        """
        from distributed.scheduler import KilledWorker, NoWorkerError

        waiting: deque[Future] = deque()
        left = iter(pieces)
        try:
            sent = self._sent(shared)
            for _ in range(max(2, AHEAD * sum(self.tasks_at_once().values()))):
                self._submit_next(function, sent, left, waiting)
            while waiting:
                result = self._result(waiting.popleft())
                self._submit_next(function, sent, left, waiting)
                yield result
        except (KilledWorker, NoWorkerError) as error:
            raise RunError(
                f"--parallel={self._name}: several workers in a row were lost at the same work; "
                "their logs tell why (memory?)"
            ) from error
        except self._losses() as error:
            raise self._lost() from error
        finally:
            # Also when the caller stops early: nothing goes on in the background.
            if waiting and self._client.status == "running":
                self._client.cancel(list(waiting))

    def _sent(self, shared: object) -> Future:
        """Send to the workers what all pieces need.

        As the result of a task: it is made again when the workers that had it are lost.
        """
        import cloudpickle

        with warnings.catch_warnings():
            # "large graph": maps and CTFs are meant to go through the scheduler, once.
            warnings.simplefilter("ignore", UserWarning)
            return self._client.submit(cloudpickle.loads, cloudpickle.dumps(shared), pure=False)

    def _result(self, future: Future) -> Any:
        """Wait for a result as long as the scheduler is there and something is under way."""
        idle = 0
        while True:
            try:
                return future.result(timeout=ASK_SECONDS)
            except TimeoutError:
                if future.done() or self._client.status != "running":
                    raise
                idle = 0 if any(self._client.processing().values()) else idle + 1
            if idle == self._most_idle:
                minutes = idle * ASK_SECONDS / 60
                raise RunError(
                    f"--parallel={self._name}: work is left and no worker did any for "
                    f"{minutes:.0f} minutes; workers were lost, and their logs tell why (memory?)"
                )

    def on_each_worker(self, function: Callable[..., R], *args: object) -> dict[str, R]:
        """Return ``function(*args)`` of every worker by the worker's address."""
        try:
            found: dict[str, R] = self._client.run(function, *args)
        except self._losses() as error:
            raise self._lost() from error
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

    def _lost(self) -> RunError:
        return RunError(f"--parallel={self._name}: the Dask scheduler was lost")

    @staticmethod
    def _losses() -> tuple[type[BaseException], ...]:
        """Return what is raised when a connection, or data on a worker, is lost."""
        from distributed.client import FutureCancelledError
        from distributed.comm.core import CommClosedError

        return (
            CommClosedError,
            futures.CancelledError,
            asyncio.CancelledError,
            FutureCancelledError,
            TimeoutError,
        )


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
        import dask
        from distributed import Client, LocalCluster
    except ImportError as error:
        raise ConfigError(
            f"--parallel={name}: Dask is not installed; pip install 'mapsort[dask]'"
        ) from error
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    if n_local is not None:
        with (
            dask.config.set(LOCAL_SETTINGS),
            LocalCluster(
                n_workers=n_local,
                threads_per_worker=1,
                processes=True,
                dashboard_address="127.0.0.1:0",
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
        yield DaskEngine(client, name, most_idle=MOST_IDLE_ELSEWHERE)
