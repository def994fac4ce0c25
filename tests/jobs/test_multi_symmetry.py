"""--projector, --breaksym and warnings of maps in another setting, in whole runs."""

from __future__ import annotations

import h5py
import numpy as np
import pytest

import mapsort
from mapsort.errors import ConfigError
from mapsort.geometry.euler import eman_to_matrix
from mapsort.io.mrc import read_map, write_map
from mapsort.jobs.multi import plan_text
from mapsort.options.multi import MultiOptions
from mapsort.physics.map_symmetry import moved, symmetrize
from mapsort.physics.phantom import phantom_map

BOX, APIX = 32, 4.0


def projections(run):
    with h5py.File(run.path / "projections_01.hdf") as file:
        images = file["MDF/images"]
        return np.stack([images[str(i)]["image"][()] for i in range(len(images) - 0)])


def likelihood(run):
    return run.convergence[0]["mean_log_likelihood"]


def test_the_projector_makes_the_projections_and_decides_the_scores(run_small, small_run):
    usual, real = small_run(), run_small(projector="standard")
    a, b = projections(usual), projections(real)
    assert a.shape == b.shape
    assert not np.array_equal(a, b)
    assert np.corrcoef(a.ravel(), b.ravel())[0, 1] > 0.99
    assert likelihood(usual) != likelihood(real)
    # trilinear sums are a slightly blurred map: alike to a few per cent
    assert likelihood(usual) == pytest.approx(likelihood(real), rel=0.05)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"projector": "standardx"}, r"--projector=standardx: unknown projector .*standard"),
        ({"projector": "fourier:tolerance=1"}, r"--projector=fourier:tolerance=1: .*1e-06 to 0.01"),
        ({"breaksym": True}, r"--breaksym: --sym names no symmetry"),
        ({"breaksym": True, "sym": "h5:1:20:7.5"}, r"--breaksym: takes point groups"),
        ({"sym": "h5:2:20:7.5"}, r"--sym=h5:2:20:7.5: .*one start"),
    ],
)
def test_bad_values_are_refused_by_name(options, message, run_small):
    with pytest.raises(ConfigError, match=message):
        run_small(**options)


def test_broken_symmetry_is_searched_in_full_and_not_imposed(run_tiny):
    step = "eman:delta=24"
    plain, broken = (run_tiny(sym="c4", orientgen=step, breaksym=way) for way in (False, True))
    unit = len(mapsort.orientations(step, "c4"))
    full = len(mapsort.orientations(f"{step}:breaksym=1", "c4"))
    assert full > 3 * unit
    assert len(projections(plain)) == 2 * unit
    assert len(projections(broken)) == 2 * full
    group = mapsort.symmetry("c4")
    for number, imposed in ((plain, True), (broken, False)):
        data, _ = read_map(number.path / "threed_01_01.mrc")
        change = np.linalg.norm(symmetrize(data, group) - data) / np.linalg.norm(data)
        assert (change < 0.1) == imposed
    told = "c4, c4 searched in full, poses weighed at every copy"
    assert told in (broken.path / "run.log").read_text()


def test_copies_of_broken_symmetry_are_the_originals(golden):
    for entry in golden.select(lambda e: "breaksym=1" in e["module"]):
        spec, _, sym = entry["module"].rpartition(":sym=")
        expected = eman_to_matrix(golden.outputs[entry["value"]["array"]])
        found = eman_to_matrix(mapsort.orientations(spec, sym))
        apart = np.abs(found[:, None] - expected[None]).max(axis=(2, 3))
        assert apart.shape[0] == apart.shape[1]
        assert max(apart.min(axis=0).max(), apart.min(axis=1).max()) < 1e-4


@pytest.fixture
def upright_and_turned(tmp_path):
    """A c4 map with its axis on z, and the same lying along x."""
    upright = symmetrize(phantom_map(0, BOX, APIX), mapsort.symmetry("c4")).astype(np.float64)
    lying = moved(upright, np.array([[0.0, 0, 1], [0, 1, 0], [-1, 0, 0]]))
    paths = tmp_path / "upright.mrc", tmp_path / "lying.mrc"
    for path, volume in zip(paths, (upright, lying), strict=True):
        write_map(path, volume.astype(np.float32), APIX)
    return paths


def test_a_map_in_another_setting_is_warned_of(upright_and_turned, small, run_small):
    upright, lying = upright_and_turned
    text = plan_text(
        MultiOptions(input=small.particles, models=(upright, lying), sym=("c4",)).validated()
    )
    (line,) = [line for line in text.splitlines() if line.startswith("warning: ")]
    assert line.startswith(f"warning: --sym=c4: {lying} agrees with its symmetry copies only to ")
    assert "the main axis on x" in line
    run = run_small(models=upright_and_turned, sym="c4")
    (logged,) = [
        line for line in (run.path / "run.log").read_text().splitlines() if "--sym=c4" in line
    ]
    assert str(lying) in logged


def test_helical_copies_are_inserted_where_the_helix_puts_them():
    """From views of one side of a helix's repeat, copies fill in what those do not show."""
    box, apix, name = 24, 6.0, "h5:1:72:6"
    group = mapsort.symmetry(name)
    z, y, x = np.mgrid[:box, :box, :box] - box // 2
    volume = np.zeros((box,) * 3)
    for number in range(-9, 10):
        turn = np.deg2rad(-72.0 * number)
        px, py, pz = 5 * np.cos(turn), 5 * np.sin(turn), number * 1.0
        fade = np.exp(-((pz / 4.0) ** 2))
        volume += fade * np.exp(-((x - px) ** 2 + (y - py) ** 2 + (z - pz) ** 2) / (2 * 1.2**2))
    eulers = [(az, 90.0, 0.0) for az in np.arange(0.0, 72.0, 6.0)]
    turns = eman_to_matrix(np.array(eulers))
    images = mapsort.project(volume, turns, method="fourier:tolerance=1e-5")
    alone = mapsort.reconstruct(images, turns, apix=apix).data
    helical = mapsort.reconstruct(images, turns, symmetry=name, apix=apix).data
    # what should come out: the same slices with all the views the copies stand for
    truth = symmetrize(volume, group, apix=apix)

    def agreement(found):
        middle = slice(box // 2 - 4, box // 2 + 5)
        return np.corrcoef(found[middle].ravel(), truth[middle].ravel())[0, 1]

    assert agreement(helical) > 0.95
    assert agreement(helical) > agreement(alone) + 0.05
