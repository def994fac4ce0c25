"""Single-map refinement: halves that never meet, results that hold against the truth."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from mapsort.errors import ConfigError
from mapsort.geometry.euler import relion_to_matrix
from mapsort.io.mrc import write_stack
from mapsort.io.mrc_stack import MrcStack
from mapsort.io.star import read_particles
from mapsort.jobs.eotest import eotest
from mapsort.jobs.refine import refine
from mapsort.jobs.simulate import simulate
from mapsort.jobs.split import split
from mapsort.model.poses import Poses
from mapsort.model.volume import Volume
from mapsort.options.simulate import SimulateOptions
from mapsort.physics.fsc import fsc, independent_counts, resolution_at
from mapsort.physics.phantom import phantom_map
from mapsort.refinement.halves.search import tilted
from mapsort.refinement.halves.start import half_seeds
from mapsort.refinement.stopping import reason_to_stop_single
from mapsort.report.page import write_report
from mapsort.rundir.layout import RunDirectory
from mapsort.rundir.manifest import read_manifest
from mapsort.rundir.text import read_fsc

BOX, APIX, N = 40, 3.2, 320


@pytest.fixture(scope="module")
def problem(tmp_path_factory):
    """One state at SNR 0.2, with CTF and shifts."""
    out = tmp_path_factory.mktemp("one_state")
    return simulate(
        SimulateOptions(
            phantom=1, out=out, n=N, box=BOX, apix=APIX, snr=0.2, shift=2.0, seed=5, seedres=20.0
        )
    )


def run(problem, path, **options):
    settings = {"iter": 3, "randomseed": 1, "parallel": "thread:1", "path": path, "speed": 7}
    particles = options.pop("particles", problem.particles)
    return refine(particles, problem.seeds[0], **(settings | options))


@pytest.fixture(scope="module")
def finished(problem, tmp_path_factory):
    return run(problem, tmp_path_factory.mktemp("refined") / "refine_00")


@pytest.fixture(scope="module")
def first(problem, tmp_path_factory):
    """One iteration."""
    return run(problem, tmp_path_factory.mktemp("first") / "refine_00", iter=1)


def test_seeds_of_the_halves_have_nothing_in_common_beyond_the_starting_resolution():
    """Up to it they are equal; beyond, their FSC is that of independent noise: 1/sqrt(terms)."""
    volume = phantom_map(0, 64, 3.0)
    even, odd = half_seeds(volume, 24.0, 3.0, seed=4)
    curve = fsc(even, odd)
    edge = int(64 * 3.0 / 24.0)
    assert np.all(curve[1:edge] > 0.999)
    # what the low-pass has left is float32 rounding from 1.5 times the cutoff on
    beyond = np.arange(edge + 1, int(1.5 * edge))
    spread = 1.0 / np.sqrt(independent_counts(64, ndim=3)[beyond])
    assert np.all(np.abs(curve[beyond]) < 4.0 * spread)
    assert np.abs(np.fft.rfftn(even)).max() > 0


def test_seeds_follow_the_random_seed():
    volume = phantom_map(0, 32, 4.0)
    one, again, other = (half_seeds(volume, 24.0, 4.0, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, again)
    assert not np.allclose(one[0], other[0])


def test_the_even_map_does_not_see_the_odd_particles(problem, first, tmp_path):
    """Odd particles replaced by noise: the even map stays the same, bit by bit.

    Before the first FSC has been measured; after it only that curve passes between the halves.
    """
    images = MrcStack(problem.particles.with_suffix(".mrcs")).read(np.arange(N))
    rng = np.random.default_rng(0)
    images[1::2] = rng.standard_normal(images[1::2].shape).astype(np.float32)
    other = tmp_path / "other"
    other.mkdir()
    write_stack(other / "particles.mrcs", [images], APIX)
    (other / "particles.star").write_text(problem.particles.read_text())
    after = run(problem, tmp_path / "b", iter=1, particles=other / "particles.star")
    for name in ("threed_even_00_01.mrc", "threed_even_01_01.mrc"):
        even, again = (Volume.open(made.path / name).data for made in (first, after))
        np.testing.assert_array_equal(even, again)
    assert not np.array_equal(first.half_maps[1].data, after.half_maps[1].data)


def test_half_map_resolution_is_that_against_the_truth(finished, problem):
    """FSC 0.143 of halves and 0.5 against the truth mean the same (Rosenthal & Henderson 2003).

    With 320 particles shells scatter by some 0.05 about the curve: a shell, a tenth here.
    """
    truth = Volume.open(problem.particles.parent / "true_01.mrc").data
    mask = finished.mask.data
    mean = 0.5 * (finished.half_maps[0].data + finished.half_maps[1].data)
    against = resolution_at(fsc(mean * mask, truth * mask), 0.5, APIX, box=BOX)
    assert finished.resolution_ang == pytest.approx(against, rel=0.12)
    assert finished.resolution_ang < 14.0


def test_poses_are_found(finished, problem):
    _, table = read_particles(problem.particles.parent / "particles_truth.star")
    names = ["rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi"]
    true = relion_to_matrix(table[names].to_numpy(float))
    found = relion_to_matrix(finished.assignments[names].to_numpy(float))
    # the frame of the map is that of its seed, and may have drifted as a whole
    cosine = 0.5 * (np.einsum("nij,nij->n", found, true) - 1)
    assert np.median(np.rad2deg(np.arccos(np.clip(cosine, -1, 1)))) < 6.0


def test_the_run_directory_is_complete(finished):
    directory = RunDirectory(finished.path)
    for iteration in (1, 2, 3):
        for path in (
            directory.maps(iteration, 1),
            directory.threed_even(iteration, 1),
            directory.threed_odd(iteration, 1),
            directory.threed_filt(iteration, 1),
            directory.threed_mask(iteration, 1),
            directory.fsc_eo(iteration, 1),
            directory.fsc(iteration, 1),
            directory.particles(iteration),
        ):
            assert path.is_file(), path.name
    for path in (directory.maps(0, 1), directory.threed_even(0, 1), directory.threed_odd(0, 1)):
        assert path.is_file()
    frequency, curves = read_fsc(directory.fsc_eo(3, 1))
    assert curves.shape == (BOX // 2 + 1, 4)
    assert resolution_at(curves[:, 0], 0.143, APIX, box=BOX) == pytest.approx(
        finished.resolution_ang, abs=0.01
    )
    assert frequency[-1] == pytest.approx(0.5 / APIX)
    _, table = read_particles(directory.particles(3))
    np.testing.assert_array_equal(table["rlnRandomSubset"], np.arange(N) % 2 + 1)
    assert read_manifest(directory.parms).options["independent_halves"] is True


def test_the_record_tells_the_course(finished):
    entries = json.loads((finished.path / "convergence.json").read_text())["iterations"]
    assert [entry["iteration"] for entry in entries] == [1, 2, 3]
    assert entries[0]["mean_angle_change_deg"] is None
    assert entries[-1]["end"] == "ended: 3 iterations asked for"
    assert entries[-1]["maps"][0]["resolution_fsc_0143_ang"] == pytest.approx(
        finished.resolution_ang, abs=1e-3
    )


def test_the_report_shows_it(finished):
    page = write_report(finished.path).read_text()
    assert "independent half maps" in page
    assert "Halves share references" not in page


def test_threads_do_not_change_the_result(problem, first, tmp_path):
    two = run(problem, tmp_path / "two", iter=1, parallel="thread:2")
    np.testing.assert_array_equal(first.assignments["rlnAngleRot"], two.assignments["rlnAngleRot"])
    # sums of slices are ordered by bricks, not by threads
    np.testing.assert_allclose(first.map.data, two.map.data, atol=1e-5 * first.map.data.max())


def test_final_maps_follow_the_options(problem, first, tmp_path):
    # no shells beyond 10 A to fit the decay in: the map stays as it is
    assert first.convergence[-1]["bfactor_ang2"] is None
    np.testing.assert_array_equal(first.sharpened.data, first.map.data)
    curve = tmp_path / "flat.txt"
    curve.write_text("0.0 1.0\n0.2 1.0\n")
    shaped = run(problem, tmp_path / "shaped", iter=1, m3dsetsf=curve)
    assert not np.allclose(shaped.sharpened.data, shaped.map.data)
    assert shaped.convergence[-1]["bfactor_ang2"] is None
    given = run(problem, tmp_path / "given", iter=1, bfactor=150)
    assert given.convergence[-1]["bfactor_ang2"] == 150.0
    # the same poses and halves whatever is done with the final map
    np.testing.assert_array_equal(given.half_maps[0].data, first.half_maps[0].data)


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("startres", 500.0, "--startres=500"),
        ("startres", 1.0, "--startres=1"),
        ("simcmp", "frc", "--simcmp=frc"),
        ("sym", "d7,c7", "--sym=d7,c7"),
        ("mass", "10,20", "--mass="),
        ("bfactor", "much", "--bfactor=much"),
        ("startiter", 2, "--startiter"),
    ],
)
def test_bad_values_are_refused_by_name(problem, tmp_path, option, value, words):
    with pytest.raises(ConfigError, match=words):
        run(problem, tmp_path / "x", **{option: value})
    assert not (tmp_path / "x").exists()


def test_tilted_starts_lie_so_many_degrees_off():
    rotation = np.broadcast_to(np.eye(3), (2, 1, 3, 3))
    poses = Poses(
        np.zeros((2, 1), np.int32), rotation, np.ones((2, 1, 2)), np.zeros((2, 1), np.float32)
    )
    made = tilted(poses, 5.0)
    assert made.model.shape == (2, 4)
    cosine = 0.5 * (np.einsum("nkii->nk", made.rotation) - 1)
    np.testing.assert_allclose(np.rad2deg(np.arccos(cosine)), 5.0, atol=1e-6)
    # about x and y: the views differ, and the in-plane angle does not
    np.testing.assert_allclose(made.rotation[..., 0, 1], 0.0, atol=1e-12)
    np.testing.assert_array_equal(made.origin, 1.0)


def entry(resolution, step):
    return {"maps": [{"resolution_fsc_0143_ang": resolution}], "angular_step_deg": step}


def test_it_stops_when_nothing_is_gained_about_the_last_poses():
    local = [entry(10.0, 9.0), entry(8.0, None), entry(7.95, None)]
    assert reason_to_stop_single(local, None) is None
    assert "converged" in str(reason_to_stop_single([*local, entry(7.99, None)], None))
    assert reason_to_stop_single([*local, entry(7.0, None)], None) is None
    everywhere = [entry(8.0, 9.0)] * 4
    assert reason_to_stop_single(everywhere, None) is None
    assert "asked for" in str(reason_to_stop_single(everywhere, 4))
    assert "without having converged" in str(reason_to_stop_single(everywhere * 10, None))


def test_its_even_odd_test_is_that_of_its_own_halves(finished):
    """Nothing better can be had from classes: the halves never met."""
    made = eotest(finished.path)
    (item,) = made.maps
    assert (item.n_even, item.n_odd) == (N // 2, N // 2)
    assert item.resolution_0143_ang == pytest.approx(finished.resolution_ang, abs=0.01)
    np.testing.assert_array_equal(
        Volume.open(item.even).data, Volume.open(finished.path / "threed_even_03_01.mrc").data
    )


def test_its_particles_make_one_set(finished):
    made = split(finished.path)
    assert [len(item) for item in made.sets] == [N]


def test_a_full_disk_is_told_before_any_work(problem, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))
    with pytest.raises(ConfigError, match="of disk, and 1000 B are free there"):
        run(problem, tmp_path / "x")
    assert not (tmp_path / "x").exists()
