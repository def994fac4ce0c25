"""The report's charts: each returns SVG as text for the page, drawn by matplotlib.

Charts are small (a phone's width) and stand side by side on wide screens, so that their words stay
readable on both. All are SVG; a dense field of colours in one is a picture.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from mapsort.array_types import Float64, Int64
from mapsort.physics.fsc import GOLD_STANDARD, ONE_HALF
from mapsort.report.chart_frame import HEIGHT, WIDTH, legend, new_axes, place, svg
from mapsort.report.palette import SEQUENTIAL, Curve, colour_of, dash_of, styled
from mapsort.rundir.result_record import ResultCurves, ResultMatrix

_STAGE_COLOURS = {
    "project": "#56B4E9",
    "match": "#0072B2",
    "classify": "#CC79A7",
    "average": "#E69F00",
    "reconstruct": "#009E73",
    "write": "#999999",
}
#: How far above its highest point a chart of lines ends.
_HEADROOM = 1.08


def _iteration_axis(axes: Axes, numbers: Sequence[int]) -> None:
    axes.set_xlabel("iteration")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.set_xlim(min(numbers) - 0.6, max(numbers) + 0.6)


def occupancy(
    numbers: Sequence[int], counts: Int64, names: Sequence[str], colours: Sequence[str]
) -> str:
    """Return stacked bars of each set's occupancy; ``counts`` is (n, n_sets)."""
    figure, axes = new_axes()
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    stacks = zip(names, share.T, colours, strict=True)
    _stacked(axes, numbers, stacks, edgecolor="white", linewidth=0.8)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.set_ylim(0, 1)
    axes.set_ylabel("occupancy")
    axes.grid(visible=False)
    _iteration_axis(axes, numbers)
    legend(figure, names)
    return svg(figure, "occupancy")


def _stacked(
    axes: Axes,
    numbers: Sequence[int],
    stacks: Iterable[tuple[str, Float64, str]],
    **style: Any,
) -> None:
    base = np.zeros(len(numbers))
    for name, height, colour in stacks:
        axes.bar(numbers, height, bottom=base, width=0.72, color=colour, label=name, **style)
        base += height


def lines_over_iterations(
    name: str,
    numbers: Sequence[int],
    values: Mapping[str, Sequence[float | None]],
    *,
    label: str,
) -> str:
    """Return lines over iterations by name; None leaves a gap."""
    figure, axes = new_axes()
    _lines(axes, numbers, values, label)
    _iteration_axis(axes, numbers)
    legend(figure, list(values) if len(values) > 1 else [])
    return svg(figure, name)


def movement(
    numbers: Sequence[int], changed: Sequence[float | None], angle_deg: Sequence[float | None]
) -> str:
    """Return two panels over iterations: what changed class, and mean rotation of the rest."""
    figure = Figure(figsize=(WIDTH, HEIGHT))
    upper, lower = figure.subplots(2, 1, sharex=True)
    place(figure)
    _lines(upper, numbers, {"": changed}, "changed class")
    upper.yaxis.set_major_formatter(PercentFormatter(1.0))
    _lines(lower, numbers, {"": angle_deg}, "rotation [°]")
    for axes in (upper, lower):
        axes.yaxis.set_major_locator(MaxNLocator(4))
    _iteration_axis(lower, numbers)
    return svg(figure, "movement")


def _lines(
    axes: Axes, numbers: Sequence[int], values: Mapping[str, Sequence[float | None]], label: str
) -> None:
    curves = styled(values.items())
    for words, shown, colour, dash in curves:
        axes.plot(numbers, shown, color=colour, linestyle=dash, marker="o", ms=3.5, label=words)
    highest = max((float(np.nanmax(shown, initial=0.0)) for _, shown, *_ in curves), default=0.0)
    # Room for the marks of the highest points, also where all values are the same.
    axes.set_ylim(0, _HEADROOM * highest if highest > 0 else 1)
    axes.set_ylabel(label)


def stage_times(numbers: Sequence[int], seconds: Sequence[dict[str, float]]) -> str:
    """Return stacked bars of the time of each stage."""
    figure, axes = new_axes()
    names = list(dict.fromkeys(stage for entry in seconds for stage in entry))
    largest = max(sum(entry.values()) for entry in seconds)
    unit, word = (60.0, "min") if largest > 600 else (1.0, "s")
    heights = [np.array([entry.get(stage, 0.0) for entry in seconds]) / unit for stage in names]
    colours = [_STAGE_COLOURS.get(stage, colour_of(i)) for i, stage in enumerate(names)]
    _stacked(axes, numbers, zip(names, heights, colours, strict=True))
    axes.set_ylabel(f"time [{word}]")
    _iteration_axis(axes, numbers)
    legend(figure, names)
    return svg(figure, "stages")


def fsc_curves(
    name: str,
    frequency: Float64,
    curves: Sequence[Curve],
    *,
    thresholds: Sequence[float] = (ONE_HALF, GOLD_STANDARD),
    marked: Sequence[float] = (),
) -> str:
    """Return FSC curves over spatial frequency, with resolutions [A] above.

    Parameters
    ----------
    name : str
        Of the chart, unique in the page.
    frequency : ndarray of shape (n,)
        1/A.
    curves : sequence of (name, values, colour, dash)
    thresholds : sequence of float
        Horizontal lines.
    marked : sequence of float
        Resolutions [A] marked on the first threshold line they lie on, by vertical lines.
    """
    figure, axes = new_axes(3.2)
    for height in thresholds:
        axes.axhline(height, color="#667", linewidth=0.8, linestyle=(0, (4, 3)))
        axes.annotate(
            f"{height:g}",
            (0, height),
            xycoords=("axes fraction", "data"),
            xytext=(3, 2),
            textcoords="offset points",
            ha="left",
            va="bottom",
            fontsize=7,
            color="#556",
        )
    for words, values, colour, dash in curves:
        axes.plot(frequency[1:], values[1:], color=colour, linestyle=dash, label=words)
    for resolution in marked:
        axes.axvline(1 / resolution, color="#99a", linewidth=0.7, linestyle=":")
    lowest = min((float(np.nanmin(values[1:])) for _, values, _, _ in curves), default=0.0)
    axes.set_ylim(min(-0.05, max(-0.4, lowest - 0.05)), 1.03)
    axes.set_xlim(0, float(frequency[-1]))
    axes.set_ylabel("FSC")
    _resolution_ticks(axes, float(frequency[-1]))
    legend(figure, [words for words, *_ in curves])
    return svg(figure, name)


def guinier(
    frequency: Float64,
    curves: Sequence[Curve],
    lines: Sequence[tuple[float, float] | None],
) -> str:
    """Return ln(amplitude) over squared frequency, and straight lines by slope and height.

    Parameters
    ----------
    frequency : ndarray of shape (n,)
        1/A, 0 left out.
    curves : sequence of (name, values, colour, dash)
        NaN where nothing is shown.
    lines : sequence of (float, float) or None
        Of each curve, if there is one.
    """
    figure, axes = new_axes()
    square = frequency**2
    for (words, values, colour, dash), line in zip(curves, lines, strict=True):
        axes.plot(square, values, color=colour, linestyle=dash, label=words)
        if line is not None:
            axes.plot(square, line[0] * square + line[1], color=colour, linewidth=0.7, alpha=0.7)
    shown = np.isfinite([values for _, values, *_ in curves]).any(axis=0)
    low = min(float(np.nanmin(values)) for _, values, *_ in curves)
    high = max(float(np.nanmax(values)) for _, values, *_ in curves)
    axes.set_xlim(0, float(square[shown][-1]))
    axes.set_ylim(low - 0.05 * (high - low), high + 0.05 * (high - low))
    places = np.linspace(0, float(square[shown][-1]), 6)[1:]
    axes.set_xticks([0, *places], ["∞", *(f"{place**-0.5:.3g}" for place in places)])
    axes.set_xlabel("resolution [Å], by its inverse square")
    axes.set_ylabel("ln(amplitude)")
    legend(figure, [words for words, *_ in curves])
    return svg(figure, "guinier")


def _resolution_ticks(axes: Axes, highest: float) -> None:
    """Write the frequency axis as resolutions, which is how people read it."""
    places = np.linspace(0, highest, 6)[1:]
    axes.set_xticks([0, *places], ["∞", *(f"{1 / place:.3g}" for place in places)])
    axes.set_xlabel("resolution [Å]")


def histograms(
    name: str,
    values: Sequence[Float64],
    *,
    label: str,
    limits: tuple[float, float],
    names: Sequence[str],
    colours: Sequence[str],
    logarithmic: bool = False,
    relative: bool = False,
) -> str:
    """Return step histograms, one per set: of particles, or (``relative``) of parts of the set."""
    figure, axes = new_axes()
    edges = np.linspace(*limits, 31 if relative else 51)
    for model, sample in enumerate(values):
        counts, _ = np.histogram(np.clip(sample, *limits), edges)
        if relative:
            counts = counts / max(len(sample), 1)
        axes.stairs(
            counts,
            edges,
            color=colours[model],
            linestyle=dash_of(model),
            linewidth=1.5,
            fill=False,
            label=names[model],
        )
    if logarithmic:
        axes.set_yscale("log")
        axes.set_ylim(bottom=0.7)
    axes.set_xlim(*limits)
    axes.set_xlabel(label)
    axes.set_ylabel("particles")
    if relative:
        axes.yaxis.set_major_formatter(PercentFormatter(1.0))
        axes.set_ylabel("of the class")
    legend(figure, names)
    return svg(figure, name)


def mollweide(name: str, density: Float64) -> str:
    """Return a density on the sphere as SVG in Mollweide's (equal-area) projection.

    Parameters
    ----------
    name : str
        Of the chart, unique in the page.
    density : ndarray of shape (n_latitudes, n_longitudes)
        On a regular grid from -90 to 90 and -180 to 180 degrees, in units of the uniform one.
    """
    # Placed by hand: finding the layout would take as long as drawing.
    figure = Figure(figsize=(WIDTH, 2.7))
    axes = figure.add_axes((0.07, 0.2, 0.91, 0.79), projection="mollweide")
    latitude = np.linspace(-np.pi / 2, np.pi / 2, density.shape[0] + 1)
    longitude = np.linspace(-np.pi, np.pi, density.shape[1] + 1)
    top = max(2.0, float(density.max()))
    style: dict[str, Any] = {"cmap": SEQUENTIAL, "vmin": 0, "vmax": top, "rasterized": True}
    mesh = axes.pcolormesh(longitude, latitude, density, **style)
    axes.grid(visible=True, color="white", alpha=0.35, linewidth=0.5)
    axes.set_xticks(np.deg2rad([-120, -60, 0, 60, 120]), [])
    axes.set_yticks(np.deg2rad([-60, -30, 0, 30, 60]), ["150°", "120°", "90°", "60°", "30°"])
    axes.tick_params(labelsize=7)
    place = figure.add_axes((0.25, 0.155, 0.55, 0.03))
    bar = figure.colorbar(mesh, cax=place, orientation="horizontal")
    bar.set_label("density, 1 = uniform", fontsize=8)
    bar.ax.tick_params(labelsize=7)
    return svg(figure, name)


def curves_of(name: str, record: ResultCurves) -> str:
    """Return the curves of a result record; FSC curves get a resolution axis."""
    x = np.array(record.x)
    curves = styled(zip(record.names, record.curves, strict=True))
    if record.y_label == "FSC":
        return fsc_curves(name, x, curves, thresholds=record.thresholds)
    figure, axes = new_axes()
    for words, values, colour, dash in curves:
        axes.plot(x, values, color=colour, linestyle=dash, label=words)
    for height in record.thresholds:
        axes.axhline(height, color="#667", linewidth=0.8, linestyle=(0, (4, 3)))
    for (_, values, colour, _), error in zip(curves, np.array(record.errors), strict=False):
        axes.fill_between(x, values - error, values + error, color=colour, alpha=0.25, linewidth=0)
    axes.set_xlabel(record.x_label)
    if record.x_label == "1/A":
        _resolution_ticks(axes, float(x[-1]))
    axes.set_ylabel(record.y_label)
    legend(figure, record.names if len(record.names) > 1 else [])
    return svg(figure, name)


def heat_map(name: str, record: ResultMatrix) -> str:
    """Return a matrix as coloured squares with their values."""
    values = np.array(record.values, dtype=float)
    # The names of the rows are as long as they are: their room has to be found.
    figure = Figure(figsize=(WIDTH, max(1.6, 0.5 * len(values) + 0.9)), layout="constrained")
    axes = figure.add_subplot()
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    axes.imshow(values, cmap=SEQUENTIAL, vmin=low, vmax=high, aspect="auto")
    axes.set_xticks(range(values.shape[1]), list(record.column_names))
    axes.set_yticks(range(values.shape[0]), list(record.row_names))
    axes.grid(visible=False)
    for (row, column), value in np.ndenumerate(values):
        if np.isfinite(value):
            bright = value > (low + high) / 2
            axes.text(
                column,
                row,
                f"{value:.3g}",
                ha="center",
                va="center",
                color="#111111" if bright else "white",
            )
    return svg(figure, name)
