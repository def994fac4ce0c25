"""``mapsort abinit``: maps from particles alone, what is written and told, what is refused."""

from __future__ import annotations

import json
import re
import shutil

import numpy as np
import pytest

import mapsort
from mapsort.cli.main import main
from mapsort.errors import ConfigError, FormatError
from mapsort.geometry.euler import relion_to_matrix
from mapsort.io.mrc import read_map, write_map, write_stack
from mapsort.io.star import read_particles
from mapsort.jobs.simulate import Simulated, simulate
from mapsort.options.simulate import SimulateOptions
from mapsort.rundir.run_record import RunState, read_run
from mapsort.stages.map_register import other_hand

QUICK = {"randomseed": 1, "starts": 1, "parallel": "thread:1"}


@pytest.fixture(scope="module")
def one_state(tmp_path_factory) -> Simulated:
    out = tmp_path_factory.mktemp("one")
    like = {"n": 300, "snr": 0.2, "shift": 1.0, "seed": 3}
    return simulate(SimulateOptions(phantom=1, box=32, apix=4.0, out=out, **like))


@pytest.fixture(scope="module")
def coarse(one_state, tmp_path_factory):
    path = tmp_path_factory.mktemp("abinit") / "run"
    return mapsort.abinit(one_state.particles, path=path, targetres=25, **QUICK)


def views_of(table):
    names = ["rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi"]
    return relion_to_matrix(table[names].to_numpy(float))


def median_view_error_deg(found, true):
    """Of directions, after the best common turn, in the better hand."""
    best = 180.0
    mirror = np.diag([1.0, 1.0, -1.0])
    for own in (found, mirror @ found @ mirror):
        for guess in range(0, len(own), 5):
            turn = own[guess].T @ true[guess]
            for _ in range(3):
                cosine = np.einsum("nj,nj->n", (own @ turn)[:, 2], true[:, 2])
                near = cosine > np.cos(np.deg2rad(25))
                u, _, v = np.linalg.svd(np.einsum("nij,nik->jk", own[near], true[near]))
                turn = u @ np.diag([1, 1, np.linalg.det(u @ v)]) @ v
            cosine = np.einsum("nj,nj->n", (own @ turn)[:, 2], true[:, 2])
            best = min(best, float(np.rad2deg(np.arccos(np.median(np.clip(cosine, -1, 1))))))
    return best


def test_views_are_found_without_a_map(one_state, tmp_path):
    found = mapsort.abinit(one_state.particles, path=tmp_path / "run", targetres=16, **QUICK)
    true = views_of(read_particles(one_state.truth)[1])
    assert median_view_error_deg(views_of(found.assignments), true) < 15.0
    assert found.structure
    assert found.gain > 10 * found.gain_error
    assert found.signs == ()
    assert "1 map up to 16.0 A, of unknown hand" in found.words


def test_what_is_written_fits_together(coarse):
    summary = json.loads((coarse.path / "abinit.json").read_text())
    assert summary["structure"]
    assert summary["maps"] == 1
    assert summary["held_out_gain_nat"] == pytest.approx(coarse.gain)
    volume, apix = read_map(coarse.path / "map_01.mrc")
    np.testing.assert_array_equal(volume, coarse.maps[0].data)
    assert apix == pytest.approx(4.0)
    # centred, white
    line = np.arange(32) - 16
    density = np.maximum(volume - 0.1 * volume.max(), 0)
    for axis in range(3):
        others = tuple({0, 1, 2} - {axis})
        assert abs(density.sum(axis=others) @ line / density.sum()) < 1.0
    assert set(coarse.assignments["rlnClassNumber"]) == {1}


@pytest.mark.parametrize(
    "where", ["thread:3", pytest.param("dask:local=2", marks=pytest.mark.slow)]
)
def test_threads_and_workers_do_not_matter(one_state, coarse, tmp_path, where):
    again = mapsort.abinit(
        one_state.particles,
        path=tmp_path / "run",
        targetres=25,
        **(QUICK | {"parallel": where}),
    )
    assert again.maps[0].data.tobytes() == coarse.maps[0].data.tobytes()
    assert again.assignments.equals(coarse.assignments)


def test_a_run_goes_on_from_the_stages_it_has_done_and_turns_its_hand(one_state, coarse, tmp_path):
    path = tmp_path / "run"
    words = ["abinit", "--input", one_state.particles, "--path", path, "--targetres", "25", "-q"]
    words += ["--starts", "1", "--randomseed", "1", "--parallel", "thread:1"]
    assert main([str(word) for word in words]) == 0
    kept = sorted((path / "checkpoint").glob("all_*.npz"))
    kept[-1].unlink()
    (path / "abinit.json").unlink()
    assert main(["abinit", "--resume", str(path), "--hand", "-q"]) == 0
    volume = read_map(path / "map_01.mrc")[0]
    np.testing.assert_array_equal(volume, other_hand(coarse.maps[0].data))
    mirror = np.diag([1.0, 1.0, -1.0])
    turned = views_of(read_particles(path / "particles.star")[1])
    own = views_of(coarse.assignments)
    np.testing.assert_allclose(turned, mirror @ own @ mirror, atol=1e-4)
    assert (path / "abinit.png").read_bytes().startswith(b"\x89PNG")
    report = (path / "report" / "index.html").read_text()
    assert "1 map to 25.6" in report
    assert "There are no warnings about the maps." in report
    assert read_run(path).state is RunState.FINISHED
    with pytest.raises(ConfigError, match=r"--nmodels: differs from the run"):
        mapsort.commands.abinit(resume=path, nmodels=2)
    assert main(["abinit", "--resume", str(path), "--latesym", "d3", "-q"]) == 0
    # a phantom without symmetry stays as it is
    np.testing.assert_array_equal(read_map(path / "map_01.mrc")[0], coarse.maps[0].data)
    told = json.loads((path / "abinit.json").read_text())["signs"]
    assert [line[:29] for line in told] == ["map 1 has no symmetry d3: abo"]


def test_check_tells_what_would_run(one_state, tmp_path, capsys):
    words = ["abinit", "--input", one_state.particles, "--path", tmp_path / "run", "--check"]
    assert main([str(word) for word in words]) == 0
    told = capsys.readouterr().out
    assert "4 random starts of 1 map; batches of particles at 3/" in told
    assert "then 5 rounds of all particles, up to 11.6 A" in told
    assert re.search(r"^time: about \d+ (s|min), from a trial", told, re.MULTILINE)
    assert re.search(r"; at most \d+ (s|min) if all poses are sought again", told)
    assert not (tmp_path / "run").exists()


def test_what_stands_for_maps_is_not_held_against_the_symmetry(one_state, tmp_path):
    asked = QUICK | {"sym": "d7", "targetres": 40}
    run = mapsort.abinit(one_state.particles, path=tmp_path / "run", **asked)
    assert "symmetry copies" not in (run.path / "run.log").read_text()


def test_junk_is_told_and_kept_out(one_state, tmp_path):
    """A tenth of the images becomes noise, a tenth lumps; the shuffled rest keeps its numbers."""
    images = read_map(one_state.stack)[0].copy()
    rng = np.random.default_rng(8)
    junk = rng.permutation(len(images))[: len(images) // 5]
    images[junk] = images.std() * rng.standard_normal((len(junk), 32, 32))
    line = np.arange(32) - 16
    for number in junk[::2]:
        y, x, size = *rng.uniform(-6, 6, 2), rng.uniform(3, 6)
        lump = np.exp(-((line[:, None] - y) ** 2 + (line - x) ** 2) / (2 * size**2))
        images[number] += 2 * images.std() * lump.astype(np.float32)
    write_stack(tmp_path / "particles.mrcs", images, apix=4.0)
    shutil.copy(one_state.particles, tmp_path / "particles.star")
    path = tmp_path / "run"
    found = mapsort.abinit(tmp_path / "particles.star", path=path, targetres=16, **QUICK)
    told = found.assignments["rlnClassNumber"].to_numpy() == 2
    is_junk = np.isin(np.arange(len(images)), junk)
    assert told[is_junk].mean() > 0.95
    assert told[~is_junk].mean() < 0.02
    assert found.n_junk == told.sum() == json.loads((path / "abinit.json").read_text())["junk"]
    probability = found.assignments["mapsortJunkProbability"].to_numpy()
    np.testing.assert_array_equal(told, probability > 0.8)
    true = views_of(read_particles(one_state.truth)[1])
    views = views_of(found.assignments)
    assert median_view_error_deg(views[~is_junk], true[~is_junk]) < 15.0
    assert f"; {found.n_junk} images of junk" in found.words
    assert f"junk: {found.n_junk} of {len(images)} images" in (path / "run.log").read_text()


def test_noise_holds_no_structure(tmp_path):
    noise = np.random.default_rng(5).standard_normal((300, 32, 32)).astype(np.float32)
    write_stack(tmp_path / "noise.mrcs", noise, apix=4.0)
    found = mapsort.abinit(tmp_path / "noise.mrcs", path=tmp_path / "run", targetres=25, **QUICK)
    assert not found.structure
    assert found.words.startswith("no structure")


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"sym": "c1,c2"}, "one symmetry"),
        ({"sym": "h3:1:20:5"}, "helices"),
        ({"latesym": "h3:1:20:5"}, "helices"),
        ({"latesym": "c1"}, "--latesym=c1: expected a symmetry with axes"),
        ({"sym": "c2", "latesym": "d2"}, "--latesym=d2: expected no value with --sym"),
        ({"diameter": 200.0}, "more than the box of 128 A"),
        ({"maxshift": 20}, "--maxshift=20: must be below half the box"),
    ],
    ids=str,
)
def test_what_is_refused(one_state, options, why):
    with pytest.raises(ConfigError, match=why):
        mapsort.abinit(one_state.particles, **options)


def test_a_map_is_no_particles(tmp_path):
    write_map(tmp_path / "a.mrc", np.zeros((32, 32, 32), np.float32), 4.0)
    with pytest.raises(ConfigError, match=r"a\.mrc: is a map; give particles"):
        mapsort.abinit(tmp_path / "a.mrc")
    assert [path.name for path in tmp_path.iterdir()] == ["a.mrc"]


def test_what_is_no_run_is_not_resumed(tmp_path):
    with pytest.raises(ConfigError, match="no run has begun there"):
        mapsort.commands.abinit(resume=tmp_path)
    with pytest.raises(ConfigError, match="--input is missing"):
        mapsort.commands.abinit()


def test_a_run_of_another_command_is_not_resumed(coarse, tmp_path):
    other = tmp_path / "run"
    other.mkdir()
    text = (coarse.path / "0_refine_parms.json").read_text().replace('"abinit"', '"multi"')
    (other / "0_refine_parms.json").write_text(text)
    with pytest.raises(FormatError, match="is a run of mapsort multi"):
        mapsort.commands.abinit(resume=other)


@pytest.mark.slow
def test_multi_without_maps_makes_them_first(one_state, tmp_path):
    given = {"nmodels": 1, "iter": 1, "randomseed": 1, "parallel": "thread:2", "speed": 7}
    made = mapsort.refine_multi(one_state.particles, path=tmp_path / "run", **given)
    assert len(made.maps) == 1
    true = views_of(read_particles(one_state.truth)[1])
    assert median_view_error_deg(views_of(made.assignments), true) < 15.0
    log = (tmp_path / "run" / "run.log").read_text()
    assert "is the likeliest; behind it" in log
