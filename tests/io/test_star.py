from __future__ import annotations

import string
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import starfile
from hypothesis import given, settings
from hypothesis import strategies as st

from mapsort.errors import FormatError
from mapsort.io.star import (
    ctf_values,
    read_particles,
    resolve_stack,
    split_image_names,
    write_particles,
)
from mapsort.io.star_tables import read_tables, write_tables

OPTICS = """
data_optics

loop_
_rlnOpticsGroup #1
_rlnOpticsGroupName #2
_rlnVoltage #3
_rlnSphericalAberration #4
_rlnAmplitudeContrast #5
_rlnImagePixelSize #6
_rlnImageSize #7
1 opticsGroup1 300 2.7 0.1 1.5 64
2 opticsGroup2 200 1.4 0.07 1.5 64
"""
PARTICLES = """
data_particles

loop_
_rlnImageName #1
_rlnOpticsGroup #2
_rlnDefocusU #3
_rlnDefocusV #4
_rlnDefocusAngle #5
_rlnMicrographName #6
_rlnMyOwn #7
000002@a.mrcs 2 10000 11000 30 0007 007
000001@b.mrcs 1 12000 13000 -40 0008 1.50
"""


def star(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_read(tmp_path: Path) -> None:
    path = star(tmp_path / "p.star", OPTICS + PARTICLES)
    optics, particles = read_particles(path)
    assert optics["rlnImagePixelSize"].tolist() == [1.5, 1.5]
    assert particles["rlnImageName"].tolist() == ["000002@a.mrcs", "000001@b.mrcs"]
    assert particles["rlnMicrographName"].tolist() == ["0007", "0008"]
    assert particles["rlnMyOwn"].tolist() == ["007", "1.50"]
    values = ctf_values(path, optics, particles)
    assert values is not None
    assert values["rlnVoltage"].tolist() == [200, 300]
    assert values["rlnSphericalAberration"].tolist() == [1.4, 2.7]
    assert values["rlnDefocusAngle"].tolist() == [30, -40]
    assert values["rlnPhaseShift"].tolist() == [0, 0]


def test_optics_without_loop_and_pixel_size_given(tmp_path: Path) -> None:
    text = "data_optics\n\n_rlnOpticsGroup 1\n_rlnImagePixelSize 1.5\n\n" + (
        "data_particles\n\nloop_\n_rlnImageName\n_rlnOpticsGroup\n1@a.mrcs 1\n"
    )
    optics, particles = read_particles(star(tmp_path / "p.star", text), apix=2.0)
    assert optics["rlnImagePixelSize"].tolist() == [2.0]
    assert len(particles) == 1
    assert ctf_values("p.star", optics, particles) is None


labels = st.text(string.ascii_letters, min_size=1, max_size=8).map(lambda s: f"rln{s}")
words = st.text(string.ascii_letters + "/_ @.-#", min_size=1, max_size=12).filter(
    lambda s: s.strip() == s and s.lower() not in ("nan", "inf", "infinity")
)


@st.composite
def tables(draw: st.DrawFn) -> pd.DataFrame:
    rows = draw(st.integers(1, 5))

    def column(values: st.SearchStrategy[object]) -> list[object]:
        return draw(st.lists(values, min_size=rows, max_size=rows))

    data: dict[str, object] = {}
    for label in draw(st.lists(labels, min_size=1, max_size=4, unique=True)):
        kind = draw(st.sampled_from(["int", "float", "float32", "text"]))
        if kind == "int":
            data[label] = np.array(column(st.integers(-(2**53), 2**53)), dtype=np.int64)
        elif kind == "float":
            data[label] = np.array(column(st.floats(allow_nan=False, allow_infinity=False)))
        elif kind == "float32":
            values = column(st.floats(width=32, allow_nan=False, allow_infinity=False))
            data[label] = np.array(values, dtype=np.float32)
        else:
            # A letter in front: text that is all digits is a number for every reader.
            data[f"{label}Name"] = [f"z{word}" for word in column(words)]
    return pd.DataFrame(data)


@given(first=tables(), second=tables())
@settings(max_examples=80, deadline=None)
def test_round_trip(
    tmp_path_factory: pytest.TempPathFactory, first: pd.DataFrame, second: pd.DataFrame
) -> None:
    path = tmp_path_factory.mktemp("star") / "t.star"
    write_tables(path, {"optics": first, "particles": second})
    back = read_tables(path)
    assert list(back) == ["optics", "particles"]
    for sent, got in zip((first, second), back.values(), strict=True):
        assert list(got.columns) == list(sent.columns)
        for label in sent:
            if sent[label].dtype == np.float32:
                assert (got[label].to_numpy().astype(np.float32) == sent[label].to_numpy()).all()
            else:
                assert got[label].tolist() == sent[label].tolist()
    once = path.read_bytes()
    write_tables(path, back)
    assert path.read_bytes() == once or any(t.dtypes.eq(np.float32).any() for t in (first, second))


def test_awkward_text_and_missing_values(tmp_path: Path) -> None:
    path = tmp_path / "t.star"
    table = pd.DataFrame(
        {
            "rlnImageName": ["1@with blank.mrcs", "_under", "data_x", "loop_", "a#b", ""],
            "rlnValue": [1.0, np.nan, 3.0, 4.0, 1e-300, -0.1],
            "rlnFlag": [True, False, True, False, True, True],
        }
    )
    write_tables(path, {"particles": table})
    back = read_tables(path)["particles"]
    assert back["rlnImageName"].tolist() == table["rlnImageName"].tolist()
    np.testing.assert_array_equal(back["rlnValue"], table["rlnValue"])
    assert back["rlnFlag"].tolist() == [1, 0, 1, 0, 1, 1]
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("text", ["tab\there", "line\nend", "nul\0", "a' b\" c"])
def test_unwritable_text_leaves_the_old_file(tmp_path: Path, text: str) -> None:
    path = star(tmp_path / "t.star", "old")
    with pytest.raises(FormatError, match=r"t\.star: not written: rlnImageName in row 2"):
        write_tables(path, {"x": pd.DataFrame({"rlnImageName": ["fine", text]})})
    assert path.read_text() == "old"
    with pytest.raises(FormatError, match=r"t\.star: .*cannot be a column name"):
        write_tables(path, {"x": pd.DataFrame({"two words": [1]})})


def test_written_file_is_relion_31(tmp_path: Path) -> None:
    optics, particles = read_particles(star(tmp_path / "p.star", OPTICS + PARTICLES))
    path = tmp_path / "out.star"
    write_particles(path, optics, particles)
    lines = path.read_text().splitlines()
    assert lines.index("# version 30001") < lines.index("data_optics")
    assert lines.index("data_optics") < lines.index("data_particles")
    blocks = starfile.read(path)  # as pyem and others read it
    assert list(blocks) == ["optics", "particles"]
    assert blocks["particles"]["rlnImageName"].tolist() == particles["rlnImageName"].tolist()
    optics2, particles2 = read_particles(path)
    pd.testing.assert_frame_equal(optics2, optics)
    pd.testing.assert_frame_equal(particles2, particles)
    with pytest.raises(FormatError, match=r"out\.star: column rlnOpticsGroup is missing"):
        write_particles(path, optics, particles.drop(columns="rlnOpticsGroup"))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("_rlnImageName #1", "_rlnName #1", "column rlnImageName is missing from data_particles"),
        ("_rlnOpticsGroup #2", "_rlnG #2", "column rlnOpticsGroup is missing from data_particles"),
        ("_rlnImagePixelSize #6", "_rlnX #6", "column rlnImagePixelSize is missing"),
        ("_rlnDefocusV #4", "_rlnX #4", "incomplete CTF information: column rlnDefocusV"),
        ("_rlnDefocusAngle #5", "_rlnX #5", "incomplete CTF information: column rlnDefocusAngle"),
        ("_rlnVoltage #3", "_rlnX #3", "incomplete CTF information: column rlnVoltage"),
        ("_rlnSphericalAberration #4", "_rlnX #4", "column rlnSphericalAberration"),
        ("_rlnAmplitudeContrast #5", "_rlnX #5", "column rlnAmplitudeContrast"),
        ("000001@b.mrcs 1 12000", "000001@b.mrcs 3 12000", "particle 2: optics group 3 is not"),
        ("000001@b.mrcs 1 12000", "000001@b.mrcs 1 abc", "particle 2: rlnDefocusU is abc"),
        ("000001@b.mrcs 1 12000", "000001@b.mrcs 1 nan", "particle 2: rlnDefocusU is nan"),
        ("2 opticsGroup2", "1 opticsGroup2", "optics group 1 is there twice"),
        ("200 1.4 0.07", "0 1.4 0.07", "particle 1: rlnVoltage must be positive"),
        ("200 1.4 0.07", "200 1.4 7", "particle 1: rlnAmplitudeContrast must be between"),
        ("0.07 1.5 64", "0.07 -1.5 64", "rlnImagePixelSize must be positive"),
        ("0.07 1.5 64", "0.07 x 64", "optics group 2: rlnImagePixelSize is x"),
        ("13000 -40 0008 1.50", "13000", "4 values for 7 columns; the file may be cut off"),
        ("-40 0008 1.50", "-40 0008 1.50 9 9", "9 values for 7 columns; names with blanks need"),
    ],
)
def test_bad_tables(tmp_path: Path, old: str, new: str, message: str) -> None:
    text = OPTICS + PARTICLES
    assert old in text
    path = star(tmp_path / "bad.star", text.replace(old, new))
    with pytest.raises(FormatError, match=message) as caught:
        read_particles(path)
    assert str(path) in str(caught.value)


def test_error_then_repaired_file(tmp_path: Path) -> None:
    path = star(tmp_path / "p.star", (OPTICS + PARTICLES).replace("13000 -40 0008 1.50", "13000"))
    with pytest.raises(FormatError):
        read_particles(path)
    star(path, OPTICS + PARTICLES)
    assert len(read_particles(path)[1]) == 2


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no data_ block"),
        (b"not a star file at all\n", "no data_ block"),
        (bytes(range(256)), "it is not text"),
        (b"data_particles\n\nloop_\n_rlnImageName\n_rlnOpticsGroup\n", "has no rows"),
        (b"data_a\n\nloop_\n_rlnX\n1\n", "no particle table"),
    ],
)
def test_files_that_are_not_particle_tables(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "odd.star"
    path.write_bytes(content)
    with pytest.raises(FormatError, match=rf"odd\.star: .*{message}"):
        read_particles(path)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"none\.star: no such file"):
        read_particles(tmp_path / "none.star")


def test_image_names() -> None:
    indices, stacks = split_image_names("p.star", ["000012@a/b.mrcs", "1@x@y.mrcs", "one.mrc"])
    assert indices.tolist() == [11, 0, 0]
    assert stacks == ["a/b.mrcs", "x@y.mrcs", "one.mrc"]


@pytest.mark.parametrize("name", ["0@a.mrcs", "x@a.mrcs", "-1@a.mrcs", "3@", "@a.mrcs", "1.5@a"])
def test_bad_image_names(name: str) -> None:
    with pytest.raises(FormatError, match=r"p\.star: particle 2: .* is not an image name"):
        split_image_names("p.star", ["1@a.mrcs", name])


def test_resolution_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project, elsewhere, data = tmp_path / "project", tmp_path / "cwd", tmp_path / "data"
    star_path = project / "Class3D" / "job1" / "run_data.star"
    places = [
        data / "Extract/a.mrcs",
        data / "a.mrcs",
        elsewhere / "Extract/a.mrcs",
        star_path.parent / "Extract/a.mrcs",
        project / "Extract/a.mrcs",
    ]
    for place in places:
        place.parent.mkdir(parents=True, exist_ok=True)
        place.touch()
    monkeypatch.chdir(elsewhere)
    for place in places:
        found = resolve_stack("Extract/a.mrcs", star_path, datadir=data)
        assert found.resolve() == place.resolve()
        place.unlink()
    with pytest.raises(FormatError) as caught:
        resolve_stack("Extract/a.mrcs", star_path, datadir=data)
    message = str(caught.value)
    for place in (star_path, places[0], places[1], "Extract/a.mrcs", places[3], places[4]):
        assert str(place) in message
    assert "--datadir" in message
    absolute = data / "b.mrcs"
    absolute.touch()
    assert resolve_stack(str(absolute), star_path) == absolute


def test_relion_30_becomes_what_relion_makes_of_it(golden_dir: Path) -> None:
    relion = golden_dir / "files/relion"
    optics, particles = read_particles(relion / "particles_30.star")
    optics31, particles31 = read_particles(relion / "particles_31.star")
    assert set(particles.columns) == set(particles31.columns)
    pd.testing.assert_frame_equal(
        particles[particles31.columns], particles31, check_dtype=False, rtol=1e-6
    )
    assert set(optics31.columns) - set(optics.columns) == {"rlnImageSize"}
    pd.testing.assert_frame_equal(
        optics[[c for c in optics31 if c != "rlnImageSize"]],
        optics31.drop(columns="rlnImageSize"),
        check_dtype=False,
    )


def test_relion_30_without_pixel_size(tmp_path: Path) -> None:
    text = "data_\n\nloop_\n_rlnImageName\n_rlnOriginX\n1@a.mrcs 2\n2@a.mrcs -1\n"
    path = star(tmp_path / "old.star", text)
    with pytest.raises(FormatError, match=r"old\.star: .*rlnDetectorPixelSize.*--apix"):
        read_particles(path)
    half = text.replace("_rlnOriginX", "_rlnDetectorPixelSize")
    with pytest.raises(FormatError, match=r"half\.star: .*no column rlnMagnification.*--apix"):
        read_particles(star(tmp_path / "half.star", half))
    optics, particles = read_particles(path, apix=1.5)
    assert optics["rlnImagePixelSize"].tolist() == [1.5]
    assert particles["rlnOriginXAngst"].tolist() == [3.0, -1.5]
    assert "rlnOriginX" not in particles


def test_relion_30_with_two_voltages(tmp_path: Path) -> None:
    text = (
        "data_images\n\nloop_\n_rlnImageName\n_rlnVoltage\n_rlnPixelSize\n"
        "1@a.mrcs 300 1.2\n2@a.mrcs 200 1.2\n3@a.mrcs 300 1.2\n"
    )
    optics, particles = read_particles(star(tmp_path / "old.star", text))
    assert optics["rlnVoltage"].tolist() == [300, 200]
    assert particles["rlnOpticsGroup"].tolist() == [1, 2, 1]


def test_golden_tables(golden: Any, golden_dir: Path) -> None:
    entries = golden.select(lambda e: e["kind"] == "file.header" and e["module"] == "star")
    assert len(entries) >= 3
    for entry in entries:
        found = read_tables(golden_dir / entry["inputs"][0])
        expected = entry["value"]["header"]
        assert list(found) == expected["blocks"]
        for name, rows in (("optics", expected["optics"]), ("particles", expected["particles"])):
            if rows is None:
                continue
            table = found.get(name, found.get(""))
            assert table is not None
            assert table.to_dict("records") == rows


@pytest.mark.parametrize("block", ["optics", "particles"])
def test_real_tables_round_trip(shared_dir: Path, tmp_path: Path, block: str) -> None:
    paths = sorted((shared_dir / "data/star").glob("*.star"))
    assert len(paths) == 4
    for path in paths:
        tables = read_tables(path)
        write_tables(tmp_path / "t.star", tables)
        pd.testing.assert_frame_equal(read_tables(tmp_path / "t.star")[block], tables[block])
        with pytest.raises(FormatError, match=rf"{path.name}.*rlnImageName"):
            read_particles(path)


@pytest.mark.parametrize("contrast", [-1.0, 1.0])
def test_all_of_the_contrast_may_be_amplitude(tmp_path: Path, contrast: float) -> None:
    path = star(tmp_path / "p.star", (OPTICS + PARTICLES).replace("0.07", str(contrast)))
    optics, _ = read_particles(path)
    assert optics["rlnAmplitudeContrast"].tolist() == [0.1, contrast]
