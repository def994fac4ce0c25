"""Requests that cannot work: refused before any work, in a line or two, without a traceback."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from mapsort.cli.main import main
from mapsort.io.mrc import write_map, write_stack
from mapsort.jobs.simulate import simulate
from mapsort.options.simulate import SimulateOptions

N, BOX, APIX = 12, 32, 4.0
CTF_COLUMNS = ("_rlnDefocusU", "_rlnDefocusV", "_rlnDefocusAngle")


@pytest.fixture(scope="session")
def good(tmp_path_factory):
    """A directory with particles.star, particles.mrcs, seed_01.mrc and seed_02.mrc."""
    out = tmp_path_factory.mktemp("good")
    simulate(SimulateOptions(phantom=2, out=out, n=N, box=BOX, apix=APIX, snr=0.5, seedres=24.0))
    return out


@pytest.fixture
def here(good, tmp_path, monkeypatch):
    """A copy of it that may be damaged; the working directory."""
    for name in ("particles.star", "particles.mrcs", "seed_01.mrc", "seed_02.mrc"):
        shutil.copy(good / name, tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def words(more="", *, particles="particles.star", models="seed_01.mrc,seed_02.mrc"):
    quick = "--iter 1 --orientgen eman:delta=40 --parallel thread:1 --randomseed 1"
    return f"multi --input {particles} --models {models} {quick} {more}".split()


def refused(capsys, here, request, *fragments):
    """Assert that the request is refused, naming the fragments, and leaves nothing behind."""
    before = sorted(here.rglob("*"))
    assert main(request) == 2
    captured = capsys.readouterr()
    assert "Traceback" not in captured.err
    lines = [line for line in captured.err.splitlines() if line.startswith("mapsort: ")]
    assert 1 <= len(lines) <= 2
    for fragment in fragments:
        assert fragment in "\n".join(lines)
    assert "error in mapsort" not in captured.err
    assert captured.out == ""
    assert sorted(here.rglob("*")) == before


def edit_star(here, change):
    path = here / "particles.star"
    path.write_text(change(path.read_text()))


def images_of(here):
    raw = (here / "particles.mrcs").read_bytes()
    return np.frombuffer(raw[1024:], "<f4").reshape(N, BOX, BOX).copy()


def without_column(text, label):
    """Drop one column of the particle table."""
    head, _, body = text.partition("data_particles")
    lines = body.splitlines()
    labels = [line.split()[0] for line in lines if line.startswith("_")]
    column = labels.index(label)
    kept = []
    for line in lines:
        words = line.split()
        if line.startswith("_"):
            kept += [] if words[0] == label else [words[0]]
        elif len(words) == len(labels):
            kept.append("\t".join(words[:column] + words[column + 1 :]))
        else:
            kept.append(line)
    return head + "data_particles" + "\n".join(kept) + "\n"


# --- files that are not there or not whole --------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "fragments"),
    [
        ({"particles": "none.star"}, ["none.star: no such file"]),
        ({"particles": "none.mrcs"}, ["none.mrcs", "no such file"]),
        ({"particles": "seed_01.txt"}, ["seed_01.txt", "particles are read from .star"]),
        ({"particles": "particles"}, ["particles: particles are read from", "without suffix"]),
        ({"models": "seed_01.mrc,none.mrc"}, ["none.mrc: no such file"]),
        ({"models": "particles.star,seed_01.mrc"}, ["particles.star: maps are read from .mrc"]),
    ],
)
def test_missing_files_and_unknown_kinds(capsys, here, given, fragments):
    refused(capsys, here, words(**given), *fragments)


def test_truncated_stack(capsys, here):
    path = here / "particles.mrcs"
    path.write_bytes(path.read_bytes()[:-100])
    refused(capsys, here, words(), "particles.mrcs")


def test_truncated_map(capsys, here):
    path = here / "seed_02.mrc"
    path.write_bytes(path.read_bytes()[:5000])
    refused(capsys, here, words(), "seed_02.mrc")


@pytest.mark.parametrize("name", ["particles.mrcs", "seed_01.mrc", "particles.star"])
@pytest.mark.parametrize("content", [b"", b"no such thing\n", b"\x00" * 4000])
def test_files_that_hold_something_else(capsys, here, name, content):
    (here / name).write_bytes(content)
    refused(capsys, here, words(), name)


def test_a_directory_where_a_file_should_be(capsys, here):
    (here / "dir.star").mkdir()
    refused(capsys, here, words(particles="dir.star"), "dir.star")
    (here / "dir.mrc").mkdir()
    refused(capsys, here, words(models="seed_01.mrc,dir.mrc"), "dir.mrc")


# --- STAR files -----------------------------------------------------------------------------------


@pytest.mark.parametrize("label", ["_rlnImageName", "_rlnOpticsGroup"])
def test_star_without_a_needed_column(capsys, here, label):
    edit_star(here, lambda text: without_column(text, label))
    refused(capsys, here, words(), "particles.star", label[1:])


@pytest.mark.parametrize("label", CTF_COLUMNS[:2])
def test_star_with_part_of_the_ctf(capsys, here, label):
    edit_star(here, lambda text: without_column(text, label))
    refused(capsys, here, words(), "particles.star", label[1:])


def test_star_without_ctf_when_ctf_is_asked_for(capsys, here):
    for label in CTF_COLUMNS:
        edit_star(here, lambda text, label=label: without_column(text, label))
    refused(capsys, here, words("--ctf apply"), "--ctf=apply", "particles.star", "--ctf=none")


def test_star_that_names_a_missing_stack(capsys, here):
    (here / "particles.mrcs").unlink()
    refused(capsys, here, words(), "particles.mrcs", "particles.star")


def test_image_number_beyond_the_stack(capsys, here):
    edit_star(here, lambda text: text.replace("000007@", "000013@"))
    refused(capsys, here, words(), "particle 7", "image 13", "particles.mrcs", "holds 12")


@pytest.mark.parametrize("name", ["000000@particles.mrcs", "x@particles.mrcs", "000007@"])
def test_image_names_that_are_none(capsys, here, name):
    edit_star(here, lambda text: text.replace("000007@particles.mrcs", name))
    refused(capsys, here, words(), "particles.star", name)


def test_image_size_that_the_stack_has_not(capsys, here):
    edit_star(here, lambda text: text.replace("\t32\t2\t", "\t64\t2\t"))
    refused(capsys, here, words(), "particles.star", "64", "32")


@pytest.mark.parametrize("value", ["nan", "inf", "12000A", ""])
def test_ctf_values_that_are_no_numbers(capsys, here, value):
    first = (here / "particles.star").read_text().split("mic0000.mrc\t1\t")[1].split("\t")[0]
    edit_star(here, lambda text: text.replace(first, value))
    refused(capsys, here, words(), "particles.star")


def test_an_optics_group_that_is_not_there(capsys, here):
    edit_star(here, lambda text: text.replace("mic0000.mrc\t1\t", "mic0000.mrc\t7\t", 1))
    refused(capsys, here, words(), "particles.star", "7")


def test_star_without_particles(capsys, here):
    edit_star(here, lambda text: "\n".join(line for line in text.split("\n") if "@" not in line))
    refused(capsys, here, words(), "particles.star")


# --- images and maps ------------------------------------------------------------------------------


def test_images_that_are_not_square(capsys, here):
    write_stack(here / "particles.mrcs", images_of(here)[:, :, :30], APIX)
    refused(capsys, here, words(), "particles.mrcs", "30 x 32", "square")


def test_images_that_are_too_small(capsys, here):
    write_stack(here / "tiny.mrcs", images_of(here)[:, :12, :12], APIX)
    refused(capsys, here, words(particles="tiny.mrcs"), "tiny.mrcs", "12 pixels", "16")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_particle_with_a_pixel_that_is_no_number(capsys, here, value):
    images = images_of(here)
    images[4, 3, 2] = value
    raw = bytearray((here / "particles.mrcs").read_bytes())
    raw[1024:] = images.astype("<f4").tobytes()
    (here / "particles.mrcs").write_bytes(raw)
    refused(capsys, here, words(), "particles.mrcs: image 5", "particle 5", "NaN or infinite")


@pytest.mark.parametrize("value", [0.0, 3.5])
def test_a_constant_particle(capsys, here, value):
    images = images_of(here)
    images[11] = value
    write_stack(here / "particles.mrcs", images, APIX)
    refused(capsys, here, words(), "particles.mrcs: image 12", "constant", f"{value:g}")


def test_a_map_that_is_no_cube(capsys, here):
    write_map(here / "slab.mrc", np.random.default_rng(0).random((20, 32, 32), np.float32), APIX)
    refused(capsys, here, words(models="slab.mrc,seed_01.mrc"), "slab.mrc", "32 x 32 x 20")


def test_a_map_with_nan(capsys, here):
    raw = bytearray((here / "seed_02.mrc").read_bytes())
    raw[2048:2052] = np.array([np.nan], "<f4").tobytes()
    (here / "seed_02.mrc").write_bytes(raw)
    refused(capsys, here, words(), "seed_02.mrc", "NaN")


def test_a_map_of_zeros(capsys, here):
    write_map(here / "empty.mrc", np.zeros((BOX,) * 3, np.float32), APIX)
    refused(capsys, here, words(models="seed_01.mrc,empty.mrc"), "empty.mrc", "constant (0)")


def test_a_map_without_a_molecule(capsys, here):
    noise = np.random.default_rng(0).standard_normal((BOX,) * 3).astype(np.float32)
    write_map(here / "noise.mrc", noise, APIX)
    refused(capsys, here, words(models="seed_01.mrc,noise.mrc"), "noise.mrc", "no density")


def test_a_map_whose_density_is_outside_the_particles_box(capsys, here):
    big = np.zeros((96,) * 3, np.float32)
    big[:8, :8, :8] = 1
    write_map(here / "far.mrc", big, APIX)
    refused(capsys, here, words(models="far.mrc,seed_01.mrc"), "far.mrc", "no density")


# --- options that do not fit the input ------------------------------------------------------------


@pytest.mark.parametrize(
    ("option", "fragments"),
    [
        ("--sym c1,c2,c3", ["--sym=c1,c2,c3", "2 maps", "3"]),
        ("--sym d", ["--sym=d", "c<n>"]),
        ("--sym c1,x7", ["--sym=c1,x7", "x7"]),
        ("--sym h3", ["--sym=h3"]),
        ("--orientgen emaan:delta=5", ["--orientgen=emaan:delta=5", "did you mean eman?"]),
        ("--orientgen eman:delta=0", ["--orientgen=eman:delta=0", "delta=0"]),
        ("--orientgen eman:detla=5", ["--orientgen=eman:detla=5", "did you mean delta?"]),
        ("--orientgen spiral:delta=5", ["--orientgen=spiral:delta=5", "eman, even"]),
        ("--maxshift 16", ["--maxshift=16", "half the box"]),
        ("--maxshift nan", ["--maxshift=nan"]),
        ("--pad 39", ["--pad=39", "40"]),
        ("--pad 1.5", ["--pad=1.5", "whole number"]),
        ("--targetres 7.9", ["--targetres=7.9", "8 A", "particles.star"]),
        ("--targetres 0", ["--targetres=0"]),
        ("--apix 0", ["--apix=0"]),
        ("--mass 100,200,300", ["--mass=100.0,200.0,300.0", "2 maps"]),
        ("--classkeep 1.5", ["--classkeep=1.5"]),
        ("--sep 0", ["--sep=0"]),
        ("--sep 10000", ["--sep=10000", "number of projections"]),
        ("--automask3d 1,0,0,0,0", ["--automask3d=1.0,0.0,0,0,0", "above 0"]),
        ("--parallel thread:none", ["--parallel=thread:none", "thread:N"]),
        ("--path particles.star", ["--path=particles.star", "is a file"]),
        ("--path particles.star/run", ["--path=particles.star/run", "not a directory"]),
    ],
)
def test_options_that_do_not_fit(capsys, here, option, fragments):
    refused(capsys, here, words(option), *fragments)


@pytest.mark.parametrize(
    ("file", "reason"),
    [("0_refine_parms.json", "holds a run already"), ("notes.txt", "is not empty")],
)
def test_a_path_that_is_taken(capsys, here, file, reason):
    (here / "taken").mkdir()
    (here / "taken" / file).write_text("{}")
    refused(capsys, here, words("--path taken"), "--path=taken", reason)


def test_a_bare_stack_without_pixel_size(capsys, here):
    raw = bytearray((here / "particles.mrcs").read_bytes())
    raw[40:52] = bytes(12)  # cell lengths
    (here / "particles.mrcs").write_bytes(raw)
    refused(capsys, here, words(particles="particles.mrcs"), "particles.mrcs", "--apix")


# --- the check, true exit statuses, failures at run time ------------------------------------------


def test_check_of_a_good_request(capsys, here):
    before = sorted(here.rglob("*"))
    assert main(words("--check")) == 0
    captured = capsys.readouterr()
    for fact in ("12 of 32 px at 4 A/px", "CTF: applied", "map 2: seed_02.mrc", "memory", "disk"):
        assert fact in captured.out
    assert captured.err == ""
    assert sorted(here.rglob("*")) == before


def test_check_reads_the_images(capsys, here):
    images = images_of(here)
    images[2] = 1
    write_stack(here / "particles.mrcs", images, APIX)
    refused(capsys, here, words("--check"), "image 3", "constant")


@pytest.mark.usefixtures("here")
def test_a_failure_at_run_time_is_status_1(capsys):
    """No density reaches a threshold of a million."""
    assert main([*words("--automask3d 1e6,3,1,1,0"), "--path", "run"]) == 1
    err = capsys.readouterr().err
    assert "mapsort: mask.auto3d: no density reaches 1e+06" in err
    assert "Traceback" not in err
    assert not list(Path("run").glob("threed_01*"))
    assert "no density reaches" in Path("run/run.log").read_text()


@pytest.mark.usefixtures("here")
def test_a_traceback_comes_only_with_verbosity_9(capsys):
    assert main(words("-v 9", particles="none.star")) == 2
    assert "Traceback" in capsys.readouterr().err


def python_m_mapsort(*request, **more):
    return subprocess.run(
        [sys.executable, "-m", "mapsort", *request], capture_output=True, text=True, **more
    )


def test_true_exit_statuses(here):
    wrong = python_m_mapsort(*words(particles="none.star"), check=False)
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert wrong.stderr == "mapsort: none.star: no such file.\n"
    # Quiet, for a check of some seconds tells where it is.
    checked = python_m_mapsort(*words("--check -q"), check=False)
    assert (checked.returncode, checked.stderr) == (0, "")
    assert not list(here.glob("multi_*"))


def test_sigterm_ends_with_75_and_whole_files(here):
    job = subprocess.Popen(
        [sys.executable, "-m", "mapsort", *words("--iter 5000 --path run")],
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 60
    while not Path("run/particles_01.star").exists() and time.monotonic() < deadline:
        assert job.poll() is None
        time.sleep(0.05)
    os.kill(job.pid, signal.SIGTERM)
    _, err = job.communicate(timeout=60)
    assert job.returncode == 75
    assert err.splitlines()[-2:] == [
        "mapsort: interrupted by SIGTERM; finished files are kept",
        "mapsort: to continue: mapsort multi --resume run",
    ]
    assert "Traceback" not in err
    assert not [entry for entry in Path("run").iterdir() if entry.name.startswith(".")]
    assert (here / "run" / "convergence.json").exists()
