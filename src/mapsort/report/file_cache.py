"""What was made from a file is kept until the file changes: a live report redoes little."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")


class FileCache:
    """Results by file and purpose; a changed modification time or size makes one anew."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, Path], tuple[tuple[int, int], Any]] = {}

    def get(self, purpose: str, path: Path, make: Callable[[Path], T]) -> T:
        """Return ``make(path)``, from an earlier call if the file is still the same."""
        status = path.stat()
        mark = (status.st_mtime_ns, status.st_size)
        known = self._kept.get((purpose, path))
        if known is None or known[0] != mark:
            known = (mark, make(path))
            self._kept[purpose, path] = known
        result: T = known[1]
        return result
