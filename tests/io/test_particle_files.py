"""Every format of particles that EMAN2 and RELION wrote, read as one kind of table."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from mapsort.errors import FormatError
from mapsort.geometry.euler import relion_to_matrix
from mapsort.io.eman_ctf import EmanCtf
from mapsort.io.hdf import HdfStack
from mapsort.io.hdf_header import EmanTransform
from mapsort.io.hdf_writer import write_images
from mapsort.io.lst import write_list
from mapsort.io.mrc import write_stack
from mapsort.io.particle_files import read_particle_files
from mapsort.model.particles import Particles

IMAGES = np.random.default_rng(0).normal(size=(3, 8, 8)).astype(np.float32)
CTF = EmanCtf(defocus_um=1.5, ampcont_percent=10, voltage_kv=300, cs_mm=2.7, apix=2)
POSE = EmanTransform(np.eye(3, 4))


@pytest.fixture
def golden_files(golden_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Lists are read from the directory that their paths start from."""
    monkeypatch.chdir(golden_dir / "files")
    return Path()


def test_stack_of_eman2(golden_files: Path, golden: Any) -> None:
    particles = Particles.open(golden_files / "stack5.hdf")
    assert (len(particles), particles.box, particles.apix) == (5, 32, 2.0)
    np.testing.assert_array_equal(particles.images(slice(None)), golden.outputs["file.stack5"])
    entries = golden.select(lambda e: e["id"].startswith("file.stack5.header."))
    ctf = particles.ctf
    assert ctf is not None
    assert particles.phase_flipped
    assert "phase-flipped" in particles.notes[0]
    for row, entry in enumerate(entries):
        header = entry["value"]["header"]
        known = EmanCtf.from_text(header["ctf"])
        assert ctf.defocus_u_ang[row] == pytest.approx(1e4 * (known.defocus_um + 0.05), rel=1e-6)
        assert ctf.defocus_v_ang[row] == pytest.approx(1e4 * (known.defocus_um - 0.05), rel=1e-6)
        assert ctf.bfactor_ang2[row] == 100
        # EMAN2's Eulers, shift and mirror of the entry, as RELION's pose.
        pose = header["xform.projection"]
        sign = -1 if pose["mirror"] else 1
        origin = particles.table[["rlnOriginXAngst", "rlnOriginYAngst"]].to_numpy()[row]
        np.testing.assert_allclose(origin, [-2 * sign * pose["tx"], -2 * pose["ty"]], atol=1e-5)
        angles = particles.table[["rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi"]].to_numpy()[row]
        view = relion_to_matrix(np.array([pose["az"] - 90, pose["alt"], pose["phi"] + 90]))
        expected = np.diag([-1.0, 1, -1]) @ view if pose["mirror"] else view
        np.testing.assert_allclose(relion_to_matrix(angles), expected, atol=1e-5)


@pytest.mark.parametrize("name", ["stack5_c8", "stack5_c12"])
def test_compressed_stack_of_eman2(golden_files: Path, golden: Any, name: str) -> None:
    particles = Particles.open(golden_files / f"{name}.hdf")
    expected = golden.outputs[f"file.{name}"]
    np.testing.assert_allclose(particles.images(slice(None)), expected, atol=1e-5)


@pytest.mark.parametrize(("name", "apix"), [("list_json.lsx", None), ("stack5.mrcs", None)])
def test_lists_and_stack(golden_files: Path, golden: Any, name: str, apix: float | None) -> None:
    particles = Particles.open(golden_files / name, apix=apix)
    np.testing.assert_array_equal(
        particles.images(slice(None)), golden.outputs[f"file.{name}"], strict=True
    )


def test_list_columns_win_over_headers(golden_files: Path) -> None:
    particles = Particles.open(golden_files / "list_json.lsx")
    assert particles.table["eman_score"].tolist() == [-0.8, 0.25]
    assert particles.table["eman_class"].tolist()[0] == 3
    angles = particles.table[["rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi"]].to_numpy()
    # The list's transform: az 10, alt 20, phi 30, tx 1, ty 2.
    np.testing.assert_allclose(angles[0], [-80, 20, 120], atol=1e-3)
    origin = particles.table[["rlnOriginXAngst", "rlnOriginYAngst"]].to_numpy()[0]
    np.testing.assert_allclose(origin, [-2, -4], atol=1e-5)


def test_list_of_stacks_with_and_without_ctf(golden_files: Path) -> None:
    with pytest.raises(FormatError, match=r"list\.lst: image 2 has no ctf and others have"):
        Particles.open(golden_files / "list.lst")


def test_list_over_two_formats(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_images("a.hdf", IMAGES, apix=2.0)
    write_stack("b.mrcs", IMAGES + 1, 2.0)
    write_list(
        "both.lst", [2, 0, 1], ["a.hdf", "b.mrcs", "a.hdf"], [{"score": k} for k in range(3)]
    )
    particles = Particles.open("both.lst")
    assert particles.validate() == ()
    expected = np.stack([IMAGES[2], IMAGES[0] + 1, IMAGES[1]])
    np.testing.assert_array_equal(particles.images(slice(None)), expected)
    assert particles.ctf is None
    assert particles.table["eman_score"].tolist() == [0, 1, 2]
    copy = pickle.loads(pickle.dumps(particles))
    np.testing.assert_array_equal(copy.images([1]), expected[[1]])
    write_list("nested.lst", [0], ["both.lst"])
    with pytest.raises(FormatError, match="lists of lists"):
        Particles.open("nested.lst")


def test_whether_phases_are_flipped(tmp_path: Path) -> None:
    path = tmp_path / "a.hdf"
    for marks, expected in (({}, True), ({"rlnCtfDataArePhaseFlipped": 0}, False)):
        write_images(path, IMAGES, [{"ctf": CTF.text(), **marks}] * 3, apix=2.0)
        particles = Particles.open(path)
        assert particles.phase_flipped is expected
        assert bool(particles.notes) is expected


def test_partial_headers(tmp_path: Path) -> None:
    path = tmp_path / "a.hdf"
    full = {"xform.projection": POSE, "ptcl_source_image": "m.hdf", "ptcl_source_coord": [3, 4]}
    write_images(path, IMAGES, [full, full, {}], apix=2.0)
    read = read_particle_files(path)
    assert "rlnAngleRot" not in read.particles
    assert "1 images have no xform.projection" in read.notes[0]
    assert read.particles["rlnMicrographName"].tolist()[:2] == ["m.hdf"] * 2
    assert read.particles["rlnCoordinateY"].tolist()[:2] == [4, 4]
    with h5py.File(path, "r+") as file:
        del file["MDF/images/1"].attrs["EMAN.apix_x"]
    with pytest.raises(FormatError, match=r"a\.hdf: not every image states its pixel size"):
        read_particle_files(path)
    assert read_particle_files(path, apix=3.0).optics["rlnImagePixelSize"].tolist() == [3.0]


def test_stacks_that_are_no_particles(tmp_path: Path) -> None:
    path = tmp_path / "a.hdf"
    write_images(path, np.zeros((1, 4, 4, 4)))
    with pytest.raises(FormatError, match="4 x 4 x 4 pixels; 2-D"):
        HdfStack(path)
    write_images(path, [])
    for opened in (HdfStack, Particles.open):
        with pytest.raises(FormatError, match="holds no image"):
            opened(path)
    write_images(path, [IMAGES[0], IMAGES[1], IMAGES[2][:4]])
    stack = HdfStack(path)
    assert (stack.n_images, stack.box, stack.stated_apix) == (3, (8, 8), 1.0)
    with pytest.raises(FormatError, match=r"image 2 has shape \(4, 8\)"):
        stack.read_into(np.empty((1, 8, 8), np.float32), np.array([2]))
    with pytest.raises(FormatError, match="image 5 was asked for"):
        stack.read_into(np.empty((1, 8, 8), np.float32), np.array([5]))


def test_datadir_must_exist(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"--datadir=.*no such directory"):
        Particles.open("a.star", datadir=tmp_path / "none")


STAR = "data_\n\nloop_\n_rlnImageName\n_rlnPixelSize\n{rows}"


def test_where_every_image_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a.mrcs", "b.mrcs"):
        write_stack(name, IMAGES, 2.0)
    rows = "".join(f"{image} 1.5\n" for image in ("3@b.mrcs", "1@a.mrcs", "2@b.mrcs", "a.mrcs"))
    Path("p.STAR").write_text(STAR.format(rows=rows))
    read = read_particle_files("p.STAR")
    assert [file.name for file in read.files] == ["b.mrcs", "a.mrcs"]
    assert read.file_of.tolist() == [0, 1, 0, 1]
    assert read.index_in_file.tolist() == [2, 0, 1, 0]
    assert (read.file_of.dtype, read.index_in_file.dtype) == (np.int64, np.int64)
    assert read.notes == ()
    assert read.optics["rlnImagePixelSize"].tolist() == [1.5]
    assert read_particle_files("p.STAR", apix=2.5).optics["rlnImagePixelSize"].tolist() == [2.5]


def test_a_bare_stack(tmp_path: Path) -> None:
    path = tmp_path / "a.mrcs"
    write_stack(path, IMAGES[:, :6], 2.0)
    read = read_particle_files(path)
    assert read.optics.to_dict("list") == {
        "rlnOpticsGroup": [1],
        "rlnOpticsGroupName": ["opticsGroup1"],
        "rlnImagePixelSize": [2.0],
        "rlnImageSize": [8],
        "rlnImageDimensionality": [2],
    }
    assert read.particles.to_dict("list") == {
        "rlnImageName": [f"{k:06d}@{path}" for k in (1, 2, 3)],
        "rlnOpticsGroup": [1, 1, 1],
    }
    assert (read.files, read.file_of.tolist(), read.index_in_file.tolist()) == (
        (path,),
        [0, 0, 0],
        [0, 1, 2],
    )
    assert read_particle_files(path, apix=0.5).optics["rlnImagePixelSize"].tolist() == [0.5]
    content = bytearray(path.read_bytes())
    content[40:52] = bytes(12)
    path.write_bytes(content)
    with pytest.raises(FormatError) as caught:
        read_particle_files(path)
    assert str(caught.value) == (f"{path}: its header states no pixel size; give it with --apix.")
    assert read_particle_files(path, apix=0.5).optics["rlnImagePixelSize"].tolist() == [0.5]


def test_sets_of_cryosparc(tmp_path: Path) -> None:
    write_stack(tmp_path / "a.mrcs", IMAGES, 2.0)
    own = np.zeros(3, [("uid", "<u8"), ("blob/psize_A", "<f4")])
    own["uid"], own["blob/psize_A"] = [3, 1, 2], 2.0
    rest = np.zeros(3, [("uid", "<u8"), ("blob/path", "S6"), ("blob/idx", "<u4")])
    rest["uid"], rest["blob/path"], rest["blob/idx"] = [1, 2, 3], b"a.mrcs", [0, 1, 2]
    for name, records in (("p.cs", own), ("rest.cs", rest)):
        with (tmp_path / name).open("wb") as file:
            np.save(file, records)
    read = read_particle_files(tmp_path / "p.cs", passthrough=[tmp_path / "rest.cs"])
    assert read.index_in_file.tolist() == [2, 0, 1]
    assert read.files == (tmp_path / "a.mrcs",)
    assert "no CTF" in read.notes[0]
    with pytest.raises(FormatError, match="it has no blob/path"):
        read_particle_files(tmp_path / "p.cs")
    with pytest.raises(FormatError, match=r"passthrough files go with a cryoSPARC \.cs file only"):
        read_particle_files(tmp_path / "a.mrcs", passthrough=[tmp_path / "rest.cs"])


@pytest.mark.parametrize(("name", "kind"), [("a.txt", ".txt"), ("a", "a file without suffix")])
def test_kinds_of_files_that_are_not_read(tmp_path: Path, name: str, kind: str) -> None:
    with pytest.raises(FormatError) as caught:
        read_particle_files(tmp_path / name)
    assert str(caught.value) == (
        f"{tmp_path / name}: particles are read from .star, .cs, .hdf, .hdf5, .h5, .lst, .lsx, "
        f".mrcs, .mrc, .st, .map, not from {kind}."
    )


def test_data_bases_of_eman2_are_not_read() -> None:
    with pytest.raises(FormatError, match="input: bdb:set is an EMAN2 bdb: data base"):
        read_particle_files("bdb:set")
