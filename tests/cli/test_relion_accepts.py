"""RELION's own programs read what we write; skipped where they are not installed."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from mapsort.io.mrc import read_map
from mapsort.io.star_tables import read_tables
from mapsort.jobs.convert import convert
from mapsort.jobs.simulate import Simulated, simulate
from mapsort.model.particles import Particles
from mapsort.options.convert import ConvertOptions
from mapsort.options.simulate import SimulateOptions
from mapsort.physics.fsc import fsc


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Simulated:
    """Particles of one map with their true poses."""
    out = tmp_path_factory.mktemp("relion")
    return simulate(
        SimulateOptions(phantom=1, out=out, n=120, box=32, apix=4.0, snr=2.0, shift=2.0, seed=2)
    )


@pytest.fixture(scope="module", params=["star", "hdf"])
def star(made: Simulated, request: pytest.FixtureRequest) -> Path:
    """The set after a way through a format, as a .star with its own stack."""
    directory = made.truth.parent
    middle = directory / f"way_{request.param}.{request.param}"
    convert(ConvertOptions(files=(made.truth, middle), copy=True))
    end = directory / f"end_{request.param}.star"
    convert(ConvertOptions(files=(middle, end), copy=True))
    return end


def relion(program: str, *arguments: str, at: Path) -> str:
    command = shutil.which(program)
    if command is None:
        pytest.skip(f"{program} is not installed")
    done = subprocess.run(
        [command, *arguments], cwd=at, capture_output=True, text=True, timeout=120, check=False
    )
    told = done.stdout + done.stderr
    assert done.returncode == 0, told[-2000:]
    assert "ERROR" not in told, told[-2000:]
    # It warns of labels that it does not know.
    assert "WARNING" not in told, told[-2000:]
    return told


def test_star_handler(star: Path) -> None:
    words = ("--select", "rlnDefocusU", "--minval", "0", "--maxval", "15000", "--o", "sel.star")
    relion("relion_star_handler", "--i", star.name, *words, at=star.parent)
    ours = Particles.open(star).table
    theirs = read_tables(star.with_name("sel.star"))["particles"]
    chosen = ours[ours["rlnDefocusU"] <= 15000]
    assert theirs["rlnImageName"].tolist() == chosen["rlnImageName"].tolist()
    np.testing.assert_allclose(theirs["rlnAnglePsi"], chosen["rlnAnglePsi"], atol=1e-4)


def test_stack_create(star: Path) -> None:
    relion("relion_stack_create", "--i", star.name, "--o", "restacked", at=star.parent)
    ours, theirs = Particles.open(star), Particles.open(star.with_name("restacked.star"))
    np.testing.assert_array_equal(ours.images(slice(None)), theirs.images(slice(None)))


def test_image_handler(star: Path) -> None:
    told = relion("relion_image_handler", "--i", f"{star.stem}.mrcs", "--stats", at=star.parent)
    first = told.splitlines()[0]
    image = Particles.open(star).images([0])[0]
    words = first.replace(";", "").split()
    assert "32 x 32 x 1" in first
    assert float(words[words.index("angpix") + 2]) == 4.0
    assert float(words[words.index("stddev=") + 1]) == pytest.approx(image.std(), rel=1e-3)


def test_reconstruct(star: Path, made: Simulated) -> None:
    words = ("--i", star.name, "--o", "rec.mrc", "--ctf")
    relion("relion_reconstruct", *words, at=star.parent)
    theirs, apix = read_map(star.with_name("rec.mrc"))
    truth, _ = read_map(made.maps[0])
    assert apix == 4.0
    # Poses, origins and CTF all count. Up to three eighths of Nyquist 120 images at SNR 2 leave
    # no doubt; beyond, they do not cover Fourier space any more.
    assert fsc(theirs, truth)[1:7].min() > 0.95


def test_map_and_mask(made: Simulated, tmp_path: Path) -> None:
    convert(ConvertOptions(files=(made.maps[0], tmp_path / "a.hdf")))
    convert(ConvertOptions(files=(tmp_path / "a.hdf", tmp_path / "a.mrc")))
    told = relion("relion_image_handler", "--i", "a.mrc", "--stats", at=tmp_path)
    assert "32 x 32 x 32" in told
    assert "angpix = 4" in told
