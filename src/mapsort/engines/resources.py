"""What this process may use of its machine: threads, memory, and the memory it has freed."""

from __future__ import annotations

import ctypes
import os
import platform
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path, PurePosixPath

from mapsort.errors import ConfigError

Reader = Callable[[Path], float | None]


def group_limits(
    controller: str, *, version_2: Reader, version_1: Reader, root: Path = Path("/")
) -> Iterator[float]:
    """Yield the limit of every control group that holds this process.

    Parameters
    ----------
    controller : str
        ``cpu`` or ``memory``.
    version_2, version_1 : callable
        Read a limit from the directory of a group of cgroup v2 or v1; None where there is none.
    root : Path
        Where ``proc`` and ``sys`` are found; for tests.

    Yields
    ------
    float
        In the readers' unit.
    """
    listing = root / "proc/self/cgroup"
    if not listing.is_file():
        return
    mount = root / "sys/fs/cgroup"
    for line in listing.read_text().splitlines():
        _, controllers, group = line.split(":", 2)
        if not controllers:
            yield from _walk(mount, group, version_2)
        elif controller in controllers.split(","):
            yield from _walk(mount / controllers, group, version_1)
            if controllers != controller:
                yield from _walk(mount / controller, group, version_1)


def _walk(mount: Path, group: str, read: Reader) -> Iterator[float]:
    """Read a group and its parents: a limit anywhere above binds as well.

    Inside a container the mount may already be the group itself, so that the path named by
    ``/proc/self/cgroup`` does not exist below it; the walk then still reads the mount.
    """
    path = PurePosixPath(group.lstrip("/"))
    for part in [path, *path.parents]:
        limit = read(mount / part)
        if limit is not None:
            yield limit


_PAGE_COUNTER_MAX = 2**60  # cgroup v1 writes a number near 2**63 where there is no limit


def available_memory(*, root: Path = Path("/")) -> int:
    """Return the memory that this process can take now [bytes].

    The smaller of what the system calls available and what the control groups' limits leave.

    Parameters
    ----------
    root : Path
        Where ``proc`` and ``sys`` are found; for tests.

    Returns
    -------
    int
        Not below 0; on systems without ``/proc`` the installed memory.
    """
    left = group_limits("memory", version_2=_left_v2, version_1=_left_v1, root=root)
    return max(0, min([_system_memory(root), *(int(size) for size in left)]))


def _system_memory(root: Path) -> int:
    file = root / "proc/meminfo"
    if file.is_file():
        for line in file.read_text().splitlines():
            name, _, value = line.partition(":")
            if name == "MemAvailable":
                return int(value.split()[0]) * 1024
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _left_v2(group: Path) -> float | None:
    limit, used = group / "memory.max", group / "memory.current"
    if not (limit.is_file() and used.is_file()):
        return None
    written = limit.read_text().strip()
    return None if written == "max" else int(written) - int(used.read_text())


def _left_v1(group: Path) -> float | None:
    limit, used = group / "memory.limit_in_bytes", group / "memory.usage_in_bytes"
    if not (limit.is_file() and used.is_file()):
        return None
    size = int(limit.read_text())
    return None if size > _PAGE_COUNTER_MAX else size - int(used.read_text())


def available_threads(*, environ: Mapping[str, str] | None = None, root: Path = Path("/")) -> int:
    """Return the number of threads this process should use when none is asked for.

    ``OMP_NUM_THREADS`` wins; otherwise the smaller of the CPU affinity and the cgroup's CPU quota
    (v1 or v2), at least 1. A fractional quota is rounded down: with more threads than quota the
    kernel stops all of them for part of every period, and each parallel region waits.

    Parameters
    ----------
    environ : mapping, optional
        Environment variables; the process's own by default.
    root : Path
        Where ``proc`` and ``sys`` are found; for tests.

    Returns
    -------
    int
        At least 1.

    Raises
    ------
    ConfigError
        When ``OMP_NUM_THREADS`` is set and is not a positive whole number (or a list of them, of
        which the first, the outermost level, counts).
    """
    asked = (os.environ if environ is None else environ).get("OMP_NUM_THREADS", "").strip()
    if asked:
        first = asked.split(",")[0].strip()
        if not first.isascii() or not first.isdigit() or int(first) < 1:
            raise ConfigError(f"OMP_NUM_THREADS={asked}: expected a whole number from 1")
        return int(first)
    return usable_cores(root=root)


def usable_cores(*, root: Path = Path("/")) -> int:
    """Return the cores that affinity and cgroup leave to this process, at least 1.

    Parameters
    ----------
    root : Path
        Where ``proc`` and ``sys`` are found; for tests.
    """
    return max(1, min([_affinity(), *(int(quota) for quota in _quotas(root))]))


def _affinity() -> int:
    # macOS has no affinity call.
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _quotas(root: Path) -> Iterator[float]:
    """Yield the CPU quota, in CPUs, of every cgroup that holds this process."""
    return group_limits("cpu", version_2=_quota_v2, version_1=_quota_v1, root=root)


def _quota_v2(group: Path) -> float | None:
    file = group / "cpu.max"
    if not file.is_file():
        return None
    quota, period = file.read_text().split()
    return None if quota == "max" else int(quota) / int(period)


def _quota_v1(group: Path) -> float | None:
    quota_file, period_file = group / "cpu.cfs_quota_us", group / "cpu.cfs_period_us"
    if not (quota_file.is_file() and period_file.is_file()):
        return None
    quota = int(quota_file.read_text())
    return None if quota < 0 else quota / int(period_file.read_text())


#: glibc's numbers of the two settings.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
#: Larger arrays go back to the system as soon as they are freed, and what is free at the end of the
#: others' memory where it is more than this.
_MMAP_BYTES, _TRIM_BYTES = 16 * 2**20, 64 * 2**20


def reuse_freed_memory() -> bool:
    """Let arrays of less than 16 MiB take the place of others that were freed.

    Memory fresh from the system has to be cleared first. Where every freed array goes back, that is
    most of the system's share of a run: 5.9 of 15 s of making two maps of 128 px, with this 2.7 s,
    for 55 MiB more. Left alone, glibc soon keeps arrays of up to 32 MiB.

    Returns
    -------
    bool
        Whether the C library is glibc and took the settings.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return bool(mallopt(_MMAP_THRESHOLD, _MMAP_BYTES) and mallopt(_TRIM_THRESHOLD, _TRIM_BYTES))
