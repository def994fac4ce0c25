"""One process per run directory: ``run.lock`` says which."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from mapsort.errors import ConfigError

#: What file systems answer that do not know locks; the file's content must do then.
_NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS)


@dataclass(frozen=True)
class LockHolder:
    """The process that works in a run directory."""

    host: str
    pid: int
    #: When the process began, in the kernel's count since boot: a process number is given to
    #: another process some day, but not with the same start. Empty where the system has no /proc.
    started: str

    @classmethod
    def here(cls) -> LockHolder:
        """Return this process."""
        return cls(platform.node(), os.getpid(), _start_of(os.getpid()))

    def is_gone(self) -> bool:
        """Whether it is a process of this host that does not run any more."""
        if self.host != platform.node():
            return False
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            return False  # another user's, and alive
        return self.started != _start_of(self.pid)


@contextmanager
def run_lock(path: str | Path) -> Iterator[LockHolder | None]:
    """Hold a run directory while the block lasts.

    The kernel's lock on the file tells processes of one host (and, on most network file systems,
    of several) apart, and ends with its process however that ends. The file's content tells where
    it does not reach: a process of another host is believed to run until the file is deleted.

    Yields
    ------
    LockHolder or None
        The process that left the lock behind when it was killed, if one did.

    Raises
    ------
    ConfigError
        Another process works in the directory, or one of another host may; the message says which.
    """
    path = Path(path)
    descriptor = _opened(path)
    try:
        before = _holder(descriptor)
        if before is not None and not before.is_gone():
            raise _refusal(path, before)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps(asdict(LockHolder.here())).encode(), 0)
        try:
            yield before
        finally:
            path.unlink(missing_ok=True)
    finally:
        os.close(descriptor)


def killed_holder(path: str | Path) -> LockHolder | None:
    """Return the process that left a lock behind when it was killed; the lock is not taken.

    None where there is no lock, where its process runs, and where that cannot be known because it
    is another host's.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except (FileNotFoundError, PermissionError):
        return None
    try:
        holder = _holder(descriptor)
    finally:
        os.close(descriptor)
    return holder if holder is not None and holder.is_gone() else None


def _opened(path: Path) -> int:
    """Open the lock file and lock it."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                holder = _holder(descriptor)
                os.close(descriptor)
                if isinstance(error, BlockingIOError):
                    raise _refusal(path, holder) from None
                raise
        # The holder may have deleted the file between our opening and locking it.
        try:
            if os.path.samestat(os.fstat(descriptor), path.stat()):
                return descriptor
        except FileNotFoundError:
            pass  # it has: try again with a new file
        os.close(descriptor)


def _holder(descriptor: int) -> LockHolder | None:
    """Read who holds the lock; None when the file is new, or its writer was killed in writing."""
    try:
        return LockHolder(**json.loads(os.pread(descriptor, 4096, 0)))
    except (ValueError, TypeError):
        return None


def _refusal(path: Path, holder: LockHolder | None) -> ConfigError:
    if holder is None:
        return ConfigError(f"{path.parent}: already in use by another process")
    text = f"{path.parent}: already in use by process {holder.pid} on {holder.host}"
    if holder.host != platform.node():
        text += f"\nif it does not run any more, delete {path} and try again"
    return ConfigError(text)


def _start_of(pid: int) -> str:
    """Return when a process began, in clock ticks since boot; empty if that cannot be known."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    # The second field is the program's name in brackets, which may hold anything.
    return text.rpartition(")")[2].split()[19]
