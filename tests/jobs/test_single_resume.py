"""A stopped single-map refinement goes on to the same result, and refuses what it cannot."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from mapsort.cli.main import main
from mapsort.errors import ConfigError, FormatError, Interrupted
from mapsort.jobs.refinement import stops
from mapsort.jobs.resume import resumed_options
from mapsort.jobs.simulate import simulate
from mapsort.model.volume import Volume
from mapsort.options.multi import MultiOptions
from mapsort.options.refine import RefineOptions
from mapsort.options.simulate import SimulateOptions
from mapsort.rundir.layout import RunDirectory
from mapsort.rundir.run_lock import run_lock
from mapsort.rundir.run_record import RunState, read_run
from mapsort.rundir.text import read_convergence


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Three iterations in one go, by the command."""
    out = tmp_path_factory.mktemp("resume")
    made = simulate(
        SimulateOptions(
            phantom=1, out=out, n=80, box=32, apix=4.0, snr=0.3, shift=1.0, seed=3, seedres=24.0
        )
    )
    words = ["--input", str(made.particles), "--model", str(made.seeds[0]), "--speed", "7"]
    words += ["--iter", "3", "--path", str(out / "refine_00"), "--randomseed", "1", "-q"]
    assert main(["refine", *words, "--parallel", "thread:1"]) == 0
    return out / "refine_00"


def stopped_after(whole, path, iterations):
    """The directory as it is when a run is killed after so many iterations."""
    shutil.copytree(whole, path)
    for file in path.rglob("*"):
        if any(f"_{n:02d}" in file.stem for n in range(iterations + 1, 4)):
            file.unlink()
    record = path / "convergence.json"
    entries = json.loads(record.read_text())["iterations"][:iterations]
    for entry in entries:
        entry["end"] = None
    record.write_text(json.dumps({"iterations": entries}))
    return path


@pytest.mark.parametrize("iterations", [pytest.param(1, marks=pytest.mark.slow), 2])
def test_it_goes_on_to_the_same_maps(whole, tmp_path, iterations):
    path = stopped_after(whole, tmp_path / "refine_00", iterations)
    assert main(["refine", "--resume", str(path), "-q", "--parallel", "thread:1"]) == 0
    for name in ("threed_03_01.mrc", "threed_even_03_01.mrc", "threed_odd_03_01.mrc"):
        np.testing.assert_array_equal(Volume.open(path / name).data, Volume.open(whole / name).data)
    assert (path / "particles_03.star").read_text() == (whole / "particles_03.star").read_text()
    entries = json.loads((path / "convergence.json").read_text())["iterations"]
    assert [entry["iteration"] for entry in entries] == [1, 2, 3]


def test_an_earlier_iteration_can_be_the_start(whole, tmp_path):
    path = tmp_path / "refine_00"
    shutil.copytree(whole, path)
    words = ["--resume", str(path), "--startiter", "3", "--iter", "4", "-q"]
    assert main(["refine", *words, "--parallel", "thread:1"]) == 0
    np.testing.assert_array_equal(
        Volume.open(path / "threed_03_01.mrc").data, Volume.open(whole / "threed_03_01.mrc").data
    )
    assert (path / "threed_04_01.mrc").is_file()
    # the run's directory has kept its beginning
    assert (path / "0_refine_parms.json").read_text() == (whole / "0_refine_parms.json").read_text()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--sym", "c2"], "--sym: differs from the run"),
        (["--startiter", "9"], "--startiter=9"),
        (["--iter", "2"], "--iter=2"),
    ],
)
def test_what_cannot_go_on_is_refused(whole, capsys, words, message):
    before = (whole / "run.log").read_text()
    assert main(["refine", "--resume", str(whole), *words]) == 2
    assert message in capsys.readouterr().err
    assert (whole / "run.log").read_text() == before


def test_other_directories_are_refused(whole, tmp_path):
    with pytest.raises(ConfigError, match="no run has begun there"):
        resumed_options(RefineOptions, {"resume": tmp_path})
    with pytest.raises(FormatError, match="is a run of mapsort refine"):
        resumed_options(MultiOptions, {"resume": whole})


def test_a_finished_run_is_left_as_it_is(whole, tmp_path, results):
    path = tmp_path / "refine_00"
    shutil.copytree(whole, path)
    assert main(["refine", "--resume", str(path), "-q", "--no-report"]) == 0
    assert results(path) == results(whole)
    assert json.loads((path / "progress.json").read_text())["state"] == "finished"


@pytest.mark.parametrize("inside", [False, True])
def test_a_finished_run_goes_on_in_a_project_that_was_moved(whole, tmp_path, monkeypatch, inside):
    """To what a run of as many iterations finds, by the same rule as mapsort multi."""
    old, new = tmp_path / "old", tmp_path / "new"
    old.mkdir()
    for file in ("particles.star", "particles.mrcs", "seed_01.mrc"):
        shutil.copy(whole.parent / file, old / file)
    monkeypatch.chdir(old)
    words = ["--input", "particles.star", "--model", "seed_01.mrc", "--speed", "7", "-q"]
    words += ["--path", "refine_00", "--randomseed", "1", "--parallel", "thread:1"]
    assert main(["refine", *words, "--iter", "2"]) == 0
    old.rename(new)
    monkeypatch.chdir(new if inside else tmp_path)
    run = "refine_00" if inside else str(new / "refine_00")
    assert main(["refine", "--resume", run, "--iter", "3", "-q", "--parallel", "thread:1"]) == 0
    path = new / "refine_00"
    for name in ("threed_03_01.mrc", "threed_even_03_01.mrc", "threed_odd_03_01.mrc"):
        np.testing.assert_array_equal(Volume.open(path / name).data, Volume.open(whole / name).data)
    record = json.loads((path / "1_refine_parms.json").read_text())
    assert (record["options"]["iter"], record["directory"]) == (3, str(new))
    assert record["options"]["path"] == "refine_00"
    (new / "seed_01.mrc").unlink()
    assert main(["refine", "--resume", run, "--iter", "4", "-q"]) == 2


def test_a_run_of_so_many_iterations_goes_on_until_it_has_converged(whole, tmp_path):
    path = tmp_path / "refine_00"
    shutil.copytree(whole, path)
    options = resumed_options(RefineOptions, {"resume": path, "iter": None})
    assert options.iter is None
    assert stops(options, read_convergence(path / "convergence.json"), 0) is None


def test_a_signal_is_no_error_and_tells_how_to_go_on(whole, tmp_path, capsys, monkeypatch):
    path = stopped_after(whole, tmp_path / "refine_00", 1)
    log = (path / "run.log").read_text()

    def interrupted(*_, **_of):
        raise Interrupted("interrupted by SIGHUP; finished files are kept")

    monkeypatch.setattr("mapsort.refinement.halves.iteration.search_half", interrupted)
    assert main(["refine", "--resume", str(path), "-q", "--no-report"]) == 75
    told = f"to continue: mapsort refine --resume {path}"
    assert told in capsys.readouterr().err
    added = (path / "run.log").read_text().removeprefix(log)
    assert f"INFO interrupted by SIGHUP; finished files are kept | {told}" in added
    assert "ERROR" not in added
    assert read_run(path).state is RunState.INTERRUPTED


def test_changed_particles_are_refused(whole):
    source = whole.parent / "particles.star"
    text = source.read_text()
    try:
        source.write_text(text + "\n")
        with pytest.raises(FormatError, match="has changed"):
            resumed_options(RefineOptions, {"resume": whole})
    finally:
        source.write_text(text)


def test_a_directory_is_worked_in_by_one_process_at_a_time(whole, tmp_path, capsys):
    path = stopped_after(whole, tmp_path / "refine_00", 1)
    with run_lock(RunDirectory(path).lock):
        assert main(["refine", "--resume", str(path), "-q"]) == 2
    assert "already in use by process" in capsys.readouterr().err
