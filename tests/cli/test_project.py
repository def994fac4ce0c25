"""``mapsort project``: images and where their orientations are written."""

from __future__ import annotations

import h5py
import numpy as np
import pytest

import mapsort
from mapsort.cli.main import main
from mapsort.geometry.euler import eman_to_matrix, relion_to_matrix
from mapsort.io.hdf import HdfReader
from mapsort.io.mrc import write_map
from mapsort.io.mrc_stack import MrcStack
from mapsort.io.star import read_particles
from mapsort.physics.phantom import phantom_map

BOX, APIX = 32, 4.0


@pytest.fixture
def maps(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for state in (0, 1):
        write_map(tmp_path / f"map{state}.mrc", phantom_map(state, BOX, APIX), APIX)
    return tmp_path


@pytest.mark.usefixtures("maps")
def test_hdf_holds_images_and_headers(capsys):
    assert main(["project", "map0.mrc", "map1.mrc", "--orientgen", "eman:delta=40", "--sym",
                 "c1,c2", "--out", "out.hdf", "-q"]) == 0  # fmt: skip
    angles = [mapsort.orientations("eman:delta=40", name) for name in ("c1", "c2")]
    counts = [len(a) for a in angles]
    assert f"{sum(counts)} projections" in capsys.readouterr().out
    turns = eman_to_matrix(np.concatenate(angles))
    with HdfReader("out.hdf") as reader:
        assert reader.n_images == sum(counts)
        images = reader.images()
        headers = [reader.header(i) for i in range(reader.n_images)]
    assert [h["model_id"] for h in headers] == [1] * counts[0] + [2] * counts[1]
    assert headers[0]["apix_x"] == pytest.approx(APIX)
    matrices = np.stack([h["xform.projection"].matrix for h in headers])
    np.testing.assert_allclose(matrices[:, :, :3], turns, atol=1e-6)
    second = mapsort.project(phantom_map(1, BOX, APIX), turns[counts[0] :])
    np.testing.assert_allclose(images[counts[0] :], second, atol=1e-4 * np.abs(second).max())


@pytest.mark.usefixtures("maps")
def test_mrcs_has_a_star_that_gives_the_same_again():
    assert main(["project", "map0.mrc", "--orientgen", "eman:delta=30", "--out", "a.mrcs",
                 "-q"]) == 0  # fmt: skip
    optics, table = read_particles("a.star")
    assert optics["rlnImagePixelSize"].iloc[0] == APIX
    angles = table[["rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi"]].to_numpy(float)
    expected = eman_to_matrix(mapsort.orientations("eman:delta=30", "c1"))
    np.testing.assert_allclose(relion_to_matrix(angles), expected, atol=1e-6)
    assert main(["project", "map0.mrc", "--angles", "a.star", "--out", "b.mrcs", "-q"]) == 0
    first, again = MrcStack("a.mrcs").read(slice(None)), MrcStack("b.mrcs").read(slice(None))
    # angles rounded in the table may fall on the other side of a grid point: within the tolerance
    np.testing.assert_allclose(again, first, atol=1e-3 * np.abs(first).max())


def test_origins_of_a_star_centre_the_image(maps):
    (maps / "v.star").write_text(
        "data_\nloop_\n_rlnAngleRot\n_rlnAngleTilt\n_rlnAnglePsi\n_rlnOriginXAngst\n"
        "_rlnOriginYAngst\n10 20 30 0 0\n10 20 30 8 -12\n"
    )
    assert main(["project", "map0.mrc", "--angles", "v.star", "--out", "v.hdf", "-q"]) == 0
    with HdfReader("v.hdf") as reader:
        still, moved = reader.images()
        matrix = reader.header(1)["xform.projection"].matrix
    # shifting the image by its origin centres it: +2 px along x, -3 px along y
    np.testing.assert_allclose(np.roll(moved, (-3, 2), axis=(0, 1)), still, atol=0.02 * still.max())
    np.testing.assert_allclose(matrix[:, 3], [-2, 3, 0], atol=1e-6)


@pytest.mark.usefixtures("maps")
def test_the_projector_is_the_one_asked_for():
    for spec in ("standard", "fourier"):
        assert main(["project", "map0.mrc", "--orientgen", "eman:delta=60", "--projector", spec,
                     "--out", f"{spec}.hdf", "-q"]) == 0  # fmt: skip
    turns = eman_to_matrix(mapsort.orientations("eman:delta=60", "c1"))
    expected = mapsort.project(phantom_map(0, BOX, APIX), turns, method="standard")
    with HdfReader("standard.hdf") as one, HdfReader("fourier.hdf") as other:
        np.testing.assert_allclose(one.images(), expected, atol=1e-5)
        assert np.abs(other.images() - expected).max() > 1e-3


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--out x.hdf", "give at least one map"),
        ("map0.mrc", "--out is missing"),
        ("map0.mrc --out x.tif", "--out=x.tif"),
        ("map0.mrc --out x.hdf --sym q", "--sym=q"),
        ("map0.mrc --out x.hdf --sym c1,c2", "--sym="),
        ("map0.mrc --out x.hdf --projector q", "--projector=q"),
        ("map0.mrc --out x.hdf --orientgen eman:delta=-1", "--orientgen=eman:delta=-1"),
        ("map0.mrc --out x.hdf --angles a.star --sym c2", "--angles: the file holds the views"),
        ("map0.mrc --out x.hdf --angles none.star", "none.star"),
        ("map0.mrc --out nowhere/x.hdf", "nowhere/x.hdf: there is no directory"),
        ("missing.mrc --out x.hdf", "missing.mrc"),
        ("map0.mrc small.mrc --out x.hdf", "small.mrc: 30 px"),
        ("map0.mrc --out x.hdf --angles bad.star", "rlnAngleTilt of particle 1 is x"),
        ("map0.mrc --out x.hdf --angles empty.star", "no column rlnAngleTilt"),
    ],
)
def test_bad_requests_are_refused_before_work(words, message, maps, capsys):
    write_map(maps / "small.mrc", phantom_map(0, 30, 5.0), 5.0)
    head = "data_\nloop_\n_rlnAngleRot\n_rlnAngleTilt\n_rlnAnglePsi\n"
    (maps / "bad.star").write_text(head + "1 x 2\n")
    (maps / "empty.star").write_text("data_\nloop_\n_rlnAngleRot\n1\n2\n")
    assert main(["project", *words.split(), "-q"]) == 2
    assert message in capsys.readouterr().err
    assert not (maps / "x.hdf").exists()


def test_nothing_else_is_left_behind(maps):
    assert main(["project", "map0.mrc", "--orientgen", "eman:delta=60", "--out", "o.hdf",
                 "-q"]) == 0  # fmt: skip
    assert sorted(p.name for p in maps.iterdir()) == ["map0.mrc", "map1.mrc", "o.hdf"]
    with h5py.File("o.hdf") as file:
        assert "MDF" in file
