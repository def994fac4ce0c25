"""What is shown of ``mapsort pca``: particles along the components, slices of the maps, worth."""

from __future__ import annotations

import io
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mapsort.array_types import Float64
from mapsort.io.png import central_slices, grey
from mapsort.io.star import read_particles
from mapsort.report.chart_frame import chart_style, svg
from mapsort.report.content import Chart, Section, Strip, StripRow, Table
from mapsort.report.file_cache import FileCache
from mapsort.report.map_pictures import strip_uris
from mapsort.report.pictures import read_volume
from mapsort.rundir.atomic import atomic_path
from mapsort.rundir.layout import RunDirectory
from mapsort.rundir.run_record import RunRecord
from mapsort.rundir.text import read_json
from mapsort.rundir.wording import counted

#: Components that are shown.
_SHOWN = 3
#: Side of a panel [inch], and dots of an inch.
_SIDE, _DPI = 2.4, 120
_DOTS: dict[str, Any] = {
    "s": 4.0,
    "linewidths": 0,
    "alpha": 0.5,
    "color": "#0072B2",
    "rasterized": True,
}


def write_latent_picture(directory: RunDirectory) -> None:
    """Draw latent.png from what a run has written."""
    with atomic_path(directory.latent_picture) as part:
        part.write_bytes(_picture(directory))


def components_section(record: RunRecord, cache: FileCache) -> Section | None:
    """Return the components, their worth and the particles along them; None for other runs."""
    if not record.directory.pca.exists():
        return None
    found = read_json(record.directory.pca)
    gains, worth = found["held_out_gain_nat"], int(found["components_worth_it"])
    shares = [*found["variance_share"], *[None] * len(gains)]
    rows = tuple(
        (number, gain, "yes" if number <= worth else "no", share)
        for number, (gain, share) in enumerate(zip(gains, shares, strict=False), start=1)
    )
    columns = ("component", "gain [nat]", "significant", "fraction of the variance")
    directory, count = record.directory, min(_SHOWN, int(found["components"]))
    maps = {"mean map": directory.mean}
    maps |= {f"component {k}": directory.component(k) for k in range(1, count + 1)}
    strips = ((name, strip_uris(path, cache, large=True)) for name, path in maps.items())
    shown = tuple(Strip(name, *uris, alt=f"the {name}") for name, uris in strips if uris)
    return Section(
        words=(
            f"{worth} of {counted(len(gains), 'component')} explain left-out particles better, "
            f"beyond chance. Frequencies up to {found['resolution_ang']:.0f} Å are used.",
            "For each map: left, central slices perpendicular to z, y and x; right, projections "
            "along z, y and x. A component is what one standard deviation of its coordinate adds "
            "to the mean map.",
        ),
        charts=tuple(_clouds(_coordinates(directory.latent, count))),
        strip_rows=(StripRow("components", "Mean map and components", shown, is_open=True),),
        tables=(Table("Gain of each component, per left-out particle", columns, rows, (0, 3)),),
    )


def _clouds(found: Float64) -> Iterator[Chart]:
    """Yield a chart of particles for each panel of the picture."""
    for panel in _panels(found.shape[1]):
        figure = Figure(figsize=(4.6, 3.8), layout="constrained")
        _draw(figure.subplots(), found, panel)
        names = " and ".join(f"component {k + 1}" for k in dict.fromkeys(panel))
        alt = f"Where {len(found)} particles lie along {names}."
        drawn = svg(figure, f"latent-{'-'.join(map(str, panel))}")
        yield Chart.of_svg(f"Particles along {names}", alt, drawn)


def _picture(directory: RunDirectory) -> bytes:
    """Return the picture as PNG.

    Above, particles that are not junk along every two of the first three components; below,
    central slices of the mean and of these.
    """
    count = min(_SHOWN, int(read_json(directory.pca)["components"]))
    maps = {"mean": directory.mean}
    maps |= {f"component {k}": directory.component(k) for k in range(1, count + 1)}
    with chart_style():
        figure = Figure(figsize=((count + 1) * _SIDE, 2.3 * _SIDE), layout="constrained")
        panels = figure.subplots(2, count + 1, squeeze=False)
        found, shown = _coordinates(directory.latent, count), _panels(count)
        for axes, panel in zip(panels[0], shown, strict=False):
            _draw(axes, found, panel)
        for axes in panels[0, len(shown) :]:
            axes.set_axis_off()
        _slices(panels[1], maps)
        return _png(figure)


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=_DPI)
    return buffer.getvalue()


def _coordinates(table: Path, count: int) -> Float64:
    rows = read_particles(table)[1]
    names = [f"mapsortLatent{k}" for k in range(1, count + 1)]
    real = rows["rlnClassNumber"].to_numpy(int) == 1
    return np.asarray(rows[names].to_numpy(np.float64)[real])


def _panels(count: int) -> list[tuple[int, int]]:
    """Return what panels show: every two components; of one alone, itself."""
    return [(0, 0)] if count == 1 else list(combinations(range(count), 2))


def _draw(axes: Axes, found: Float64, panel: tuple[int, int]) -> None:
    """Draw particles along two components, or how many lie where along one."""
    x, y = panel
    axes.set_xlabel(f"component {x + 1}")
    if x == y:
        axes.hist(found[:, x], bins=50, color=_DOTS["color"])
        axes.set_ylabel("particles")
    else:
        axes.scatter(found[:, x], found[:, y], **_DOTS)
        axes.set_ylabel(f"component {y + 1}")


def _slices(panels: npt.NDArray[np.object_], maps: dict[str, Path]) -> None:
    axes: Axes
    for axes, (name, path) in zip(panels, maps.items(), strict=False):
        axes.imshow(grey(central_slices(read_volume(path))[0]), cmap="gray", vmin=0, vmax=255)
        axes.set_title(name)
    for axes in panels:
        axes.set_axis_off()
