"""``mapsort process`` and ``mapsort modules``."""

from __future__ import annotations

import numpy as np
import pytest

from mapsort.cli.main import main
from mapsort.io.hdf import HdfReader
from mapsort.io.hdf_writer import write_images
from mapsort.io.mrc import read_map, write_map, write_stack
from mapsort.io.mrc_stack import MrcStack
from mapsort.modules.processors import process

pytestmark = pytest.mark.usefixtures("here")

RNG = np.random.default_rng(4)
MAP = RNG.standard_normal((16, 16, 16)).astype(np.float32)
IMAGES = RNG.standard_normal((5, 16, 16)).astype(np.float32)


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_map("map.mrc", MAP, 3.0)
    write_stack("stack.mrcs", IMAGES, 2.0)
    return tmp_path


def test_a_map_through_several_processors(capsys):
    words = ["process", "map.mrc", "out.mrc", "--process", "mask.sharp:outer_radius=5"]
    assert main([*words, "--process=filter.lowpass.gauss:cutoff_freq=0.1"]) == 0
    assert capsys.readouterr().out == "out.mrc  1 map, 3 A/pixel\n"
    expected = process("mask.sharp:outer_radius=5", MAP)
    expected = process("filter.lowpass.gauss:cutoff_freq=0.1", expected, apix=3.0)
    found, apix = read_map("out.mrc")
    np.testing.assert_array_equal(found, expected)
    assert apix == pytest.approx(3.0)


def test_a_stack_that_shrinks(capsys):
    assert main(["process", "stack.mrcs", "out.mrcs", "--process", "math.meanshrink:n=2"]) == 0
    assert "5 images, 4 A/pixel" in capsys.readouterr().out
    stack = MrcStack("out.mrcs")
    assert stack.apix == pytest.approx(4.0)
    expected = process("math.meanshrink:n=2", IMAGES)
    np.testing.assert_array_equal(stack.read(slice(None)), expected)


def test_pixel_size_counts_in_later_processors():
    words = ["process", "stack.mrcs", "out.hdf", "--process", "math.meanshrink:n=2"]
    assert main([*words, "--process", "filter.lowpass.gauss:cutoff_freq=0.1"]) == 0
    small = process("math.meanshrink:n=2", IMAGES[3])
    expected = process("filter.lowpass.gauss:cutoff_freq=0.1", small, apix=4.0)
    with HdfReader("out.hdf") as reader:
        np.testing.assert_array_equal(reader.image(3), expected)
        assert reader.header(3)["apix_x"] == pytest.approx(4.0)


def test_hdf_headers_are_kept():
    write_images("in.hdf", IMAGES, [{"model_id": i} for i in range(5)], apix=2.0)
    assert main(["process", "in.hdf", "out.hdf", "--process", "normalize"]) == 0
    with HdfReader("out.hdf") as reader:
        assert [reader.header(i)["model_id"] for i in range(5)] == list(range(5))
        np.testing.assert_array_equal(reader.image(2), process("normalize", IMAGES[2]))


def test_a_cube_may_be_a_stack():
    write_stack("cube.mrc", np.tile(IMAGES[:1], (16, 1, 1)), 2.0)
    words = ["process", "cube.mrc", "out.mrcs", "--process", "math.addnoise:noise=1"]
    assert main([*words, "--stack"]) == 0
    added = MrcStack("out.mrcs").read(slice(None)) - IMAGES[0]
    assert len({row.tobytes() for row in added}) == 16  # every image has its own noise


def test_files_as_parameters():
    write_map("reference.mrc", 2 * MAP + 1, 3.0)
    spec = "normalize.toimage:to=reference.mrc"
    assert main(["process", "map.mrc", "out.mrc", "--process", spec]) == 0
    np.testing.assert_allclose(read_map("out.mrc")[0], 2 * MAP + 1, atol=1e-5)


@pytest.mark.parametrize(
    ("words", "fragment"),
    [
        (["map.mrc"], "give an input and an output file"),
        (["map.mrc", "out.mrc"], "--process is missing"),
        (["map.mrc", "out.mrc", "--process", "mask.sharpp"], "did you mean mask.sharp?"),
        (["map.mrc", "out.mrc", "--process", "mask.sharp:radius=2"], "--process=mask.sharp:rad"),
        (["map.mrc", "out.mrc", "--process", "mask.soft:width=0"], "expected a number above 0"),
        (["map.mrc", "out.mrc", "--process", "filter.matchto"], "to is missing"),
        (["map.mrc", "out.mrc", "--process", "filter.matchto:to=no.mrc"], "no.mrc"),
        (["map.mrc", "out.mrc", "--process", "mask.decayedge2d:width=3"], "works on images"),
        (["map.mrc", "map.mrc", "--process", "normalize"], "is read and cannot be written over"),
        (["map.mrc", "out.mrcs", "--process", "normalize"], "the input is a map"),
        (["stack.mrcs", "out.mrc", "--process", "normalize"], "the input is a stack"),
        (["stack.mrcs", "out.png", "--process", "normalize"], "images are written as"),
        (["no.mrc", "out.mrc", "--process", "normalize"], "no.mrc"),
        (["map.mrc", "no/out.mrc", "--process", "normalize"], "there is no directory"),
        (["map.mrc", "out.mrc", "--process", "normalize", "--apix", "-1"], "--apix=-1"),
        (["stack.mrcs", "out.mrcs", "--process", "mask.auto3d:threshold=1:radius=3"], "on maps"),
    ],
)
def test_wrong_requests(here, capsys, words, fragment):
    before = sorted(here.iterdir())
    assert main(["process", *words]) == 2
    assert fragment in capsys.readouterr().err
    assert sorted(here.iterdir()) == before


def test_a_processor_that_fails_leaves_no_file(here, capsys):
    write_map("flat.mrc", np.zeros((16, 16, 16)), 3.0)
    assert main(["process", "flat.mrc", "out.mrc", "--process", "normalize"]) == 1
    assert "constant" in capsys.readouterr().err
    assert not (here / "out.mrc").exists()


def test_modules_lists_everything(capsys):
    assert main(["modules"]) == 0
    out = capsys.readouterr().out
    for title in ("processors:", "comparators:", "averagers:", "orientation generators:"):
        assert title in out
    assert "mask.auto3d" in out
    assert "cutoff_freq" not in out


def test_modules_of_a_kind_with_parameters(capsys):
    assert main(["modules", "orientgen", "-v"]) == 0
    out = capsys.readouterr().out
    assert "delta (a number" in out
    assert "mask.auto3d" not in out
    assert main(["modules", "symmetries"]) == 0
    assert "icos" in capsys.readouterr().out


def test_unknown_kind(capsys):
    assert main(["modules", "processorz"]) == 2
    assert "did you mean processors?" in capsys.readouterr().err
