"""Do one thing after another in the background, so that writing files does not stop the work."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType


class Background:
    """Runs jobs in the order given, one at a time, beside the caller.

    A job's error is raised at the next call or when the block is left; leaving the block waits
    for all jobs, also after an error of the block itself, which then takes precedence.
    """

    def __init__(self) -> None:
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="background")
        self._last: Future[None] | None = None

    def __enter__(self) -> Background:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._worker.shutdown(wait=True)
        if error is None and self._last is not None:
            self._last.result()

    def submit(self, job: Callable[[], None]) -> None:
        """Start a job once the one before has ended; wait for that one."""
        if self._last is not None:
            self._last.result()
        self._last = self._worker.submit(job)
