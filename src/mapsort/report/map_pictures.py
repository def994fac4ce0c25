"""Slices and projections of a run's maps, as the page needs them."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from mapsort.io.png import data_uri, map_strips
from mapsort.report.content import Section, Strip, StripRow
from mapsort.report.file_cache import FileCache
from mapsort.report.map_viewer import map_viewer
from mapsort.report.pictures import read_volume
from mapsort.rundir.run_record import RunRecord
from mapsort.rundir.wording import counted

#: Largest side of one picture [pixel]: the newest maps, and those before.
_LARGE, _SMALL = 192, 96


def maps_section(record: RunRecord, cache: FileCache) -> Section | None:
    """Return the maps of all iterations, the newest first and larger."""
    rows = []
    for iteration in [*reversed(record.iteration_numbers), 0]:
        newest = iteration == record.last
        strips = [
            _strip(record, iteration, model, cache, newest=newest)
            for model in range(record.n_models)
        ]
        if newest and iteration and record.is_single:
            strips.append(_sharpened(record, cache))
        shown = tuple(strip for strip in strips if strip is not None)
        title = f"Iteration {iteration}" if iteration else "Starting maps"
        if shown:
            rows.append(StripRow(f"maps-{iteration}", title, shown, newest))
    if not rows:
        return None
    shown_first = "The newest map" if record.is_single else "The newest maps side by side"
    words = (
        f"{shown_first}. Below, for every iteration: left, central slices perpendicular to z, y "
        "and x; right, projections along z, y and x. Bright = dense.",
    )
    return Section(words=words, viewer=map_viewer(record, cache), strip_rows=tuple(rows))


def _strip(
    record: RunRecord, iteration: int, model: int, cache: FileCache, *, newest: bool
) -> Strip | None:
    uris = strip_uris(record.directory.maps(iteration, model + 1), cache, large=newest)
    if uris is None:
        return None
    words = f"map {model + 1}"
    if iteration:
        entry = record.iterations[record.iteration_numbers.index(iteration)]
        resolution = entry["maps"][model]["resolution_fsc_0143_ang"]
        words += f" · {counted(entry['occupancy'][model], 'particle')} · {resolution:.1f} Å"
    place = f"iteration {iteration}" if iteration else "the start"
    return Strip(words, *uris, alt=f"map {model + 1} of {place}")


def _sharpened(record: RunRecord, cache: FileCache) -> Strip | None:
    path = record.directory.threed_filt(record.last, 1)
    uris = strip_uris(path, cache, large=True)
    if uris is None:
        return None
    bfactor = record.iterations[-1].get("bfactor_ang2")
    words = "sharpened map" if bfactor is None else f"sharpened map · B factor {bfactor:.0f} Å²"
    return Strip(words, *uris, alt=f"the sharpened map of iteration {record.last}")


def strip_uris(path: Path, cache: FileCache, *, large: bool) -> tuple[str, str] | None:
    """Return (slices, projections) of a map's file as data URIs; None if there is none."""
    if not path.exists():
        return None
    side = _LARGE if large else _SMALL
    return cache.get(f"strip {side}", path, partial(_strips, side=side))


def _strips(path: Path, *, side: int) -> tuple[str, str]:
    slices, projections = map_strips(read_volume(path), side)
    return data_uri(slices), data_uri(projections)
