"""Notice when a file that a run reads is replaced while it runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mapsort.errors import FormatError, RunError
from mapsort.rundir.manifest import InputRecord, record_input


@dataclass
class InputWatch:
    """The input files as they were when the run began.

    Size, time of change and place on the disk are compared; only where these differ is the
    checksum, so that a file that was merely touched does no harm.
    """

    #: From the run's manifest.
    records: Sequence[InputRecord]
    _seen: dict[str, tuple[int, ...]] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self._seen = {record.path: _status(record.path) for record in self.records}

    def check(self) -> None:
        """Compare all files with what they were."""
        for record in self.records:
            now = _status(record.path)
            if now == self._seen[record.path]:
                continue
            try:
                same = record_input(record.path).sha256 == record.sha256
            except FormatError as error:
                raise RunError(f"input file lost during the run: {error}") from error
            if not same:
                raise RunError(
                    f"{record.path}: was changed or replaced during the run; put the old file back"
                )
            self._seen[record.path] = now


def _status(path: str) -> tuple[int, ...]:
    """Return what changes with a file's content; nothing for a file that is not there."""
    if not Path(path).exists():
        return ()
    status = Path(path).stat()
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
