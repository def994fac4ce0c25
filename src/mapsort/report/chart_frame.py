"""What all charts of the report share: their style, their place on the page, legends, SVG."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

#: Size of a chart [inch]: a phone's width.
WIDTH, HEIGHT = 4.6, 2.9
#: Dots of an inch of what is a picture in a chart.
_DPI = 130
#: Room for labels and numbers at the left, at the right and below [inch]. Charts are placed by
#: hand: finding a layout draws every chart twice.
_LEFT, _RIGHT, _BELOW = 0.68, 0.12, 0.48
#: What a legend needs for a line's mark and the gaps about it, for a letter, and for a row [inch].
_LEGEND_MARK, _LEGEND_LETTER, _LEGEND_ROW = 0.5, 0.062, 0.17
_STYLE: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#667",
    "axes.labelcolor": "#334",
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": "#e3e6ea",
    "grid.linewidth": 0.7,
    "xtick.color": "#445",
    "ytick.color": "#445",
    "legend.frameon": False,
    "legend.fontsize": 8,
    "lines.linewidth": 1.6,
    "svg.fonttype": "none",
}
#: From this many curves or maps on a legend would be larger than its chart.
LONG_LEGEND = 10


@contextmanager
def chart_style() -> Iterator[None]:
    """Draw in the report's style while the block lasts."""
    with mpl.rc_context(_STYLE):
        yield


def new_axes(height: float = HEIGHT) -> tuple[Figure, Axes]:
    """Return a chart's figure and its axes."""
    figure = Figure(figsize=(WIDTH, height))
    axes = figure.add_subplot()
    place(figure)
    return figure, axes


def place(figure: Figure, legend_rows: int = 0) -> None:
    """Give the axes what labels and a legend of some rows above leave."""
    width, height = figure.get_size_inches()
    above = 0.1 + _LEGEND_ROW * legend_rows
    figure.subplots_adjust(
        left=_LEFT / width, right=1 - _RIGHT / width, bottom=_BELOW / height, top=1 - above / height
    )


def svg(figure: Figure, name: str) -> str:
    """Return a figure as inline SVG; its inner names begin with the chart's, so that none clash."""
    buffer = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": name}):
        figure.savefig(buffer, format="svg", dpi=_DPI, metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    return _renamed(text[text.index("<svg") :], name)


def _renamed(body: str, name: str) -> str:
    # matplotlib counts its groups from 1 in every figure; a page must not hold a name twice.
    for mark in ('id="', 'href="#', "url(#"):
        body = body.replace(mark, f"{mark}{name}-")
    return body


def legend(figure: Figure, names: Sequence[str]) -> None:
    """Write a legend in as many columns as its longest name leaves room for."""
    if 0 < len(names) <= LONG_LEGEND:
        fitting = int(WIDTH / (_LEGEND_MARK + _LEGEND_LETTER * max(map(len, names))))
        columns = max(1, min(len(names), fitting, 5))
        place(figure, -(-len(names) // columns))
        figure.legend(loc="upper center", ncols=columns, handlelength=1.4, borderpad=0.2)
