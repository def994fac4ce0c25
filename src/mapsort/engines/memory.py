"""How much memory this process can still get."""

from __future__ import annotations

import re
from pathlib import Path

_MEMINFO = Path("/proc/meminfo")


def available_memory_bytes(meminfo: Path = _MEMINFO) -> int | None:
    """Return the memory that could be used without swapping; None where the system does not say.

    Parameters
    ----------
    meminfo : Path
        Linux's table of memory.
    """
    if not meminfo.is_file():
        return None
    found = re.search(r"^MemAvailable:\s+(\d+) kB$", meminfo.read_text(), re.MULTILINE)
    return None if found is None else 1024 * int(found[1])
