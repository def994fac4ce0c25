"""Runs and commands on files with awkward names and content, from start to end."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mapsort.cli.main import main
from mapsort.io.mrc import read_map, write_map, write_stack
from mapsort.io.star import read_particles
from mapsort.jobs.simulate import simulate
from mapsort.model.particles import Particles
from mapsort.options.simulate import SimulateOptions

QUICK = "--iter 1 --orientgen eman:delta=40 --parallel thread:1 --randomseed 1 --no-report"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project of particles and two maps, in another directory than the working directory."""
    monkeypatch.chdir(tmp_path)
    out = tmp_path / "made"
    simulate(SimulateOptions(phantom=2, out=out, n=12, box=32, apix=4.0, snr=0.5, seedres=24.0))
    return out


@pytest.mark.parametrize("name", ["O'Neil", 'a "b" c#d', "Mül ler's"])
def test_names_with_quotes_and_blanks(
    project: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The check accepts what the run can write; what it wrote can be read and gone on from."""
    home = project.rename(project.with_name(name))
    maps = f"{home / 'seed_01.mrc'},{home / 'seed_02.mrc'}"
    words = ["multi", "--input", str(home / "particles.star"), "--models", maps, *QUICK.split()]
    assert main([*words, "--check"]) == 0
    assert main(words) == 0
    written = Particles.open("multi_00/particles_01.star")
    wanted = Particles.open(home / "particles.star")
    np.testing.assert_array_equal(written.images(slice(None)), wanted.images(slice(None)))
    names = read_particles("multi_00/particles_01.star")[1]["rlnImageName"]
    assert all(name in image for image in names)
    assert main(["multi", "--resume", "multi_00"]) == 0
    assert main(["split", "multi_00"]) == 0
    assert len(list(Path("multi_00/sets").glob("*.star"))) == 2
    assert len(list(Path("multi_00/sets").glob("*.lst"))) == (0 if " " in name else 2)
    assert main(["convert", "multi_00/particles_01.star", "all.hdf"]) == 0
    assert "Traceback" not in capsys.readouterr().err


def test_a_name_that_cannot_be_written_is_refused_before_work(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home = project.rename(project.with_name("both' and\" here"))
    stack, listed = home / "particles.mrcs", project.with_name("all.lst")
    listed.write_text("#LST\n" + "".join(f'{k}\t{stack}\t{{"apix_x":4.0}}\n' for k in range(12)))
    maps = f"{home / 'seed_01.mrc'},{home / 'seed_02.mrc'}"
    words = ["multi", "--input", str(listed), "--models", maps, *QUICK.split()]
    assert main([*words, "--check"]) == 2
    assert main(words) == 2
    assert "holds both kinds of quotes before blanks" in capsys.readouterr().err
    assert not Path("multi_00").exists()


def test_a_list_with_blanks_is_refused_before_work(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["convert", str(project / "particles.star"), "a b.lst", "--copy"]) == 2
    assert "a b.lst: EMAN2 lists cannot keep the blanks" in capsys.readouterr().err
    assert sorted(path.name for path in Path().iterdir()) == ["made"]


def test_bad_images_are_counted_before_the_run(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = read_map(project / "particles.mrcs")[0]
    images[[4, 7, 11]] = 0
    write_stack(project / "particles.mrcs", images, 4.0)
    maps = f"{project / 'seed_01.mrc'},{project / 'seed_02.mrc'}"
    given = ["--input", str(project / "particles.star"), "--models", maps]
    assert main(["multi", *given, *QUICK.split()]) == 2
    told = "3 images cannot be used: particles 5, 8, 12. Remove them from the set."
    assert told in capsys.readouterr().err
    assert main(["convert", str(project / "particles.star"), "b.mrcs"]) == 2
    assert told in capsys.readouterr().err


def test_particles_of_a_table_are_pictured(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = str(project / "particles.star")
    assert main(["show", table, "-o", "table.png", "--first", "2", "--count", "9"]) == 0
    assert "images 2 to 10, row by row" in capsys.readouterr().out
    stack = str(project / "particles.mrcs")
    assert main(["show", stack, "-o", "stack.png", "--first", "2", "--count", "9"]) == 0
    assert Path("table.png").read_bytes() == Path("stack.png").read_bytes()
    assert main(["show", table, "-o", "none.png", "--first", "12"]) == 2
    assert "holds 12 particles" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (["info", "a.mrc"], 0),
        (["--help"], 0),
        ([], 0),
        (["process", "a.mrc", "b.mrc", "--process", "math.sqrt"], 1),
    ],
)
def test_a_reader_that_has_seen_enough(tmp_path: Path, words: list[str], status: int) -> None:
    """What only tells has done its work; what works is not done when nobody hears of it."""
    write_map(tmp_path / "a.mrc", np.random.default_rng(1).normal(size=(8, 8, 8)), 1.0)
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-u", "-m", "mapsort", *words],
        cwd=tmp_path,
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (status, "")
