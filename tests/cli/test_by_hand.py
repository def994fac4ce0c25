"""Single stages by hand, on the files of a run: they give what the run itself wrote."""

from __future__ import annotations

import numpy as np
import pytest

import mapsort
from mapsort.cli.main import main
from mapsort.io.hdf import HdfReader
from mapsort.jobs.simulate import simulate
from mapsort.options.simulate import SimulateOptions

N = 100


@pytest.fixture(scope="module")
def problem(tmp_path_factory):
    out = tmp_path_factory.mktemp("by_hand")
    made = simulate(
        SimulateOptions(
            phantom=2,
            out=out / "p",
            n=N,
            box=32,
            apix=4.0,
            snr=0.3,
            shift=2.0,
            seed=7,
            seedres=24.0,
        )
    )
    run = mapsort.refine_multi(
        made.particles,
        made.seeds,
        path=out / "run",
        iter=1,
        orientgen="eman:delta=24",
        sep=2,
        classkeep=0.6,
        randomseed=1,
        parallel="thread:1",
    )
    return made, run.path


def images(path):
    with HdfReader(path) as reader:
        return np.stack([reader.image(index) for index in range(reader.n_images)])


def test_similarity(problem, tmp_path, capsys):
    made, run = problem
    out = tmp_path / "simmx.hdf"
    assert main(["similarity", str(run / "projections_01.hdf"), str(made.particles), "-o", str(out),
                 "-P", "thread:1", "-q"]) == 0  # fmt: skip
    assert f"{N} particles x " in capsys.readouterr().out
    mine, theirs = images(out), images(run / "simmx_01.hdf")
    assert mine.shape == theirs.shape
    # projections from the file, not the map's transform: the same to the accuracy of images
    best = [matrix[0].argmin(axis=1) for matrix in (mine, theirs)]
    same = best[0] == best[1]
    assert same.mean() > 0.95
    rows = np.flatnonzero(same)
    chosen = [matrix[:, rows, best[0][rows]] for matrix in (mine, theirs)]
    np.testing.assert_allclose(chosen[0][0], chosen[1][0], rtol=0.02)
    assert np.median(np.abs(chosen[0][1:3] - chosen[1][1:3])) < 0.02


def test_similarity_takes_the_options_of_the_comparison(problem, tmp_path):
    made, run = problem
    plain, rigid = tmp_path / "plain.hdf", tmp_path / "rigid.hdf"
    start = [
        "similarity",
        str(run / "projections_01.hdf"),
        str(made.particles),
        "-P",
        "thread:1",
        "-q",
    ]
    assert main([*start, "-o", str(plain)]) == 0
    assert main([*start, "-o", str(rigid), "--simalign", "rotate_translate", "--shrink", "2"]) == 0
    assert images(plain)[4].any()
    assert not images(rigid)[4].any()


def test_classify_is_exactly_what_the_run_did(problem, tmp_path, capsys):
    _, run = problem
    out = tmp_path / "classify.hdf"
    assert main(["classify", str(run / "simmx_01.hdf"), "--out", str(out), "--sep", "2"]) == 0
    assert f"{N} particles in " in capsys.readouterr().out
    np.testing.assert_array_equal(images(out), images(run / "classify_01.hdf"))


def test_classify_takes_best_matches_alone(problem, tmp_path):
    made, _ = problem
    run = mapsort.refine_multi(made.particles, made.seeds, path=tmp_path / "run", iter=1,
                               orientgen="eman:delta=24", randomseed=1, lowmem=True)  # fmt: skip
    out = tmp_path / "classify.hdf"
    assert main(["classify", str(run.path / "simmx_01.h5"), "--out", str(out)]) == 0
    np.testing.assert_array_equal(images(out), images(run.path / "classify_01.hdf"))


def test_average(problem, tmp_path, capsys):
    made, run = problem
    out, result = tmp_path / "classes.hdf", tmp_path / "cls_result.hdf"
    assert main(["average", str(run / "projections_01.hdf"), str(made.particles),
                 str(run / "classify_01.hdf"), "--out", str(out), "--result", str(result),
                 "--classkeep", "0.6", "-P", "thread:1", "-q"]) == 0  # fmt: skip
    assert " class averages" in capsys.readouterr().out
    used, theirs = images(result)[1], images(run / "cls_result_01.hdf")[1]
    # members of nearly equal quality may change places
    assert (used == theirs).mean() > 0.97
    mine, written = images(out), images(run / "classes_01.hdf")
    with HdfReader(out) as one, HdfReader(run / "classes_01.hdf") as other:
        headers = [(one.header(i), other.header(i)) for i in range(len(mine))]
    alike = [
        i
        for i, (a, b) in enumerate(headers)
        if np.array_equal(a.get("class_ptcl_idxs", []), b.get("class_ptcl_idxs", []))
    ]
    assert len(alike) > 0.9 * len(mine)
    for name in ("model_id", "ptcl_repr", "projection_image", "projection_image_idx"):
        assert all(headers[i][0][name] == headers[i][1][name] for i in alike)
    # rounding apart, the projections' own
    np.testing.assert_allclose(mine[alike], written[alike], atol=0.02 * np.abs(written).max())


def test_one_can_go_on_by_hand(problem, tmp_path, monkeypatch):
    made, run = problem
    monkeypatch.chdir(tmp_path)
    particles, few = str(made.particles), ["-P", "thread:1", "-q"]
    maps = [str(run / f"threed_filt_01_{z:02d}.mrc") for z in (1, 2)]
    assert main(["project", *maps, "--orientgen", "eman:delta=24", "--out", "proj.hdf", "-q"]) == 0
    assert main(["similarity", "proj.hdf", particles, "-o", "simmx.hdf", *few]) == 0
    assert main(["classify", "simmx.hdf", "-o", "classify.hdf"]) == 0
    assert main(["average", "proj.hdf", particles, "classify.hdf", "-o", "classes.hdf", *few]) == 0
    assert main(["reconstruct", "classes.hdf", "--model", "2", "-o", "map.mrc", "-q"]) == 0
    volume = mapsort.Volume.open("map.mrc")
    true = mapsort.Volume.open(made.maps[1])
    assert mapsort.fsc(volume.data, true.data)[2:5].min() > 0.6


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["similarity", "a.hdf", "--out", "o.hdf"], "give PROJECTIONS PARTICLES; given: 1 file"),
        (["similarity", "a.hdf", "b.star", "--out", "o.mrc"], "--out=o.mrc: expected"),
        (["similarity", "a.hdf", "b.star", "--out", "o.hdf", "--twostage", "2"], "--twostage=2"),
        (["similarity", "a.hdf", "b.star", "--out", "o.hdf", "--simcmp", "x"], "--simcmp=x"),
        (["similarity", "none.hdf", "b.star", "--out", "o.hdf"], "none.hdf"),
        (["classify", "--out", "o.hdf"], "give SIMMX; given: 0 files"),
        (["classify", "x.hdf"], "--out is missing"),
        (["classify", "x.hdf", "--out", "o.hdf", "--sep", "0"], "--sep=0"),
        (["average", "a.hdf", "b.star", "--out", "o.hdf"], "PROJECTIONS PARTICLES CLASSIFY"),
        (["average", "a.hdf", "b.star", "c.hdf", "-o", "o.hdf", "--classkeep", "2"], "--classkeep"),
    ],
)  # fmt: skip
def test_bad_requests(capsys, tmp_path, monkeypatch, command, words):
    monkeypatch.chdir(tmp_path)
    assert main(command) == 2
    assert words in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_sep_beyond_the_references(problem, tmp_path, capsys):
    _, run = problem
    out = tmp_path / "o.hdf"
    assert main(["classify", str(run / "simmx_01.hdf"), "--out", str(out), "--sep", "9999"]) == 2
    assert "--sep=9999: at most" in capsys.readouterr().err
