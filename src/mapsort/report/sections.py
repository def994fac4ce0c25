"""The sections of the report, each from what the run directory holds at the moment."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np

from mapsort.errors import FormatError
from mapsort.report import charts
from mapsort.report.assignments import assigned_sets, transitions
from mapsort.report.class_pairs import class_pairs
from mapsort.report.content import Cell, Chart, ClassGallery, Section, Strip, StripRow, Table
from mapsort.report.file_cache import FileCache
from mapsort.report.flow import sankey
from mapsort.report.junk_pictures import junk_pictures
from mapsort.report.map_pictures import map_strip_uris, strip_uris
from mapsort.report.palette import colour_of, set_colours
from mapsort.report.particles import particle_section
from mapsort.report.resolution import resolution_course, resolution_section
from mapsort.report.run_sections import log_section, resources_section, settings_section
from mapsort.rundir.result_record import ResultRecord, read_results
from mapsort.rundir.run_record import RunRecord
from mapsort.rundir.wording import counted

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
        _junk,
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
    soft = record.iterations[-1].get("soft_since") or 0
    words = (
        f"From iteration {soft} on particles go to maps by their probabilities, to their best map "
        "before."
        if soft > 1
        else "",
    )
    return Section(
        "course",
        "Course of the refinement",
        words=tuple(filter(None, words)),
        charts=(*_occupancy(record), *_movement(record), resolution_course(record)),
        tables=(_iteration_table(record),),
    )


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
    changed = charts.as_floats([entry["fraction_changed_map"] for entry in entries])
    angle = charts.as_floats([entry["mean_angle_change_deg"] for entry in entries])
    last = "unknown" if changed[-1] is None else f"{changed[-1]:.1%}"
    turned = "unknown" if angle[-1] is None else f"{angle[-1]:.1f}°"
    if record.n_models == 1:
        return [
            Chart.of_svg(
                "Rotation",
                f"Line over iterations: rotation of the particles since the last; last {turned}.",
                charts.lines_over_iterations(
                    "movement", numbers, [("", angle, colour_of(0), "solid")], label="rotation [°]"
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
            f"Last: {last} changed class since the iteration before; the others turned by {turned} "
            "on average.",
        )
    ]


def _iteration_table(record: RunRecord) -> Table:
    models = record.counts[-1].names
    rows = tuple(
        (
            entry["iteration"],
            *counts.all,
            _percent(entry["fraction_changed_map"]),
            entry["mean_angle_change_deg"],
            entry["mean_shift_change_px"],
            entry["mean_log_likelihood"],
            float(entry["scale"]),
            entry["highest_ring"],
            float(sum(entry["seconds"].values())),
        )
        for entry, counts in zip(record.iterations, record.counts, strict=True)
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
        if newest and iteration and record.is_single:
            strips.append(_sharpened(record, cache))
        shown = tuple(strip for strip in strips if strip is not None)
        title = f"Iteration {iteration}" if iteration else "Starting maps"
        if shown:
            rows.append(StripRow(f"maps-{iteration}", title, shown, newest))
    if not rows:
        return None
    words = (
        "Left: central slices perpendicular to z, y and x, on one grey scale. Right: projections "
        "along z, y and x. Bright = dense.",
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
        words += f" · {counted(entry['occupancy'][model], 'particle')} · {resolution:.1f} Å"
    place = f"iteration {iteration}" if iteration else "the start"
    return Strip(words, *uris, alt=f"map {model + 1} of {place}")


def _sharpened(record: RunRecord, cache: FileCache) -> Strip | None:
    path = record.directory.threed_filt(record.last, 1)
    uris = strip_uris(path, cache, large=True)
    if uris is None:
        return None
    bfactor = record.iterations[-1].get("bfactor_ang2")
    words = "sharpened map" if bfactor is None else f"sharpened map · B factor {bfactor:.0f} Å²"
    return Strip(words, *uris, alt=f"the sharpened map of iteration {record.last}")


def _flow(record: RunRecord, cache: FileCache) -> Section | None:
    n_models, n_junk = record.n_models, record.n_junk
    known = [
        (number, found)
        for number in record.iteration_numbers[-_FLOW_COLUMNS:]
        if (found := assigned_sets(record.directory, number, n_models, n_junk, cache)) is not None
    ]
    if len(known) < 2 or n_models + n_junk < 2:
        return None
    names = record.counts[-1].names
    tables = [transitions(before, after, len(names)) for (_, before), (_, after) in pairwise(known)]
    first, last = known[-2][0], known[-1][0]
    rows: tuple[tuple[Cell, ...], ...] = tuple(
        (name, *(int(count) for count in row), int(row.sum()))
        for name, row in zip(names, tables[-1], strict=True)
    )
    columns = (f"from (iteration {first})", *(f"to {name}" for name in names), "all")
    what = "Bars are maps and junk" if n_junk else "Bars are maps"
    return Section(
        "flow",
        "Flow of particles between maps",
        words=(f"{what}, bands are particles; strong bands are particles that changed.",),
        sankey=sankey(
            [number for number, _ in known], tables, names, set_colours(n_models, n_junk)
        ),
        tables=(Table(f"Particles that went to iteration {last}", columns, rows),),
    )


def _junk(record: RunRecord, cache: FileCache) -> Section | None:
    if not record.n_junk or not record.directory.particles(record.last).exists():
        return None
    counts = record.counts[-1]
    words = [
        "Junk enters no map: images that match no better than noise, and from junk2 on images that "
        "are nothing like their map."
    ]
    try:
        pictures = junk_pictures(record, cache)
    except FormatError as error:
        # The images may have moved since; the rest of the page is right without them.
        words.append(f"Its images cannot be shown: {error}")
        pictures = []
    made = tuple(
        Chart(
            f"{name}: {counted(n, 'particle')}",
            f"Some images of {name}, evenly spread over its {counted(n, 'particle')}.",
            png=picture,
        )
        for name, n, picture in zip(counts.junk_names, counts.junk, pictures, strict=False)
        if picture
    )
    return Section("junk", "Junk", words=tuple(words), charts=made)


def _classes(record: RunRecord, cache: FileCache) -> Section | None:
    if not record.last:
        return None
    found = class_pairs(record.directory, record.last, record.n_models, cache)
    if found is None:
        return None
    galleries = []
    for model, classes in enumerate(found):
        every = counted(classes.n_classes, "class", "classes")
        note = f"{every}, {classes.n_occupied} of them with particles"
        if classes.n_occupied > len(classes.pairs):
            note += f"; the {len(classes.pairs)} with most are shown"
        galleries.append(
            ClassGallery(
                f"classes-{model + 1}", f"Map {model + 1}", note + ".", classes.pairs, model == 0
            )
        )
    words = (
        "Each pair: class average left, projection of the map right. Bold: particles averaged; Σ: "
        "the sum of their weights in the class, where they are shared; after a minus: members kept "
        "out of the average.",
    )
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
