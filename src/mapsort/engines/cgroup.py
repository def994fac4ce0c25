"""Limits that a control group (container, batch system) sets for this process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

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
