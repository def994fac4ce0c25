"""How many threads this process may use."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from mapsort.engines.cgroup import group_limits
from mapsort.errors import ConfigError


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
