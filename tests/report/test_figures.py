"""What is behind the figures: flows, directions, pictures, class pairs, charts."""

from __future__ import annotations

import base64
import io
import itertools
import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mapsort.geometry.euler import relion_to_matrix
from mapsort.geometry.symmetry import symmetry
from mapsort.io.hdf import HdfReader
from mapsort.io.hdf_header import header_list
from mapsort.io.star import read_particles
from mapsort.report import charts
from mapsort.report.assignments import assigned_sets, transitions
from mapsort.report.chart_frame import chart_style
from mapsort.report.class_pairs import class_pairs, correlation_in_circle
from mapsort.report.directions import SMOOTHING_DEG, direction_density, empty_share
from mapsort.report.file_cache import FileCache
from mapsort.report.flow import sankey
from mapsort.report.particles import particle_section
from mapsort.rundir.layout import RunDirectory
from mapsort.rundir.matrices import map_starts
from mapsort.rundir.result_record import ResultCurves, ResultMatrix
from mapsort.rundir.run_record import read_run


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=60))
def test_transitions_count_pairs(pairs):
    before, after = np.array(pairs).T
    table = transitions(before, after, 4)
    for source in range(4):
        for target in range(4):
            assert table[source, target] == pairs.count((source, target))


@given(st.integers(2, 5), st.integers(2, 6), st.integers(0, 2**32 - 1))
@settings(max_examples=30)
def test_bars_and_bands_are_as_high_as_their_particles(n_models, n_columns, seed):
    rng = np.random.default_rng(seed)
    chosen = rng.integers(0, n_models, (n_columns, 500))
    tables = [transitions(a, b, n_models) for a, b in itertools.pairwise(chosen)]
    names = [*(f"map {model}" for model in range(1, n_models)), "junk"]
    drawn = sankey(range(n_columns), tables, names, [f"#00000{i}" for i in range(n_models)])
    counts = np.array([np.bincount(column, minlength=n_models) for column in chosen])
    heights = np.array([node.height for node in drawn.nodes]).reshape(n_columns, n_models)
    filled = counts > 0
    unit = heights[filled].sum() / counts.sum()
    # Heights are written with two decimals, and no bar is thinner than half a unit.
    expected = np.maximum(unit * counts, 0.5)
    np.testing.assert_allclose(heights, expected, atol=0.02 + 0.5 * (~filled).sum() / counts.sum())
    assert len(drawn.ribbons) == sum(np.count_nonzero(table) for table in tables)
    assert max(node.y + node.height for node in drawn.nodes) <= drawn.height
    bottoms = [node.y + node.height for node in drawn.nodes]
    tops = [node.y for node in drawn.nodes]
    assert [node.label for node in drawn.nodes[:n_models]] == [*map(str, range(1, n_models)), "j"]
    assert "junk" in drawn.nodes[n_models - 1].title
    assert {node.colour for node in drawn.nodes[n_models - 1 :: n_models]} == {
        f"#00000{n_models - 1}"
    }
    for column in range(n_columns):
        own = slice(column * n_models, (column + 1) * n_models)
        assert all(np.array(tops[own][1:]) >= np.array(bottoms[own][:-1]))


def test_assigned_maps_are_those_of_the_particle_table(reported):
    run = RunDirectory(reported)
    for iteration in (1, 2, 3):
        table = read_particles(run.particles(iteration))[1]
        found = assigned_sets(run, iteration, 2, 0, FileCache())
        assert (found + 1).tolist() == table["rlnClassNumber"].astype(int).tolist()


def test_map_starts_are_where_the_number_changes(reported):
    path = RunDirectory(reported).projections(3)
    with HdfReader(path) as reader:
        model = [reader.header(i)["model_id"] for i in range(reader.n_images)]
    assert map_starts(path, 2).tolist() == [0, model.index(2), len(model)]


def sphere_mean(density):
    rows = density.shape[0]
    weight = np.cos(np.deg2rad((np.arange(rows) + 0.5) * 180 / rows - 90))
    return float(np.average(density.mean(axis=1), weights=weight))


@given(st.integers(1, 400), st.integers(0, 2**32 - 1), st.sampled_from(["c1", "c4", "d7", "oct"]))
@settings(max_examples=15, deadline=None)
def test_the_mean_density_of_directions_is_one(n, seed, group):
    rng = np.random.default_rng(seed)
    rot, tilt = rng.uniform(-180, 180, n), np.rad2deg(np.arccos(rng.uniform(-1, 1, n)))
    density = direction_density(rot, tilt, symmetry(group).matrices)
    # The grid of 4 degrees integrates a kernel of 6 degrees to a few thousandths.
    assert sphere_mean(density) == pytest.approx(1.0, abs=0.01)


@pytest.mark.parametrize(("rot", "tilt"), [(30.0, 70.0), (-170.0, 120.0), (179.9, 91.0)])
def test_one_direction_gives_one_peak_of_the_kernels_height(rot, tilt):
    density = direction_density(np.array([rot]), np.array([tilt]))
    row, column = np.unravel_index(density.argmax(), density.shape)
    assert abs((row + 0.5) * 4 - 90 - (90 - tilt)) <= 4
    away = (column + 0.5) * 4 - 180 - rot
    assert abs((away + 180) % 360 - 180) <= 4
    # 2 kappa at the peak; a grid point and a cell centre may each lie 2 to 3 degrees off.
    highest = 2 / np.deg2rad(SMOOTHING_DEG) ** 2
    assert 0.6 * highest < density.max() <= highest * 1.001


def test_symmetric_directions_are_the_third_rows_of_equivalent_rotations():
    angles = np.array([[20.0, 65.0, 130.0]])
    group = symmetry("c4").matrices
    third = (relion_to_matrix(angles) @ group)[:, 2]
    density = direction_density(angles[:, 0], angles[:, 1], group)
    for x, y, z in third:
        row = int((np.rad2deg(np.arcsin(z)) + 90) / 4)
        column = int((np.rad2deg(np.arctan2(y, x)) + 180) / 4)
        assert density[row, column] > 0.4 * density.max()
    assert empty_share(density) > 0.7


def test_class_pairs_are_the_most_populated_with_their_counts(reported):
    run = RunDirectory(reported)
    shown = class_pairs(run, 3, 2, FileCache())
    with HdfReader(run.classes(3)) as classes, HdfReader(run.projections(3)) as references:
        headers = [classes.header(i) for i in range(classes.n_images)]
        for number, own in enumerate(shown, start=1):
            mine = [h for h in headers if h["model_id"] == number]
            assert own.note.startswith(f"{len(mine)} projections, ")
            counts = sorted((h["ptcl_repr"] for h in mine if h["ptcl_repr"]), reverse=True)
            assert [pair.count for pair in own.pairs] == counts[: len(own.pairs)]
            for pair in own.pairs:
                excluded = header_list(headers[pair.number], "exc_class_ptcl_idxs")
                assert pair.excluded == len(excluded)
                a, b = classes.image(pair.number), references.image(pair.number)
                assert pair.likeness == pytest.approx(correlation_in_circle(a, b))


def test_likeness_is_pearsons_correlation():
    rng = np.random.default_rng(1)
    a = rng.normal(size=(15, 15))
    b = a + rng.normal(size=(15, 15))
    y, x = np.mgrid[:15, :15] - 7
    inside = x**2 + y**2 <= 36
    expected = np.corrcoef(a[inside], b[inside])[0, 1]
    assert correlation_in_circle(a, b) == pytest.approx(expected)
    assert correlation_in_circle(a, 3 * a + 2) == pytest.approx(1.0)
    assert correlation_in_circle(a, np.ones((15, 15))) == 0.0


def test_a_file_is_read_again_only_when_it_has_changed(tmp_path):
    path, seen = tmp_path / "a", []
    path.write_text("one")

    def read(p):
        seen.append(p.read_text())
        return seen[-1]

    cache = FileCache()
    assert [cache.get("x", path, read) for _ in range(2)] == ["one", "one"]
    path.write_text("three")
    assert cache.get("x", path, read) == "three"
    assert cache.get("y", path, read) == "three"
    assert seen == ["one", "three", "three"]


CURVE = np.linspace(1, 0, 33)
FREQUENCY = np.arange(33) / 128


def drawn_charts():
    styled = [(f"map {m}", CURVE**m, "#0072B2", "solid") for m in (1, 2)]
    numbers = [1, 2, 3]
    record = ResultCurves("c", "x", "FSC", tuple(FREQUENCY), ("a",), (tuple(CURVE),), (0.143,))
    plain = ResultCurves("c", "x", "y", tuple(FREQUENCY), ("a",), (tuple(CURVE),), (0.5,))
    matrix = ResultMatrix("m", ("set 1",), ("map 1", "map 2"), ((1.0, None),))
    return {
        "occupancy": charts.occupancy(
            numbers, np.array([[1, 3], [2, 2], [4, 0]]), ["map 1", "junk"], ["#000", "#888"]
        ),
        "lines": charts.lines_over_iterations("lines", numbers, {"a": [None, 1.0, 2.0]}, label="l"),
        "movement": charts.movement(numbers, [None, 0.1, 0.0], [None, 5.0, 1.0]),
        "stages": charts.stage_times(numbers, [{"match": 700.0, "other": 1.0}] * 3),
        "fsc": charts.fsc_curves("fsc", FREQUENCY, styled, marked=[5.0]),
        "histograms": charts.histograms(
            "h",
            [CURVE, CURVE / 2],
            label="s",
            limits=(0, 1),
            names=["map 1", "junk"],
            colours=["#000", "#888"],
        ),
        "result": charts.curves_of("result", record),
        "plain": charts.curves_of("plain", plain),
        "matrix": charts.heat_map("matrix", matrix),
    }


@pytest.mark.parametrize("values", [[8.0], [8.0, 8.0, 8.0], [None, 3.0, 8.0], [0.0, 0.0]])
def test_the_highest_points_of_lines_are_inside(monkeypatch, values):
    monkeypatch.setattr(charts, "svg", lambda figure, _: figure)
    with chart_style():
        figure = charts.lines_over_iterations("l", range(len(values)), {"a": values}, label="l")
    highest = max(value for value in values if value is not None)
    low, high = figure.axes[0].get_ylim()
    assert low == 0
    assert high > 1.05 * highest
    assert high == pytest.approx(1.08 * highest or 1)


@pytest.mark.parametrize(
    "names",
    [
        [f"map {m}, {what}" for m in (1, 2) for what in ("masked", "no mask", "random phases")],
        ["corrected", "masked", "no mask", "random phases"],
        [f"map {m}" for m in range(1, 9)],
        ["map 1", "junk", "junk2"],
        ["a name of so many letters that two of them stand in no row"] * 3,
    ],
)
def test_every_label_of_a_legend_is_inside_the_chart(monkeypatch, names):
    monkeypatch.setattr(charts, "svg", lambda figure, _: figure)
    styled = [(name, CURVE, "#000", "solid") for name in names]
    with chart_style():
        figure = charts.fsc_curves("fsc", FREQUENCY, styled)
        figure.draw_without_rendering()
        (legend,) = figure.legends
        words = [text.get_text() for text in legend.get_texts()]
        extents = [text.get_window_extent() for text in legend.get_texts()]
    assert words == names
    assert all(e.x0 >= 0 and e.x1 <= figure.bbox.width for e in extents)
    assert all(e.y1 <= figure.bbox.height for e in extents)


def test_charts_are_well_formed_and_share_no_names():
    with chart_style():
        drawn = drawn_charts()
    names = []
    for name, text in drawn.items():
        root = ElementTree.fromstring(text)
        names += [element.get("id") for element in root.iter() if element.get("id")]
        assert len(text) < 60_000, name
    assert len(names) == len(set(names))
    assert "map 2" in drawn["fsc"]
    assert "match" in drawn["stages"]
    # 0.25 / A, the highest of these frequencies, is 4 A.
    assert ">4<" in drawn["fsc"]


def test_many_maps_are_told_apart():
    from mapsort.report.palette import colour_of, dash_of

    styles = {(colour_of(i), dash_of(i)) for i in range(24)}
    assert len(styles) == 24


def test_the_densest_part_of_a_sphere_is_the_brightest():
    density = np.ones((45, 90))
    density[22, 45] = 3.0
    with chart_style():
        drawn = charts.mollweide("sphere", density)
    picture = re.search(r"data:image/png;base64,\s*([^\"]+)", drawn)[1]
    shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(picture))).convert("LA"), float)
    shown = shown[..., 0] * (shown[..., 1] > 0)
    brightest = np.unravel_index(np.argmax(shown), shown.shape)
    np.testing.assert_allclose(brightest, np.array(shown.shape) / 2, rtol=0.1)


@pytest.fixture(scope="module")
def by_class(reported):
    """Charts of the particles of a run, by title, and their table."""
    record = read_run(reported)
    made = {chart.title: chart for chart in particle_section(record, FileCache()).charts}
    return made, read_particles(record.directory.particles(record.last))[1]


def test_properties_are_told_by_class(by_class):
    made, table = by_class
    assert {"Defocus by class", "Shift by class", "Scale by class"} < set(made)
    defocus = 0.5e-4 * (table["rlnDefocusU"] + table["rlnDefocusV"]).astype(float)
    medians = defocus.groupby(table["rlnClassNumber"].astype(int)).median()
    told = ", ".join(f"map {number} {value:.3g}" for number, value in medians.items())
    assert told in made["Defocus by class"].alt
    assert "of the class" in made["Defocus by class"].svg
