"""How much memory this process may use."""

from __future__ import annotations

import os
from pathlib import Path

from mapsort.engines.cgroup import group_limits

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
