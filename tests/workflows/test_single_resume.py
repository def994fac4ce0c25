"""A stopped single-map refinement goes on to the same result, and refuses what it cannot."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from mapsort.cli.main import main
from mapsort.errors import ConfigError, FormatError
from mapsort.model.volume import Volume
from mapsort.rundir.layout import RunDirectory
from mapsort.rundir.run_lock import run_lock
from mapsort.workflows.simulate import simulate
from mapsort.workflows.simulate_options import SimulateOptions
from mapsort.workflows.single_resume import resumed_options


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
    for file in path.iterdir():
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
        (["--sym", "c2"], "--sym: cannot change with --resume"),
        ([], "has ended with iteration 3"),
        (["--startiter", "9"], "--startiter=9"),
        (["--iter", "2"], "has ended with iteration 3"),
    ],
)
def test_what_cannot_go_on_is_refused(whole, capsys, words, message):
    before = (whole / "run.log").read_text()
    assert main(["refine", "--resume", str(whole), *words]) == 2
    assert message in capsys.readouterr().err
    assert (whole / "run.log").read_text() == before


def test_other_directories_are_refused(tmp_path):
    with pytest.raises(FormatError, match="no such file"):
        resumed_options({"resume": tmp_path})


def test_changed_particles_are_refused(whole):
    source = whole.parent / "particles.star"
    text = source.read_text()
    try:
        source.write_text(text + "\n")
        with pytest.raises(ConfigError, match="has changed"):
            resumed_options({"resume": whole})
    finally:
        source.write_text(text)


def test_a_directory_is_worked_in_by_one_process_at_a_time(whole, tmp_path, capsys):
    path = stopped_after(whole, tmp_path / "refine_00", 1)
    with run_lock(RunDirectory(path).lock):
        assert main(["refine", "--resume", str(path), "-q"]) == 2
    assert "works in this run directory" in capsys.readouterr().err
