"""What maps hold by frequency and by place: Guinier plot and local resolution."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
from matplotlib import colormaps

from mapsort.array_types import Float32, Float64, UInt8
from mapsort.io.png import central_slices, jpeg_uri
from mapsort.model.volume import Volume
from mapsort.physics.filters import guinier_line, signal_amplitudes
from mapsort.report import charts
from mapsort.report.content import Chart
from mapsort.report.file_cache import FileCache
from mapsort.report.palette import SEQUENTIAL, styled
from mapsort.report.pictures import read_volume
from mapsort.rundir.run_record import RunRecord

#: Part of the voxels of a mask whose local resolution the colours span.
_SPANNED = (0.02, 0.98)


def guinier_chart(record: RunRecord, cache: FileCache) -> Chart | None:
    """Return the amplitudes of the newest maps over resolution, those of half maps if there are."""
    entry, directory, last = record.iterations[-1], record.directory, record.last
    amplitudes, lines, reached = [], [], []
    numbers = range(1, record.n_models + 1)
    halved = all(directory.threed_odd(last, number).exists() for number in numbers)
    for number, item in zip(numbers, entry["maps"], strict=True):
        path = (directory.threed_even if halved else directory.maps)(last, number)
        curve = item.get("half_fsc") if halved else None
        if not path.exists():
            return None
        other = directory.threed_odd(last, number) if halved else None
        mask = directory.threed_mask(last, number)
        make = partial(_amplitudes, other=other, mask=mask, curve=curve)
        values, apix = cache.get("guinier", path, make)
        resolution = float(item["resolution_fsc_0143_ang"])
        lines.append(guinier_line(values, apix, resolution_ang=resolution) if halved else None)
        frequency = np.arange(len(values)) / (2 * (len(values) - 1) * apix)
        seen = (values > 0) & (frequency <= 1.0 / resolution) & (frequency > 0)
        amplitudes.append(np.where(seen, np.log(np.maximum(values, 1e-30)), np.nan))
        reached.append(int(seen.sum()))
    if min(reached) < 2:
        return None
    names = [f"map {number}" for number in numbers]
    told = [f"{n} {-4 * line[0]:.0f} Å²" for n, line in zip(names, lines, strict=True) if line]
    note = f"B factor of the straight lines, from 10 Å on: {', '.join(told)}. " if told else ""
    of = "half maps, weighted by their FSC" if halved else "maps, each filtered by its resolution"
    return Chart.of_svg(
        "Guinier plot",
        f"Lines: logarithm of the amplitude over the inverse square of the resolution. {note}",
        charts.guinier(
            frequency[1:], styled(zip(names, (a[1:] for a in amplitudes), strict=True)), lines
        ),
        f"{note}Amplitudes of the {of}, within the masks, up to the resolution of each.",
    )


def _amplitudes(
    path: Path, *, other: Path | None, mask: Path, curve: list[float] | None
) -> tuple[Float64, float]:
    """Return the amplitude in each shell of a map, or of the mean of two halves; and A/pixel."""
    volume = Volume.open(path)
    data = volume.data if other is None else 0.5 * (volume.data + read_volume(other))
    if mask.exists():
        data = data * read_volume(mask)
    weight = np.ones(len(data) // 2 + 1) if curve is None else np.array(curve, dtype=float)
    return signal_amplitudes(data, weight), volume.apix


def local_charts(record: RunRecord, cache: FileCache) -> list[Chart]:
    """Return pictures of each map's local resolution, where `eotest` has written it."""
    made = []
    for number in range(1, record.n_models + 1):
        path = record.directory.locres(record.last, number)
        if not path.exists():
            continue
        mask = record.directory.threed_mask(record.last, number)
        picture, (low, middle, high) = cache.get("local", path, partial(_local, mask=mask))
        made.append(
            Chart(
                f"Local resolution of map {number}",
                f"Central slices perpendicular to z, y and x, coloured from {low:.1f} to "
                f"{high:.1f} Å; median {middle:.1f} Å.",
                png=picture,
                note=f"Yellow {low:.1f} Å, blue {high:.1f} Å, median {middle:.1f} Å, within the "
                "mask: down to which resolution the halves agree by 0.5 about each voxel.",
            )
        )
    return made


def _local(path: Path, *, mask: Path) -> tuple[str, tuple[float, float, float]]:
    local = read_volume(path)
    inside = read_volume(mask) > 0.5 if mask.exists() else np.ones(local.shape, bool)
    low, high = (float(v) for v in np.quantile(local[inside], _SPANNED))
    middle = float(np.median(local[inside]))
    pairs = zip(central_slices(local), central_slices(inside.astype(np.float32)), strict=True)
    row = [_coloured(np.asarray(a)[::-1], np.asarray(b)[::-1], low, high) for a, b in pairs]
    return jpeg_uri(np.concatenate(row, axis=1), quality=92), (low, middle, high)


def _coloured(local: Float32, inside: Float32, low: float, high: float) -> UInt8:
    """Return a slice as colours, fine yellow and coarse blue; what is outside the mask is grey."""
    fineness = np.clip((high - local) / max(high - low, 1e-6), 0, 1)
    colours = 255 * colormaps[SEQUENTIAL](fineness)[..., :3]
    return np.asarray(np.where(inside[..., None] > 0.5, colours, 40), np.uint8)
