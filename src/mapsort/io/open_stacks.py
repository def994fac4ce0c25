"""A bounded number of open image stacks, shared by the threads of a process."""

from __future__ import annotations

import threading
from collections import OrderedDict
from pathlib import Path

from mapsort.io.image_stack import ImageStack, open_stack


class OpenStacks:
    """Keeps the stacks used last open, at most ``limit`` of them.

    A data set may lie in ten thousand files, and a process may open about a thousand. Pickling
    takes the limit along and no files.

    Parameters
    ----------
    limit : int, optional
        Largest number of open stacks.

    Raises
    ------
    ValueError
        The limit is less than one.
    """

    def __init__(self, limit: int = 64) -> None:
        if limit < 1:
            raise ValueError(f"limit: expected at least 1, got {limit}")
        self._limit = limit
        self._stacks: OrderedDict[Path, ImageStack] = OrderedDict()
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[type[OpenStacks], tuple[int]]:
        return OpenStacks, (self._limit,)

    def __len__(self) -> int:
        return len(self._stacks)

    def get(self, path: Path) -> ImageStack:
        """Return a stack, opening it if need be and forgetting the one not used for longest.

        It stays usable for who holds it, also after it was forgotten here.

        Raises
        ------
        FormatError
            The file cannot be opened as a stack.
        """
        with self._lock:
            stack = self._stacks.get(path)
            if stack is None:
                stack = open_stack(path)
                self._stacks[path] = stack
            self._stacks.move_to_end(path)
            while len(self._stacks) > self._limit:
                self._stacks.popitem(last=False)
            return stack
