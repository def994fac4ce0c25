"""The newest maps side by side: slices to leaf through, differences, surfaces to turn."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from matplotlib.colors import to_rgb

from mapsort.array_types import Float32, Indices, UInt8
from mapsort.io.png import grey_range, jpeg_uri
from mapsort.physics.masks import density_threshold
from mapsort.physics.resample import fourier_resample
from mapsort.report.content import MapViewer, ViewedMap, ViewerAxis
from mapsort.report.file_cache import FileCache
from mapsort.report.palette import difference_colours, set_colours
from mapsort.report.pictures import read_volume
from mapsort.report.surfaces import surface_pictures
from mapsort.rundir.run_record import RunRecord

#: Largest side of a slice [pixel], slices along an axis, views of a surface.
_SIDE, _SLICES, _VIEWS = 96, 32, 18
#: Densities of the surfaces, as parts of the way from the solvent to the densest voxels.
_LEVELS = (0.15, 0.3, 0.5)
#: Maps shown: the page must stay small, and the eye compares few.
MOST_MAPS = 12


@dataclass(frozen=True)
class _Seen:
    """What is made of one map's file."""

    small: Float32
    surface: str


def map_viewer(record: RunRecord, cache: FileCache) -> MapViewer | None:
    """Return the newest maps for the viewer; None before there are any.

    All are filtered alike and stand on one grey scale, so that what differs is not the filter.
    """
    n = min(record.n_models, MOST_MAPS)
    directory, last = record.directory, record.last
    paths = [directory.threed_filt(last, number) for number in range(1, n + 1)]
    if record.is_single or not all(path.exists() for path in paths):
        paths = [directory.maps(last, number) for number in range(1, n + 1)]
    if not all(path.exists() for path in paths):
        return None
    colours = set_colours(n, 0)
    seen = [
        cache.get(f"viewed {colour}", path, partial(_seen, colour=colour))
        for path, colour in zip(paths, colours, strict=True)
    ]
    smalls = [item.small for item in seen]
    limits = grey_range(np.concatenate([small.ravel() for small in smalls]))
    slices = [_sheets(_grey(small, limits)) for small in smalls]
    differences = _differences(smalls)
    shown = tuple(
        ViewedMap(
            f"map {number}",
            seen[number - 1].surface,
            slices[number - 1],
            differences[number - 1] if differences else None,
        )
        for number in range(1, n + 1)
    )
    n_slices = len(_places(len(smalls[0])))
    return MapViewer(shown, n_slices=n_slices, n_views=_VIEWS, first_slice=_most_different(smalls))


def _seen(path: Path, *, colour: str) -> _Seen:
    volume = read_volume(path)
    # Surfaces of coarse voxels would have steps.
    even = fourier_resample(volume, box=_SIDE, ndim=3)
    solvent = density_threshold(even)
    densest = float(np.quantile(even, 0.9995))
    levels = [solvent + part * (densest - solvent) for part in _LEVELS]
    pictures = surface_pictures(even, levels, n_views=_VIEWS)
    # A row for each level, a column for each view.
    sheet = np.concatenate([np.concatenate(list(row), axis=1) for row in pictures], axis=0)
    # Towards white, so that the shading of dark colours is seen.
    tint = 0.45 + 0.55 * np.array(to_rgb(colour), dtype=np.float32)
    picture = jpeg_uri((sheet[..., None] * tint).astype(np.uint8))
    return _Seen(even if len(volume) > _SIDE else volume, picture)


def _places(n: int) -> Indices:
    """Return the slices shown along an axis of n voxels: the middle ones, n//2 among them."""
    step = max(1, round(0.8 * n / _SLICES))
    places = np.arange(n // 2 % step, n, step)
    return places[(places >= n // 10) & (places < n - n // 10)]


def _sheets(coloured: UInt8) -> tuple[ViewerAxis, ...]:
    """Return a sheet of slices, one below the other, along z, y and x."""
    places = _places(len(coloured))
    return tuple(
        ViewerAxis(name, jpeg_uri(np.concatenate(list(slices[:, ::-1]), axis=0)))
        for name, slices in (
            ("z", coloured[places]),
            ("y", coloured[:, places].swapaxes(0, 1)),
            ("x", np.moveaxis(coloured[:, :, places], 2, 0)),
        )
    )


def _most_different(volumes: list[Float32]) -> int:
    """Return which of the slices along z the maps differ most in; of one map, the middle one."""
    places = _places(len(volumes[0]))
    if len(volumes) < 2:
        return len(places) // 2
    return int(np.argmax(np.var([volume[places] for volume in volumes], axis=0).sum(axis=(1, 2))))


def _grey(volume: Float32, limits: tuple[float, float]) -> UInt8:
    low, high = limits
    return np.asarray(255 * np.clip((volume - low) / (high - low), 0, 1), dtype=np.uint8)


def _differences(volumes: list[Float32]) -> list[tuple[ViewerAxis, ...]] | None:
    """Return each map minus the mean of the others, in standard deviations, as colours.

    A deviation is the root mean square of the difference where there is one: inside the masks.
    """
    if len(volumes) < 2:
        return None
    total = np.sum(volumes, axis=0)
    shown = []
    for volume in volumes:
        difference = volume - (total - volume) / (len(volumes) - 1)
        within = difference[np.abs(difference) > 1e-6 * np.abs(difference).max(initial=1e-12)]
        spread = float(np.sqrt(np.mean(within**2))) if within.size else 1.0
        shown.append(_sheets(difference_colours(difference, max(spread, 1e-12))))
    return shown
