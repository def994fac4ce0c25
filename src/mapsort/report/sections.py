"""The sections of the report, each from what the run directory holds at the moment."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np

from mapsort.report import charts
from mapsort.report.assignments import assigned_maps, transitions
from mapsort.report.class_pairs import class_pairs
from mapsort.report.content import Cell, Chart, ClassGallery, Section, Strip, StripRow, Table
from mapsort.report.file_cache import FileCache
from mapsort.report.flow import sankey
from mapsort.report.map_pictures import map_strip_uris
from mapsort.report.particles import particle_section
from mapsort.report.resolution import resolution_course, resolution_section
from mapsort.report.run_record import RunRecord
from mapsort.report.run_sections import log_section, resources_section, settings_section
from mapsort.rundir.result_record import ResultRecord, read_results

#: Columns of the flow diagram; older iterations are left out.
_FLOW_COLUMNS = 11


def all_sections(record: RunRecord, cache: FileCache) -> list[Section]:
    """Return the sections that there is something to show for, in the order of the page."""
    makers: tuple[Callable[[RunRecord, FileCache], Section | None], ...] = (
        _course,
        _maps,
        resolution_section,
        _flow,
        particle_section,
        _classes,
    )
    made = [maker(record, cache) for maker in makers]
    results = [
        _result(number, result)
        for number, result in enumerate(read_results(record.directory.path), start=1)
    ]
    return [
        *(section for section in made if section is not None),
        *results,
        resources_section(record),
        settings_section(record),
        log_section(record),
    ]


def _course(record: RunRecord, _: FileCache) -> Section | None:
    if not record.iterations:
        return None
    numbers, entries = record.iteration_numbers, record.iterations
    counts = np.array([entry["occupancy"] for entry in entries])
    last = ", ".join(f"map {m + 1} {n}" for m, n in enumerate(counts[-1]))
    occupancy = Chart.of_svg(
        "Occupancy",
        f"Stacked bars: share of the particles with each map in each iteration; last {last}.",
        charts.occupancy(numbers, counts),
    )
    return Section(
        "course",
        "Course of the refinement",
        charts=(occupancy, *_movement(record), resolution_course(record)),
        tables=(_iteration_table(record),),
    )


def _movement(record: RunRecord) -> list[Chart]:
    numbers, entries = record.iteration_numbers, record.iterations
    if len(entries) < 2:
        return []
    changed = charts.as_floats([entry["fraction_changed_map"] for entry in entries])
    angle = charts.as_floats([entry["mean_angle_change_deg"] for entry in entries])
    last = "unknown" if changed[-1] is None else f"{changed[-1]:.1%}"
    turned = "unknown" if angle[-1] is None else f"{angle[-1]:.1f}°"
    return [
        Chart.of_svg(
            "Changed assignments",
            "Two lines over iterations: share of particles that changed map, and mean rotation of "
            f"those that stayed; last {last} and {turned}.",
            charts.movement(numbers, changed, angle),
            f"Last: {last} changed map since the iteration before; the others turned by {turned} "
            "on average.",
        )
    ]


def _iteration_table(record: RunRecord) -> Table:
    models = [f"map {model + 1}" for model in range(record.n_models)]
    rows = tuple(
        (
            entry["iteration"],
            *entry["occupancy"],
            _percent(entry["fraction_changed_map"]),
            entry["mean_angle_change_deg"],
            entry["mean_shift_change_px"],
            float(entry["mean_log_likelihood"]),
            float(entry["scale"]),
            entry["highest_ring"],
            float(sum(entry["seconds"].values())),
        )
        for entry in record.iterations
    )
    columns = (
        "iteration",
        *models,
        "changed [%]",
        "rotation [°]",
        "shift [px]",
        "mean score",
        "scale",
        "rings",
        "time [s]",
    )
    digits = (None, *[None] * len(models), 2, 2, 2, 2, 3, None, 1)
    return Table("Figures of each iteration", columns, rows, digits)


def _percent(fraction: float | None) -> float | None:
    return None if fraction is None else 100.0 * fraction


def _maps(record: RunRecord, cache: FileCache) -> Section | None:
    rows = []
    for iteration in [*reversed(record.iteration_numbers), 0]:
        newest = iteration == record.last
        strips = [
            _strip(record, iteration, model, cache, newest=newest)
            for model in range(record.n_models)
        ]
        shown = tuple(strip for strip in strips if strip is not None)
        title = f"Iteration {iteration}" if iteration else "Starting maps"
        if shown:
            rows.append(StripRow(f"maps-{iteration}", title, shown, newest))
    if not rows:
        return None
    words = (
        "Left: central slices perpendicular to z, y and x, on one grey scale. Right: projections "
        "along z, y and x. Dense is bright.",
    )
    return Section("maps", "Maps", words=words, strip_rows=tuple(rows))


def _strip(
    record: RunRecord, iteration: int, model: int, cache: FileCache, *, newest: bool
) -> Strip | None:
    uris = map_strip_uris(record, iteration, model, cache, large=newest)
    if uris is None:
        return None
    words = f"map {model + 1}"
    if iteration:
        entry = record.iterations[record.iteration_numbers.index(iteration)]
        resolution = entry["maps"][model]["resolution_fsc_0143_ang"]
        words += f" · {entry['occupancy'][model]:,} particles · {resolution:.1f} Å"
    place = f"iteration {iteration}" if iteration else "the start"
    return Strip(words, *uris, alt=f"map {model + 1} of {place}")


def _flow(record: RunRecord, cache: FileCache) -> Section | None:
    n_models = record.n_models
    known = [
        (number, found)
        for number in record.iteration_numbers[-_FLOW_COLUMNS:]
        if (found := assigned_maps(record.directory, number, n_models, cache)) is not None
    ]
    if len(known) < 2 or n_models < 2:
        return None
    tables = [transitions(before, after, n_models) for (_, before), (_, after) in pairwise(known)]
    first, last = known[-2][0], known[-1][0]
    rows: tuple[tuple[Cell, ...], ...] = tuple(
        (f"map {source + 1}", *(int(count) for count in row), int(row.sum()))
        for source, row in enumerate(tables[-1])
    )
    columns = (
        f"from (iteration {first})",
        *(f"to map {model + 1}" for model in range(n_models)),
        "all",
    )
    return Section(
        "flow",
        "Flow of particles between maps",
        words=("Bars are maps, bands are particles; strong bands are particles that changed map.",),
        sankey=sankey([number for number, _ in known], tables),
        tables=(Table(f"Particles that went to iteration {last}", columns, rows),),
    )


def _classes(record: RunRecord, cache: FileCache) -> Section | None:
    if not record.last:
        return None
    found = class_pairs(record.directory, record.last, record.n_models, cache)
    if found is None:
        return None
    galleries = []
    for model, classes in enumerate(found):
        note = f"{classes.n_occupied} of {classes.n_classes} classes have particles"
        if classes.n_occupied > len(classes.pairs):
            note += f"; the {len(classes.pairs)} with most are shown"
        galleries.append(
            ClassGallery(
                f"classes-{model + 1}", f"Map {model + 1}", note + ".", classes.pairs, model == 0
            )
        )
    words = ("Each pair: class average left, projection of the map right.",)
    return Section("classes", "Class averages", words=words, galleries=tuple(galleries))


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
        f"result-{number}",
        result.title,
        words=result.summary,
        charts=(*curves, *matrices),
        tables=tables,
    )
