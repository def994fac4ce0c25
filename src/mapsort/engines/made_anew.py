"""Objects that travel to other processes as the call that makes them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class MadeAnew(Generic[T]):
    """Something made when it is first needed, and once in every process that needs it.

    For what is large, or no plain data, and follows from little: projections follow from maps.

    Parameters
    ----------
    make : callable
        Picklable; makes the object.
    """

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._made: list[T] = []
        self._lock = threading.Lock()

    @property
    def value(self) -> T:
        """The object."""
        with self._lock:
            if not self._made:
                self._made.append(self._make())
            return self._made[0]

    def __reduce__(self) -> tuple[type[MadeAnew[T]], tuple[Callable[[], T]]]:
        return MadeAnew, (self._make,)
