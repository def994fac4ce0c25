"""The sections of the report, each from what the run directory holds at the moment."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from mapsort.report import charts
from mapsort.report.abinit import abinit_section
from mapsort.report.assignments import flow_section
from mapsort.report.class_pairs import classes_section
from mapsort.report.content import Cell, Chart, Section, Table
from mapsort.report.file_cache import FileCache
from mapsort.report.latent import components_section
from mapsort.report.map_pictures import maps_section
from mapsort.report.palette import set_colours
from mapsort.report.particle_pictures import pictures_section
from mapsort.report.particles import particle_section
from mapsort.report.resolution import resolution_course, resolution_section
from mapsort.report.run_sections import log_section, resources_section, settings_section
from mapsort.rundir.result_record import ResultRecord, read_results
from mapsort.rundir.run_record import RunRecord, computing_seconds

Maker = Callable[[RunRecord, FileCache], Section | None]


def all_sections(record: RunRecord, cache: FileCache) -> list[Section]:
    """Return the sections that there is something to show for, in the order of the page."""
    results = enumerate(read_results(record.directory.path), start=1)
    return [
        *_made(_FOUND, record, cache),
        *(_result(number, result) for number, result in results),
        *_made(_HOW, record, cache),
    ]


def _made(
    kinds: tuple[tuple[str, str, int, Maker], ...], record: RunRecord, cache: FileCache
) -> Iterator[Section]:
    for name, title, least, make in kinds:
        section = make(record, cache) if len(record.iterations) >= least else None
        if section is not None:
            yield replace(section, name=name, title=title)


def _course(record: RunRecord, _: FileCache) -> Section:
    soft = record.iterations[-1].get("soft_since") or 0
    words = (
        f"Hard assignment (each particle to its best map) before iteration {soft}, then soft (to "
        "maps by probability).",
    )
    views = record.iterations[0].get("views_elsewhere") or []
    return Section(
        words=words if soft > 1 else (),
        charts=(*_occupancy(record), *_movement(record), resolution_course(record)),
        tables=(*_views_table(views), _iteration_table(record)),
    )


def _views_table(views: Sequence[Sequence[float]]) -> list[Table]:
    """Return how views settled before the first iteration, of classes from one map."""
    if not views:
        return []
    # nothing is known to compare the first iteration with
    names = ["a sample", *map(str, range(2, len(views) + 1))]
    rows: list[tuple[Cell, ...]] = [
        (name, *(100.0 * share for share in shares))
        for name, shares in zip(names, views, strict=True)
    ]
    columns = ("search", *(f"class {number}" for number in range(1, len(rows[0]))))
    return [
        Table(
            "Particles that lie elsewhere [%], before the first iteration",
            columns,
            tuple(rows),
            (None, *(1,) * len(views[0])),
            "A sample is compared with where --model has it, then all particles with the search "
            "before. Classes are found anew after the last search.",
        )
    ]


def _occupancy(record: RunRecord) -> list[Chart]:
    counts = record.counts
    names = counts[-1].names
    if len(names) < 2:
        return []
    last = ", ".join(f"{name} {n}" for name, n in zip(names, counts[-1].all, strict=True))
    return [
        Chart.of_svg(
            "Occupancy",
            f"Stacked bars: occupancy of each set in each iteration; last {last}.",
            charts.occupancy(
                record.iteration_numbers,
                np.array([item.all for item in counts]),
                names,
                set_colours(record.n_models, record.n_junk),
            ),
        )
    ]


def _movement(record: RunRecord) -> list[Chart]:
    numbers, entries = record.iteration_numbers, record.iterations
    if len(entries) < 2:
        return []
    changed = [entry["fraction_changed_map"] for entry in entries]
    angle = [entry["mean_angle_change_deg"] for entry in entries]
    last = "unknown" if changed[-1] is None else f"{changed[-1]:.1%}"
    turned = "unknown" if angle[-1] is None else f"{angle[-1]:.1f}°"
    if record.n_models == 1:
        return [
            Chart.of_svg(
                "Rotation",
                f"Line over iterations: rotation of the particles since the last; last {turned}.",
                charts.lines_over_iterations(
                    "movement", numbers, {"": angle}, label="rotation [°]"
                ),
                f"Last: {turned}.",
            )
        ]
    return [
        Chart.of_svg(
            "Changed assignments",
            "Two lines over iterations: fraction of particles that changed class, and mean "
            f"rotation of those that stayed; last {last} and {turned}.",
            charts.movement(numbers, changed, angle),
            f"Last iteration: {last} changed class; the others turned by {turned} on average.",
        )
    ]


def _iteration_table(record: RunRecord) -> Table:
    entries = record.iterations

    def figure(name: str) -> list[Cell]:
        return [entry[name] for entry in entries]

    changed = figure("fraction_changed_map")
    percent: list[Cell] = [None if share is None else 100.0 * float(share) for share in changed]
    sets = zip(*(counts.all for counts in record.counts), strict=True)
    columns: dict[str, Sequence[Cell]] = {
        "iteration": record.iteration_numbers,
        **dict(zip(record.counts[-1].names, sets, strict=True)),
        **({} if record.is_single else {"changed [%]": percent}),
        "rotation [°]": figure("mean_angle_change_deg"),
        "shift [px]": figure("mean_shift_change_px"),
        "mean score": figure("mean_log_likelihood"),
        "scale": [float(entry["scale"]) for entry in entries],
        "rings": figure("highest_ring"),
        "time [s]": [computing_seconds(entry) for entry in entries],
    }
    digits = {"scale": 3, "time [s]": 1} | dict.fromkeys(("iteration", "rings"))
    rows = tuple(zip(*columns.values(), strict=True))
    places = tuple(digits.get(name, 2) for name in columns)
    return Table("Figures of each iteration", tuple(columns), rows, places)


def _result(number: int, result: ResultRecord) -> Section:
    curves = [
        Chart.of_svg(
            item.caption,
            f"Curves: {item.caption}: {', '.join(item.names)}.",
            charts.curves_of(f"result-{number}-{i}", item),
        )
        for i, item in enumerate(result.curves)
    ]
    matrices = [
        Chart.of_svg(
            item.caption,
            f"Heat map: {item.caption}; rows {', '.join(item.row_names)}; columns "
            f"{', '.join(item.column_names)}.",
            charts.heat_map(f"matrix-{number}-{i}", item),
        )
        for i, item in enumerate(result.matrices)
    ]
    tables = tuple(Table(item.caption, item.columns, item.rows) for item in result.tables)
    return Section(
        name=f"result-{number}",
        title=result.title,
        words=result.summary,
        charts=(*curves, *matrices),
        tables=tables,
    )


#: Name, heading, how many finished iterations it needs, and what makes it if there is more to need.
_FOUND: tuple[tuple[str, str, int, Maker], ...] = (
    ("components", "Components", 0, components_section),
    ("abinit", "Maps from particles alone", 0, abinit_section),
    ("course", "Course of the refinement", 1, _course),
    ("maps", "Maps", 0, maps_section),
    ("fsc", "Fourier shell correlation", 1, resolution_section),
    ("flow", "Flow of particles between maps", 2, flow_section),
    ("particles", "Particles", 1, particle_section),
    ("classes", "Class averages", 1, classes_section),
    ("images", "Particle images", 1, pictures_section),
)
_HOW: tuple[tuple[str, str, int, Maker], ...] = (
    ("resources", "Time and memory", 0, resources_section),
    ("settings", "Settings", 0, settings_section),
    ("log", "Log", 0, log_section),
)
