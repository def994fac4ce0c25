"""Draw the conventions with the program itself, so that the drawing cannot differ from it.

python docs/draw_conventions.py PICTURE.svg
"""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import mapsort

BOX = 64
#: Spots of the test object: x, y, z from the centre [pixels], height.
SPOTS = ((0, 0, 0, 0.7), (18, 0, 0, 1.0), (0, 9, 0, 0.5), (0, 0, 20, 0.35))
VIEWS = (
    ("az, alt, phi = 0, 0, 0", (0, 0, 0), (0, 0)),
    ("az = 30: turn about z", (30, 0, 0), (0, 0)),
    ("alt = 60: then tilt about x", (0, 60, 0), (0, 0)),
    ("phi = 30: then about z", (0, 60, 30), (0, 0)),
    ("shift = (4, -8)", (0, 0, 0), (4, -8)),
)


def test_object() -> np.ndarray:
    """Return a map of Gaussian spots: the long arm is x, the short one y; z is faint."""
    axis = np.arange(BOX) - BOX // 2
    z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
    density = np.zeros((BOX, BOX, BOX), np.float32)
    for cx, cy, cz, height in SPOTS:
        density += height * np.exp(-((x - cx) ** 2 + (y - cy) ** 2 + (z - cz) ** 2) / 12)
    return density


def draw(path: Path) -> None:
    """Write the picture."""
    density = test_object()
    angles = np.array([view[1] for view in VIEWS], float)
    shifts = np.array([view[2] for view in VIEWS], float)
    turns = mapsort.euler.eman_to_matrix(angles)
    images = mapsort.project(density, turns, shifts=shifts)
    # The same bytes at every build: no date, and names that do not change.
    with mpl.rc_context({"svg.hashsalt": "mapsort", "font.size": 9}):
        figure = Figure(figsize=(12, 3), layout="constrained")
        for panel, (title, _, _), image, turn, shift in zip(
            figure.subplots(1, len(VIEWS)), VIEWS, images, turns, shifts, strict=True
        ):
            _panel(panel, title, image, turn, shift)
        figure.savefig(path, format="svg", metadata={"Date": None})


def _panel(axes: Axes, title: str, image: np.ndarray, turn: np.ndarray, shift: np.ndarray) -> None:
    half = BOX // 2
    axes.imshow(image, origin="lower", cmap="gray", extent=(-half, half, -half, half))
    for name, spot in zip("xyz", SPOTS[1:], strict=True):
        x, y = (turn @ np.array(spot[:3]))[:2] + shift
        axes.annotate(
            name, (x, y), xytext=(8, 8), textcoords="offset points", color="orange", weight="bold"
        )
    axes.axhline(0, color="steelblue", linewidth=0.6)
    axes.axvline(0, color="steelblue", linewidth=0.6)
    axes.set_title(title)
    axes.set_xlabel("x, pixels from n // 2")


if __name__ == "__main__":
    draw(Path(sys.argv[1]))
