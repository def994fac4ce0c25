"""Draw the picture of the front page: noisy particles, their one map, the classes found in them.

    python docs/draw_front_page.py RUN docs/_static/classes.png

RUN is a finished run that began with ``--model``; its particles, its map and its classes are shown.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from mapsort.io.png import grey, montage
from mapsort.jobs.finished_run import open_finished
from mapsort.model.particles import Particles
from mapsort.physics.masks import density_threshold
from mapsort.report.palette import set_colours
from mapsort.report.pictures import read_volume
from mapsort.report.surfaces import surface_pictures

_LEVEL = 0.25


def surface(path: Path, view: int, n_views: int = 12) -> np.ndarray:
    """Return one view of a map's surface, 0 to 1."""
    volume = read_volume(path)
    solvent = density_threshold(volume)
    level = solvent + _LEVEL * (float(np.quantile(volume, 0.9995)) - solvent)
    return surface_pictures(volume, [level], n_views=n_views)[0, view] / 255


def draw(run_path: Path, output: Path, view: int) -> None:
    """Draw the picture."""
    run = open_finished(run_path)
    options = run.manifest.options
    places = {Path(item.path).name: Path(item.path) for item in run.manifest.inputs}
    particles = Particles.open(places[Path(str(options["input"])).name])
    images = particles.images(slice(0, 9))
    counts = run.counts[-1]
    figure = Figure(figsize=(2.0 * (2 + run.n_models), 2.4), facecolor="white")
    axes = figure.subplots(1, 2 + run.n_models)
    axes[0].imshow(montage([grey(image) for image in images], columns=3), cmap="gray")
    axes[0].set_title(f"{counts.total:,} particles", fontsize=11)
    model = places[Path(str(options["model"])).name]
    shown = [("one map", model, "#9AA3AD")]
    colours = set_colours(run.n_models, 0)
    for number in range(1, run.n_models + 1):
        share = counts.shares[number - 1]
        path = run.directory.maps(run.last, number)
        shown.append((f"class {number}: {share:.0f} %", path, colours[number - 1]))
    for place, (title, path, colour) in zip(axes[1:], shown, strict=True):
        picture = surface(path, view)
        tint = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
        lit = picture[..., None] * (0.35 + 0.65 * tint)
        place.imshow(np.where(picture[..., None] > 0, np.clip(1.15 * lit, 0, 1), 1.0))
        place.set_title(title, fontsize=11)
    for place in axes:
        place.axis("off")
    figure.subplots_adjust(0.01, 0.01, 0.99, 0.88, 0.04)
    figure.savefig(output, dpi=110)


if __name__ == "__main__":
    draw(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 0)
