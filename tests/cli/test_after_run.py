"""The commands for a finished run: split, eotest, report, show."""

from __future__ import annotations

import io
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from mapsort.cli.main import main
from mapsort.io.hdf_writer import write_images
from mapsort.io.mrc import write_map, write_stack
from mapsort.io.star import read_particles
from mapsort.jobs.simulate import simulate
from mapsort.options.simulate import SimulateOptions


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run made by the command itself, report and all."""
    out = tmp_path_factory.mktemp("after")
    made = simulate(
        SimulateOptions(
            phantom=2, out=out, n=80, box=32, apix=4.0, snr=0.3, shift=1.0, seed=3, seedres=24.0
        )
    )
    path = out / "multi_00"
    words = ["--input", str(made.particles), "--models", ",".join(map(str, made.seeds))]
    words += ["--iter", "1", "--orientgen", "eman:delta=24", "--path", str(path), "-q"]
    assert main(["multi", *words, "--parallel", "thread:1"]) == 0
    return path


def told(capsys):
    captured = capsys.readouterr()
    return captured.out, captured.err


def test_a_run_has_a_report_unless_told_otherwise(run, tmp_path, monkeypatch):
    assert (run / "report" / "index.html").is_file()
    (source,) = run.parent.glob("particles.star")
    seeds = ",".join(str(path) for path in sorted(run.parent.glob("seed*.mrc")))
    words = ["--input", str(source), "--models", seeds, "--iter", "1", "--no-report", "-q"]
    monkeypatch.chdir(tmp_path)
    assert main(["multi", *words, "--orientgen", "eman:delta=24"]) == 0
    assert (tmp_path / "multi_00" / "convergence.json").is_file()
    assert not (tmp_path / "multi_00" / "report").exists()


def test_split_names_the_sets_and_the_rule(run, tmp_path, capsys):
    assert main(["split", str(run), "--out", str(tmp_path / "sets"), "--stack"]) == 0
    lines = told(capsys)[0].splitlines()
    table = read_particles(run / "particles_01.star")[1]
    for number, line in enumerate(lines[:2], start=1):
        path, words = line.split("  ")
        assert path == str(tmp_path / "sets" / f"particles_mul00_it01_m{number}.star")
        assert words == f"{(table['rlnClassNumber'].astype(int) == number).sum()} particles"
    assert lines[2] == "all sets together: 80 particles, all of iteration 1"
    assert lines[3].startswith("rule: each particle is assigned to the 3-D class")


def test_results_appear_in_the_report(run, capsys):
    assert main(["split", str(run)]) == 0
    assert main(["eotest", str(run), "-q"]) == 0
    out = told(capsys)[0]
    assert f"{run}/fsc_eo_01_02.txt  map 2: " in out
    text = (run / "report" / "index.html").read_text(encoding="utf-8")
    assert "<h2>Particle sets</h2>" in text
    assert "<h2>Even/odd test</h2>" in text
    assert main(["report", str(run)]) == 0
    assert told(capsys)[0] == f"{run}/report/index.html\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["split"], "one run directory is needed; 0 are given"),
        (["split", "a", "b"], "one run directory is needed; 2 are given"),
        (["split", "none"], "none: no such run directory"),
        (["split", "none", "--min-prob", "2"], "--min-prob=2"),
        (["split", "none", "--by", "x-y"], "--by=x-y: expected map, or classes"),
        (["eotest"], "one run directory is needed"),
        (["eotest", "none", "--iter", "0"], "--iter=0"),
        (["eotest", "none", "--parallel", "x"], "--parallel=x"),
        (["crossval"], "one run directory is needed; 0 are given"),
        (["crossval", "none"], "none: no such run directory"),
        (["crossval", "none", "--refineiter", "0"], "--refineiter=0"),
        (["followup", "a", "b"], "one run directory is needed; 2 are given"),
        (["followup", "none", "--parallel", "x"], "--parallel=x"),
        (["refine", "--model", "a.mrc"], "--input is missing"),
        (["refine", "--input", "a.star"], "--model is missing"),
        (["refine", "--resume", "none"], "--resume=none: no such run directory"),
        (["report"], "RUN is missing"),
        (["report", "none"], "none: no such run directory"),
        (["show"], "one map or stack is needed"),
        (["show", "a.mrc"], "--output is missing"),
        (["show", "a.mrc", "-o", "b.jpg"], "--output=b.jpg: pictures are written as .png"),
        (["show", "a.mrc", "-o", "no/b.png"], "is not a directory"),
        (["show", "a.mrc", "-o", "b.png", "--count", "0"], "--count=0: expected a whole number"),
        (["show", "a.mrc", "-o", "b.png", "--size", "x"], "--size=x: expected a whole number"),
        (["show", "a.mrc", "-o", "b.png"], "a.mrc: no such file"),
    ],
)
def test_wrong_requests(words, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(words) == 2
    out, err = told(capsys)
    assert out == ""
    assert message in err
    assert list(tmp_path.iterdir()) == []


def picture(path):
    return np.asarray(Image.open(io.BytesIO(path.read_bytes())))


@pytest.mark.parametrize("suffix", [".mrc", ".hdf"])
def test_show_a_map(tmp_path, suffix):
    volume = np.zeros((20, 20, 20), np.float32)
    volume[10, 4, 15] = 1.0  # in the slice z = 10; y = 4, x = 15
    path, out = tmp_path / f"a{suffix}", tmp_path / "a.png"
    if suffix == ".mrc":
        write_map(path, volume, 2.0)
    else:
        write_images(path, [volume], apix=2.0)
    words = ["show", str(path), "-o", str(out), "--size", "20", "--plain"]
    assert main(words) == 0
    sheet = picture(out)
    assert sheet.shape == (42, 64)
    tiles = [sheet[22 * r : 22 * r + 20, 22 * c : 22 * c + 20] for r in (0, 1) for c in (0, 1, 2)]
    bright = [np.argwhere(tile > 128).tolist() for tile in tiles]
    # Rows are counted from the top, y and z from the bottom.
    assert bright == [[[15, 15]], [], [], [[15, 15]], [[9, 15]], [[9, 4]]]


def test_show_enlarges_labels_and_draws_a_bar(tmp_path):
    write_map(tmp_path / "a.mrc", np.zeros((20, 20, 20), np.float32), 2.0)
    out = tmp_path / "a.png"
    assert main(["show", str(tmp_path / "a.mrc"), "-o", str(out), "--size", "100"]) == 0
    sheet = picture(out)
    assert sheet.shape == (202, 304)
    # 40 A wide; two fifths of that hold a bar of 10 A: 25 pixels and the first.
    bar = sheet[95, :100] > 128
    assert np.flatnonzero(bar).tolist() == list(range(4, 30))
    assert (sheet[:15, :100] > 128).any()


def test_show_the_difference_of_two_maps(tmp_path, capsys):
    volume = np.zeros((20, 20, 20), np.float32)
    volume[10, 4, 15] = 1.0
    write_map(tmp_path / "a.mrc", volume, 2.0)
    write_map(tmp_path / "b.mrc", np.roll(volume, 5, axis=1), 2.0)
    write_map(tmp_path / "c.mrc", volume[:16, :16, :16], 2.0)
    out = tmp_path / "d.png"
    words = ["show", str(tmp_path / "a.mrc"), "-o", str(out), "--plain", "--size", "20", "--minus"]
    assert main([*words, str(tmp_path / "b.mrc")]) == 0
    first = picture(out)[:20, :20].astype(int)
    redness = first[..., 0] - first[..., 2]
    assert np.unravel_index(redness.argmax(), redness.shape) == (15, 15)
    assert np.unravel_index(redness.argmin(), redness.shape) == (10, 15)
    assert main([*words, str(tmp_path / "c.mrc")]) == 2
    assert "its box is" in told(capsys)[1]


def test_show_filters(tmp_path):
    image = np.random.default_rng(1).normal(size=(1, 32, 32)).astype(np.float32)
    write_stack(tmp_path / "a.mrcs", image, 2.0)
    words = ["show", str(tmp_path / "a.mrcs"), "--plain", "--size", "32", "-o"]
    assert main([*words, str(tmp_path / "a.png")]) == 0
    assert main([*words, str(tmp_path / "b.png"), "--lowpass", "20"]) == 0
    rough, smooth = (picture(tmp_path / name).astype(float) for name in ("a.png", "b.png"))
    assert np.abs(np.diff(smooth)).mean() < 0.3 * np.abs(np.diff(rough)).mean()


def test_show_part_of_a_stack(tmp_path):
    images = np.zeros((9, 8, 8), np.float32)
    for number in range(9):
        images[number, 0, number % 8] = 1
    write_stack(tmp_path / "a.mrcs", images, 1.0)
    out = tmp_path / "a.png"
    words = ["show", str(tmp_path / "a.mrcs"), "-o", str(out), "--first", "5", "--count", "3"]
    assert main([*words, "--size", "8"]) == 0
    sheet = picture(out)
    assert sheet.shape == (18, 18)
    for number, (row, column) in zip((5, 6, 7), ((0, 0), (0, 1), (1, 0)), strict=True):
        tile = sheet[10 * row : 10 * row + 8, 10 * column : 10 * column + 8]
        assert np.argwhere(tile > 128).tolist() == [[7, number]]
    assert main([*words[:4], "--first", "9"]) == 2


def test_the_command_line_does_not_wait_for_the_plotting_library():
    code = (
        "import sys; from mapsort.cli.main import main; "
        "main(['report', '--help']); main(['multi', '--help']); main(['show', '--help']); "
        "sys.exit(any(name.startswith(('matplotlib', 'jinja2', 'PIL')) for name in sys.modules))"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)
