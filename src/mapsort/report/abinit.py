"""What is shown of ``mapsort abinit``: maps, directions of their particles, starts."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from mapsort.geometry.symmetry import symmetry
from mapsort.io.png import central_slices, grey
from mapsort.io.star import read_particles
from mapsort.report.chart_frame import chart_style, svg
from mapsort.report.content import Chart, Section, Table
from mapsort.report.directions import direction_density
from mapsort.report.file_cache import FileCache
from mapsort.report.pictures import read_volume
from mapsort.rundir.atomic import atomic_path
from mapsort.rundir.layout import RunDirectory
from mapsort.rundir.manifest import read_manifest
from mapsort.rundir.run_record import RunRecord
from mapsort.rundir.text import read_json
from mapsort.rundir.wording import counted

#: Side of a panel [inch], dots of an inch, and the density that is drawn darkest.
_SIDE, _DPI, _DENSEST = 2.0, 120, 4.0


def write_abinit_picture(directory: RunDirectory) -> None:
    """Draw abinit.png from what a run has written."""
    with atomic_path(directory.abinit_picture) as part:
        _figure(directory).savefig(part, format="png", dpi=_DPI)


def abinit_section(record: RunRecord, _: FileCache) -> Section | None:
    """Return the maps, how starts compared, and what speaks against them; None for other runs."""
    if not record.directory.abinit.exists():
        return None
    found = read_json(record.directory.abinit)
    rows = tuple(
        (
            name + (" (taken)" if name == found["start"] else ""),
            rival["behind"],
            rival["error"],
            rival["apart_deg"],
            rival["rings"],
        )
        for name, rival in sorted(found["rivals"].items())
    )
    columns = ("start", "behind [nat]", "standard error", "views apart [°]", "rings")
    title = "Random starts at their last comparison, per left-out particle"
    count = counted(int(found["maps"]), "map")
    against = found["signs"] or ["There are no warnings about the maps."]
    return Section(
        words=(
            f"{count} to {found['resolution_ang']:.1f} Å, hand unknown. Particles that were left "
            f"out of the maps gain {found['held_out_gain_nat']:.1f} ± "
            f"{found['held_out_gain_error_nat']:.1f} nat each over noise alone.",
            f"Junk: {found['junk']:,} of {found['particles']:,} images hold no particle of the "
            f"maps; in the table they are class {found['maps'] + 1}.",
            *against,
            *([found["symmetry_hint"]] if found["symmetry_hint"] else []),
        ),
        charts=(
            Chart.of_svg(
                "Maps and directions",
                f"Central slices of {count}, and how dense the directions of their particles are.",
                svg(_figure(record.directory), "abinit"),
                is_wide=True,
            ),
        ),
        tables=(Table(title, columns, rows, (None, 2, 2, 0)),) if rows else (),
    )


def _figure(directory: RunDirectory) -> Figure:
    """Return a row of pictures for each map.

    Central slices along z, y and x, and how dense the particles' directions are, 1 being even.
    """
    count = int(read_json(directory.abinit)["maps"])
    group = symmetry(read_manifest(directory.parms).options["sym"][0]).matrices
    rows = read_particles(directory.latent)[1]
    number = rows["rlnClassNumber"].to_numpy(int)
    angles = rows[["rlnAngleRot", "rlnAngleTilt"]].to_numpy(np.float64)
    with chart_style():
        figure = Figure(figsize=(5.2 * _SIDE, count * 1.3 * _SIDE), layout="constrained")
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
    return figure
