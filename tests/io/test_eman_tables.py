"""EMAN2's headers ↔ RELION's tables: there and back, and which of two sayings is believed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest

from mapsort.errors import FormatError
from mapsort.geometry.euler import relion_to_matrix
from mapsort.io import eman_tables
from mapsort.io.eman_ctf import EmanCtf
from mapsort.io.eman_tables import eman_headers, read_hdf_particles, read_list_particles
from mapsort.io.hdf_header import EmanTransform
from mapsort.io.hdf_writer import write_images
from mapsort.io.lst import write_list
from mapsort.io.mrc import write_stack

N = 5
IMAGES = np.zeros((N, 4, 4), np.float32)
CTF = EmanCtf(defocus_um=1.5, ampcont_percent=10, voltage_kv=300, cs_mm=2.7, apix=2)
ANGLES = ["rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi"]
ORIGINS = ["rlnOriginXAngst", "rlnOriginYAngst"]


def tables() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Two optics groups, and columns of every origin: RELION's, EMAN2's and nobody's."""
    optics = pd.DataFrame(
        {
            "rlnOpticsGroup": [3, 8],
            "rlnOpticsGroupName": ["a", "b"],
            "rlnVoltage": [300.0, 200.0],
            "rlnSphericalAberration": [2.7, 1.4],
            "rlnAmplitudeContrast": [0.1, 0.07],
            "rlnImagePixelSize": [1.5, 2.0],
            "rlnImageDimensionality": [2, 2],
            "rlnCtfDataArePhaseFlipped": [0, 0],
        }
    )
    particles = pd.DataFrame(
        {
            "rlnImageName": [f"{k + 1:06d}@x.mrcs" for k in range(N)],
            "rlnOpticsGroup": [3, 8, 3, 8, 3],
            "rlnDefocusU": 12000.0 + 100 * np.arange(N),
            "rlnDefocusV": 11000.0 - 100 * np.arange(N),
            "rlnDefocusAngle": 10.0 * np.arange(N),
            "rlnAngleRot": [10.0, 20, 30, 40, -50],
            "rlnAngleTilt": [60.0, 70, 80, 90, 100],
            "rlnAnglePsi": [-10.0, 20, -30, 40, -50],
            "rlnOriginXAngst": [3.0, -2.0, 0.0, 4.0, 1.5],
            "rlnOriginYAngst": [0.0, 2.0, -6.0, 1.0, -1.5],
            "rlnMicrographName": ["m1", "m1", "m2", "m2", "m3"],
            "rlnCoordinateX": [1.5, 2.5, 3.5, 4.5, 5.5],
            "rlnRandomSubset": [1, 2, 1, 2, 1],
            "mine": [5, 6, 7, 8, 9],
            "my_text": ["a", "b", "c", "d", "e"],
        }
    )
    return optics, particles


def written(path: Path, optics: pd.DataFrame, particles: pd.DataFrame) -> Path:
    write_images(
        path,
        IMAGES[: len(particles)],
        [
            {**items, **({"ctf": items["ctf"].text()} if "ctf" in items else {})}
            for items in eman_headers(optics, particles)
        ],
    )
    return path


@pytest.mark.parametrize("at_once", [2, 5, 100])
def test_tables_come_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_once: int) -> None:
    monkeypatch.setattr(eman_tables, "_AT_ONCE", at_once)
    optics, particles = tables()
    path = written(tmp_path / "a.hdf", optics, particles)
    found_optics, found, notes = read_hdf_particles(path)
    assert notes == []
    assert found["rlnImageName"].tolist() == [f"{k + 1:06d}@{path}" for k in range(N)]
    pd.testing.assert_frame_equal(found_optics[optics.columns], optics, check_dtype=False)
    columns = [name for name in particles if name not in ("rlnImageName", *ANGLES)]
    assert set(found) == set(particles)
    pd.testing.assert_frame_equal(found[columns], particles[columns], rtol=1e-5, atol=1e-6)
    # float32 in the file
    views = (relion_to_matrix(table[ANGLES].to_numpy()) for table in (found, particles))
    np.testing.assert_allclose(*views, atol=1e-6)


def test_items_of_the_tables() -> None:
    optics, particles = tables()
    particles["eman_score"] = [0.5, 1.5, 2.5, 3.5, np.nan]
    particles["rlnBig"] = [2**31, 2**31 - 1, -(2**31), -(2**31) - 1, 0]
    items = list(eman_headers(optics, particles))
    assert [row["apix_x"] for row in items] == [1.5, 2.0, 1.5, 2.0, 1.5]
    assert [row["rlnBig"] for row in items] == [str(2**31), 2**31 - 1, -(2**31), f"-{2**31 + 1}", 0]
    assert [row.get("score") for row in items] == [0.5, 1.5, 2.5, 3.5, None]
    assert "score" not in items[4]
    assert items[1]["star_mine"] == 6
    assert items[1]["star_my_text"] == "b"
    assert not {"mine", "eman_score", "rlnDefocusU", "rlnImageName", "rlnVoltage"} & set(items[0])
    ctf = items[1]["ctf"]
    assert (ctf.voltage_kv, ctf.cs_mm, ctf.apix) == (200, 1.4, 2.0)
    assert (ctf.defocus_um, ctf.dfdiff_um) == pytest.approx((1.15, 0.12))
    # An origin of (-2, 2) A at 2 A/pixel: the projection moves by (1, -1) pixels.
    np.testing.assert_allclose(items[1]["xform.projection"].matrix[:, 3], [1, -1, 0])
    np.testing.assert_allclose(
        items[1]["xform.projection"].matrix[:, :3],
        relion_to_matrix(np.array([20.0, 70, 20])),
        atol=1e-6,
    )


def test_what_tables_do_not_say_is_not_in_headers() -> None:
    optics, particles = tables()
    (first, *_) = eman_headers(optics, particles.drop(columns=ORIGINS))
    assert first["xform.projection"].matrix[:, 3].tolist() == [0, 0, 0]
    (_, second, *_) = eman_headers(optics, particles.drop(columns=ORIGINS[1]))
    assert second["xform.projection"].matrix[:, 3].tolist() == [1, 0, 0]
    for label in ANGLES:
        (first, *_) = eman_headers(optics, particles.drop(columns=label))
        assert "xform.projection" not in first
    defocus = ["rlnDefocusU", "rlnDefocusV", "rlnDefocusAngle"]
    flat = optics.drop(columns="rlnCtfDataArePhaseFlipped")
    (first, *_) = eman_headers(flat, particles.drop(columns=defocus))
    assert not {"ctf", "rlnCtfDataArePhaseFlipped"} & set(first)
    # Images with a CTF are flipped for EMAN2 unless something says that they are not.
    (first, *_) = eman_headers(flat, particles)
    assert first["rlnCtfDataArePhaseFlipped"] == 0
    (first, *_) = eman_headers(flat.assign(rlnCtfDataArePhaseFlipped=1), particles)
    assert first["rlnCtfDataArePhaseFlipped"] == 1
    with pytest.raises(FormatError, match="incomplete CTF"):
        next(eman_headers(flat, particles.drop(columns="rlnDefocusV")))


def test_columns_of_the_particles_win_over_those_of_their_optics() -> None:
    optics, particles = tables()
    particles["rlnImagePixelSize"] = [1.0, 1.1, 1.2, 1.3, 1.4]
    assert [row["apix_x"] for row in eman_headers(optics, particles)] == [1.0, 1.1, 1.2, 1.3, 1.4]


def read_one(path: Path, header: dict[str, Any], **options: Any) -> tuple[pd.Series, pd.Series]:
    write_images(path, IMAGES[:1], [header], apix=2.0)
    optics, particles, _ = read_hdf_particles(path, **options)
    return optics.iloc[0], particles.iloc[0]


def test_a_header_of_eman2(tmp_path: Path) -> None:
    """Of its dozens of items only those are columns that mean something in RELION's tables."""
    matrix = np.eye(3, 4)
    matrix[:2, 3] = 1.5, -2
    header = {
        "ctf": CTF.text(),
        "xform.projection": EmanTransform(matrix),
        "ptcl_source_image": "micrographs/m.hdf",
        "ptcl_source_coord": [30, 40],
        "model_id": 3,
        "rlnClassNumber": 2,
        "rlnList": [1, 2],
        "rlnDefocusU": 77.0,
        "star_own": "x",
    }
    optics, particle = read_one(tmp_path / "a.hdf", header)
    assert optics["rlnImagePixelSize"] == 2.0
    assert (optics["rlnVoltage"], optics["rlnSphericalAberration"]) == (300, 2.7)
    assert optics["rlnAmplitudeContrast"] == pytest.approx(0.1)
    assert optics["rlnCtfDataArePhaseFlipped"] == 1
    assert particle[["rlnDefocusU", "rlnDefocusV", "rlnDefocusAngle"]].tolist() == [15000, 15000, 0]
    assert particle[ORIGINS].tolist() == [-3, 4]
    assert particle["rlnMicrographName"] == "micrographs/m.hdf"
    assert particle[["rlnCoordinateX", "rlnCoordinateY"]].tolist() == [30, 40]
    assert (particle["rlnClassNumber"], particle["own"]) == (2, "x")
    # Nothing is said of phase plate and envelope, and lists are no columns.
    absent = {"rlnPhaseShift", "rlnCtfBfactor", "rlnList", "eman_model_id", "model_id"}
    assert not absent & set(particle.index)


def test_what_a_header_says_itself_is_more_exact(tmp_path: Path) -> None:
    header = {
        "ptcl_source_image": "m.hdf",
        "ptcl_source_coord": [30, 40],
        "rlnMicrographName": "m.mrc",
        "rlnCoordinateX": 30.25,
    }
    _, particle = read_one(tmp_path / "a.hdf", header)
    assert particle["rlnMicrographName"] == "m.mrc"
    assert particle[["rlnCoordinateX", "rlnCoordinateY"]].tolist() == [30.25, 40]
    for odd in ({"ptcl_source_coord": [1, 2, 3]}, {"ptcl_source_image": 5}, {}):
        _, particle = read_one(tmp_path / "a.hdf", odd)
        assert not {"rlnCoordinateX", "rlnMicrographName"} & set(particle.index)


def test_phase_plate_and_envelope(tmp_path: Path) -> None:
    ctf = EmanCtf(defocus_um=1.5, ampcont_percent=100, voltage_kv=300, cs_mm=2.7, bfactor_ang2=40)
    header = {"ctf": ctf.text(), "rlnPhaseShift": 60.0}
    optics, particle = read_one(tmp_path / "a.hdf", header)
    assert (particle["rlnPhaseShift"], particle["rlnCtfBfactor"]) == (60, 40)
    assert optics["rlnAmplitudeContrast"] == pytest.approx(0.5)
    optics, particle = read_one(tmp_path / "a.hdf", {"ctf": ctf.text()})
    assert optics["rlnAmplitudeContrast"] == pytest.approx(1)
    assert "rlnPhaseShift" not in particle


@pytest.mark.parametrize(
    ("apix", "message"),
    [
        (0.0, "the pixel size must be positive, not 0"),
        (-2.0, "the pixel size must be positive, not -2"),
        (np.inf, "the pixel size must be positive, not 2"),
        (np.nan, "not every image states its pixel size; give it with --apix"),
        (None, "not every image states its pixel size; give it with --apix"),
    ],
)
def test_pixel_sizes_that_cannot_be(tmp_path: Path, apix: float | None, message: str) -> None:
    path = tmp_path / "a.hdf"
    write_images(path, IMAGES, apix=2.0)
    with h5py.File(path, "r+") as file:
        attributes = file["MDF/images/3"].attrs
        del attributes["EMAN.apix_x"]
        if apix is not None:
            attributes["EMAN.apix_x"] = apix
    with pytest.raises(FormatError, match=rf"a\.hdf: {message}"):
        read_hdf_particles(path)
    assert read_hdf_particles(path, apix=2.5)[0]["rlnImagePixelSize"].tolist() == [2.5]


def test_float32_and_float64_of_one_decimal_are_one_optics_group(tmp_path: Path) -> None:
    path = tmp_path / "a.hdf"
    write_images(path, IMAGES, apix=1.3)
    with h5py.File(path, "r+") as file:
        del file["MDF/images/3"].attrs["EMAN.apix_x"]
        file["MDF/images/3"].attrs["EMAN.apix_x"] = np.float32(1.3)
    optics, particles, _ = read_hdf_particles(path)
    assert optics["rlnImagePixelSize"].tolist() == [1.3]
    assert particles["rlnOpticsGroup"].tolist() == [1] * N


def test_headers_that_cannot_be_used(tmp_path: Path) -> None:
    path, good = tmp_path / "a.hdf", {"ctf": CTF.text()}
    for bad, message in (
        ({"ctf": "O1"}, r"a\.hdf: image 2: 'O1' is not an EMAN2 CTF, which begins with E\."),
        ({}, r"a\.hdf: image 2 has no ctf and others have\. Determine it for all\."),
    ):
        write_images(path, IMAGES, [good, good, bad, good, bad])
        with pytest.raises(FormatError, match=message):
            read_hdf_particles(path)
    pose = {"xform.projection": EmanTransform(np.eye(3, 4))}
    scaled = {"xform.projection": EmanTransform(2 * np.eye(3, 4))}
    write_images(path, IMAGES, [pose, scaled, pose, pose, pose])
    with pytest.raises(FormatError, match=r"xform\.projection: transform 1 is not .*from 0\)"):
        read_hdf_particles(path)
    write_images(path, [])
    with pytest.raises(FormatError, match=r"a\.hdf: the file holds no image\."):
        read_hdf_particles(path)


def test_poses_of_some_images_are_told_and_left_out(tmp_path: Path) -> None:
    path = tmp_path / "a.hdf"
    pose = {"xform.projection": EmanTransform(np.eye(3, 4))}
    write_images(path, IMAGES, [{}, pose, {}, pose, pose])
    _, particles, notes = read_hdf_particles(path)
    assert notes == [f"{path}: 2 images have no xform.projection: all poses are left out"]
    assert not {"xform.projection", *ANGLES, *ORIGINS} & set(particles)


def test_marks_of_some_images_do_not_count(tmp_path: Path) -> None:
    """Whether phases are flipped must be said of all, else EMAN2's custom holds."""
    path, ctf = tmp_path / "a.hdf", {"ctf": CTF.text()}
    marked = {**ctf, "rlnCtfDataArePhaseFlipped": 0}
    for headers, flipped, noted in (
        ([ctf] * N, {1}, True),
        ([marked] * N, {0}, False),
        ([marked, ctf, ctf, ctf, ctf], {1}, True),
    ):
        write_images(path, IMAGES, headers)
        optics, _, notes = read_hdf_particles(path)
        assert set(optics["rlnCtfDataArePhaseFlipped"]) == flipped
        assert len(notes) == noted
    assert notes[0].endswith("as EMAN2 writes them; --ctf=apply if they are not")


def test_lists_name_images_in_any_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_images("a.hdf", IMAGES, [{"rlnClassNumber": k} for k in range(N)], apix=2.0)
    write_images("b.HDF", IMAGES, [{"rlnClassNumber": 10 + k} for k in range(N)], apix=2.0)
    write_stack("c.mrcs", IMAGES, 2.0)
    extras: list[dict[str, Any]] = [{"score": 0.5, "ctf_like": "x"}, {}, {"rlnClassNumber": 7}, {}]
    write_list("l.lst", [4, 0, 1, 2], ["a.hdf", "b.HDF", "c.mrcs", "a.hdf"], extras)
    optics, particles, notes = read_list_particles(Path("l.lst"))
    assert particles["rlnImageName"].tolist() == [
        "000005@a.hdf",
        "000001@b.HDF",
        "000002@c.mrcs",
        "000003@a.hdf",
    ]
    assert particles["rlnClassNumber"].tolist() == [4, 10, 7, 2]
    assert particles["eman_score"].tolist()[0] == 0.5
    assert particles["eman_score"].isna().tolist() == [False, True, True, True]
    assert particles["eman_ctf_like"][0] == "x"
    assert (optics["rlnImagePixelSize"].tolist(), notes) == ([2.0], [])
    assert read_list_particles(Path("l.lst"), apix=3.0)[0]["rlnImagePixelSize"].tolist() == [3.0]


def test_lists_find_stacks_in_the_data_directory(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    write_images(tmp_path / "data/a.hdf", IMAGES, apix=2.0)
    write_list(tmp_path / "l.lst", [0], ["sub/a.hdf"])
    with pytest.raises(FormatError, match=r"l\.lst: the image file sub/a\.hdf is not found"):
        read_list_particles(tmp_path / "l.lst")
    _, particles, _ = read_list_particles(tmp_path / "l.lst", datadir=tmp_path / "data")
    assert particles["rlnImageName"].tolist() == ["000001@sub/a.hdf"]


def test_a_stack_without_a_pixel_size_may_stand_in_a_list(tmp_path: Path) -> None:
    path = tmp_path / "a.mrcs"
    write_stack(path, IMAGES, 1.0)
    content = bytearray(path.read_bytes())
    content[40:52] = bytes(12)
    path.write_bytes(content)
    write_list(tmp_path / "l.lst", [0, 3], [str(path)] * 2)
    with pytest.raises(FormatError, match=r"l\.lst: not every image states its pixel size"):
        read_list_particles(tmp_path / "l.lst")
    optics, particles, _ = read_list_particles(tmp_path / "l.lst", apix=1.5)
    assert (optics["rlnImagePixelSize"].tolist(), len(particles)) == ([1.5], 2)


def test_files_of_other_kinds_are_no_stacks(tmp_path: Path) -> None:
    (tmp_path / "a.png").touch()
    write_list(tmp_path / "l.lst", [0], [str(tmp_path / "a.png")])
    with pytest.raises(FormatError) as caught:
        read_list_particles(tmp_path / "l.lst")
    assert str(caught.value) == (
        f"{tmp_path / 'l.lst'}: {tmp_path / 'a.png'} is no stack "
        "(.hdf, .hdf5, .h5, .mrcs, .mrc, .st, .map); lists of lists are not read."
    )
