"""The picture of ``mapsort abinit``: slices of the maps, directions of their particles."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from mapsort.geometry.symmetry import symmetry
from mapsort.io.png import central_slices, grey
from mapsort.io.star import read_particles
from mapsort.report.charts import chart_style
from mapsort.report.directions import direction_density
from mapsort.report.pictures import read_volume
from mapsort.rundir.atomic import atomic_path
from mapsort.rundir.layout import RunDirectory
from mapsort.rundir.manifest import read_manifest
from mapsort.rundir.text import read_json

#: Side of a panel [inch], dots of an inch, and the density that is drawn darkest.
_SIDE, _DPI, _DENSEST = 2.0, 120, 4.0


def write_abinit_picture(directory: RunDirectory) -> None:
    """Draw abinit.png from what a run has written: a row for each map.

    Central slices along z, y and x, and how dense the particles' directions are, 1 being even.

    Raises
    ------
    FormatError
        The run's files are missing or damaged.
    """
    count = int(read_json(directory.abinit)["maps"])
    group = symmetry(read_manifest(directory.parms).options["sym"][0]).matrices
    rows = read_particles(directory.latent)[1]
    number = rows["rlnClassNumber"].to_numpy(int)
    angles = rows[["rlnAngleRot", "rlnAngleTilt"]].to_numpy(np.float64)
    with chart_style():
        figure = Figure(figsize=(5.2 * _SIDE, count * 1.15 * _SIDE), layout="constrained")
        panels = figure.subplots(count, 4, squeeze=False, width_ratios=(1, 1, 1, 2))
        for model, row in enumerate(panels, start=1):
            for axes, image in zip(
                row, central_slices(read_volume(directory.abinit_map(model))), strict=False
            ):
                axes.imshow(grey(image), cmap="gray", vmin=0, vmax=255)
                axes.set_axis_off()
            row[0].set_title(f"map {model}")
            own = angles[number == model]
            if len(own):
                dense = direction_density(own[:, 0], own[:, 1], group)
                extent = (-180, 180, -90, 90)
                row[3].imshow(
                    dense, origin="lower", extent=extent, cmap="Greys", vmin=0, vmax=_DENSEST
                )
            row[3].set_title(f"directions of {len(own)} particles")
        with atomic_path(directory.abinit_picture) as part:
            figure.savefig(part, format="png", dpi=_DPI)
