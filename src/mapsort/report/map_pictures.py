"""Slices and projections of a run's maps, as the page needs them."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from mapsort.io.png import data_uri, map_strips
from mapsort.report.file_cache import FileCache
from mapsort.report.pictures import read_volume
from mapsort.rundir.run_record import RunRecord

#: Largest side of one picture [pixel]: the newest maps, and those before.
_LARGE, _SMALL = 192, 96


def map_strip_uris(
    record: RunRecord, iteration: int, model: int, cache: FileCache, *, large: bool
) -> tuple[str, str] | None:
    """Return (slices, projections) of a map as data URIs; None if the run has no such file."""
    return strip_uris(record.directory.maps(iteration, model + 1), cache, large=large)


def strip_uris(path: Path, cache: FileCache, *, large: bool) -> tuple[str, str] | None:
    """Return (slices, projections) of a map's file as data URIs; None if there is none."""
    if not path.exists():
        return None
    side = _LARGE if large else _SMALL
    return cache.get(f"strip {side}", path, partial(_strips, side=side))


def _strips(path: Path, *, side: int) -> tuple[str, str]:
    slices, projections = map_strips(read_volume(path), side)
    return data_uri(slices), data_uri(projections)
