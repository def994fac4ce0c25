"""``mapsort compare``: of files, of a run; what is missing is told before any work."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

import mapsort
from mapsort.errors import ConfigError, FormatError
from mapsort.geometry.transforms import Transform3D
from mapsort.model.volume import Volume
from mapsort.options.compare import CompareOptions
from mapsort.physics.image_moves import transform_image
from mapsort.physics.phantom import phantom_map

BOX, APIX = 32, 4.0


@pytest.fixture
def four_halves(tmp_path):
    """Two maps with their halves; the second holds a lump more, and is turned a little."""
    rng = np.random.default_rng(4)
    base = phantom_map(0, BOX, APIX)
    more = base.copy()
    more[13:17, 19:23, 14:18] += 0.4 * base.max()
    turn = Transform3D(Rotation.from_rotvec([0, 3, 0], degrees=True).as_matrix())
    more = transform_image(more, turn.matrix, order=3)
    for name, volume in (("a", base), ("b", more)):
        noisy = [volume + 0.4 * base.std() * rng.standard_normal(volume.shape) for _ in range(2)]
        for number, half in enumerate(noisy, start=1):
            Volume(half, APIX).write(tmp_path / f"{name}_half{number}.mrc")
        Volume(0.5 * (noisy[0] + noisy[1]), APIX).write(tmp_path / f"{name}.mrc")
    return tmp_path


def test_a_lump_is_found_in_maps_out_of_register(four_halves):
    (found,) = mapsort.commands.compare(four_halves / "a.mrc", four_halves / "b.mrc")
    mask = Volume.open(found.mask).data > 0.5
    assert mask[13:17, 19:23, 14:18].mean() > 0.8
    assert found.moved_deg == pytest.approx(3.0, abs=1.5)
    assert found.lost_kda < 0.5 * found.gained_kda
    volume_kda = 0.81e-3 * 4**3 * APIX**3
    assert found.gained_kda == pytest.approx(volume_kda, rel=2.0)
    kept = json.loads(found.deviations.with_suffix(".json").read_text())
    assert kept["called"] == mask.sum()
    called = np.abs(Volume.open(found.deviations).data[mask])
    assert kept["least_standard_errors_called"] == pytest.approx(called.min(), rel=1e-5)
    assert kept["words"] == found.words
    for path in (found.deviations, found.agreement):
        assert Volume.open(path).apix == pytest.approx(APIX)


def test_halves_of_one_map_do_not_differ(four_halves):
    rng = np.random.default_rng(5)
    base = phantom_map(0, BOX, APIX)
    for number in (1, 2):
        noisy = base + 0.4 * base.std() * rng.standard_normal(base.shape)
        Volume(noisy, APIX).write(four_halves / f"b_half{number}.mrc")
    (found,) = mapsort.commands.compare(four_halves / "a.mrc", four_halves / "b.mrc", asis=True)
    assert found.called == 0
    assert "no significant difference" in found.words


def test_missing_halves_are_told(four_halves):
    (four_halves / "b_half2.mrc").unlink()
    with pytest.raises(ConfigError, match=r"b\.mrc: its half maps are not beside it"):
        mapsort.commands.compare(four_halves / "a.mrc", four_halves / "b.mrc")


def test_maps_of_another_box_are_refused(four_halves):
    Volume(phantom_map(0, 36, APIX), APIX).write(four_halves / "b.mrc")
    with pytest.raises(FormatError, match=r"the box is 36 and .*a\.mrc has 32"):
        mapsort.commands.compare(four_halves / "a.mrc", four_halves / "b.mrc")


@pytest.mark.parametrize(
    ("maps", "words"),
    [
        (("a.mrc", "b.mrc", "c.mrc"), "two maps, or the directory of a run"),
        ((), "two maps, or the directory of a run"),
    ],
)
def test_other_than_two_maps_are_refused(maps, words):
    with pytest.raises(ConfigError, match=words):
        CompareOptions(run=tuple(map(Path, maps))).validated()


def test_options_that_do_not_fit_are_refused():
    two, run = (Path("a"), Path("b")), (Path("multi_00"),)
    for given, name in (
        ({"run": two, "halves": two}, "--halves"),
        ({"run": run, "halves": two + two}, "--halves"),
        ({"run": run, "apix": 1.0}, "--apix"),
        ({"run": two, "iter": 1}, "--iter"),
        ({"run": two, "fdr": 1.0}, "--fdr"),
    ):
        with pytest.raises(ConfigError, match=name):
            CompareOptions(**given).validated()


def test_maps_of_a_run(small_run, tmp_path):
    run = small_run(iter=2)
    (found,) = mapsort.commands.compare(run.path, parallel="thread:1", out=tmp_path)
    assert found.deviations == tmp_path / "difference_02_01_02.mrc"
    assert found.maps == ("map 1", "map 2")
    assert found.tested > 0
