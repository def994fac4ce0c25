"""The viewer of the newest maps: surfaces against a sphere, slices in order, differences."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from matplotlib import colormaps
from PIL import Image

from mapsort.report.file_cache import FileCache
from mapsort.report.map_viewer import _differences, _most_different, _places, map_viewer
from mapsort.report.surfaces import surface_pictures
from mapsort.rundir.run_record import read_run

BOX = 40


def ball(radius, centre=(0, 0, 0)):
    """A ball whose density falls off over two voxels; centre (z, y, x) from the middle."""
    z, y, x = np.meshgrid(*[np.arange(BOX) - BOX // 2] * 3, indexing="ij")
    distance = np.sqrt((z - centre[0]) ** 2 + (y - centre[1]) ** 2 + (x - centre[2]) ** 2)
    return np.clip((radius + 1 - distance) / 2, 0, 1).astype(np.float32)


def picture(uri):
    kind, _, content = uri.partition(",")
    assert kind == "data:image/jpeg;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(content))))


def test_a_ball_looks_the_same_from_all_sides():
    views = surface_pictures(ball(12), [0.5], n_views=4)[0].astype(float)
    assert views.shape == (4, 80, 80)
    np.testing.assert_allclose(views[1:].mean(axis=(1, 2)), views[0].mean(), rtol=0.02)
    # The rendered cube ends two voxels beyond what the surface reaches.
    area = (views[0] > 0).mean()
    assert area == pytest.approx(np.pi * 12**2 / (2 * 14) ** 2, rel=0.05)


def test_light_comes_from_the_upper_left():
    shown = surface_pictures(ball(12), [0.5], n_views=1)[0, 0].astype(float)
    upper_left, lower_right = shown[20:40, 20:40].mean(), shown[40:60, 40:60].mean()
    assert upper_left > 1.5 * lower_right


def test_views_turn_about_z_and_z_points_up():
    """A ball at +x, +z: right and up from the front, and left once turned by half a circle."""
    volume = np.maximum(ball(5), ball(4, centre=(9, 0, 9)))
    front, back = (view > 0 for view in surface_pictures(volume, [0.5], n_views=2)[0])
    assert front[:30, 50:].any()
    assert not front[:30, :30].any()
    assert back[:30, :30].any()
    assert not back[:30, 50:].any()


def test_a_higher_level_leaves_less():
    low, high = surface_pictures(ball(12), [0.2, 0.9], n_views=1)[:, 0]
    assert (high > 0).sum() < (low > 0).sum()


def test_the_viewer_of_a_run(reported):
    record = read_run(reported)
    cache = FileCache()
    viewer = map_viewer(record, cache)
    assert len(viewer.maps) == record.n_models
    assert [axis.name for axis in viewer.maps[0].slices] == ["z", "y", "x"]
    for shown in viewer.maps:
        for axis in (*shown.slices, *shown.differences):
            height, width = picture(axis.sheet).shape[:2]
            assert height == viewer.n_slices * width
        rows, columns = picture(shown.surface).shape[:2]
        assert columns * 3 == rows * viewer.n_views
    assert map_viewer(record, cache) == viewer


def test_the_first_slice_shown_is_where_maps_differ_most():
    same = ball(12)
    other = np.maximum(same, ball(3, centre=(-8, 14, 0)))
    places = _places(BOX)
    assert abs(places[_most_different([same, other])] - (BOX // 2 - 8)) <= 1
    assert places[_most_different([same])] == pytest.approx(BOX // 2, abs=1)


def test_two_maps_differ_by_opposite_colours(reported):
    """For two maps the differences are each other's negatives: red where the other is blue."""
    one, two = (
        picture(item.differences[0].sheet).astype(float)
        for item in map_viewer(read_run(reported), FileCache()).maps
    )
    redness = [sheet[..., 0] - sheet[..., 2] for sheet in (one, two)]
    assert np.corrcoef(redness[0].ravel(), redness[1].ravel())[0, 1] < -0.8


def test_the_colours_of_differences_end_at_five_deviations():
    """As the page says: one deviation everywhere is a tenth of the colours beyond their middle."""
    shown = _differences([np.full((BOX,) * 3, value, np.float32) for value in (0.5, -0.5)])
    for sign, axes in zip((1, -1), shown, strict=True):
        colour = picture(axes[0].sheet).mean(axis=(0, 1))
        expected = 255 * np.array(colormaps["RdBu_r"](0.5 + sign / 10)[:3])
        np.testing.assert_allclose(colour, expected, atol=3)
