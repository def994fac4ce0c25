"""What is checked in particle tables, at both sides of each limit, and how it is told."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mapsort.errors import FormatError
from mapsort.io import star_tables
from mapsort.io.star import (
    ctf_values,
    read_particles,
    resolve_stack,
    split_image_names,
    write_particles,
)
from mapsort.io.star_tables import read_columns, read_tables, write_tables

OPTICS = pd.DataFrame(
    {
        "rlnOpticsGroup": [1, 2],
        "rlnImagePixelSize": [1.5, 2.0],
        "rlnVoltage": [300.0, 200.0],
        "rlnSphericalAberration": [2.7, 1.4],
        "rlnAmplitudeContrast": [0.1, 0.07],
    }
)
PARTICLES = pd.DataFrame(
    {
        "rlnImageName": ["1@a.mrcs", "2@a.mrcs", "3@a.mrcs"],
        "rlnOpticsGroup": [1, 2, 1],
        "rlnDefocusU": [1.0, 2.0, 3.0],
        "rlnDefocusV": [1.0, 2.0, 3.0],
        "rlnDefocusAngle": [0.0, 0.0, 0.0],
    }
)


def test_parameters_of_every_particle() -> None:
    """Those of the particles' own table win; what may be left out is 0."""
    values = ctf_values("p.star", OPTICS, PARTICLES)
    assert values is not None
    assert {label: column.tolist() for label, column in values.items()} == {
        "rlnDefocusU": [1, 2, 3],
        "rlnDefocusV": [1, 2, 3],
        "rlnDefocusAngle": [0, 0, 0],
        "rlnVoltage": [300, 200, 300],
        "rlnSphericalAberration": [2.7, 1.4, 2.7],
        "rlnAmplitudeContrast": [0.1, 0.07, 0.1],
        "rlnPhaseShift": [0, 0, 0],
        "rlnCtfBfactor": [0, 0, 0],
    }
    own = PARTICLES.assign(rlnVoltage=[1.0, 0.5, 3.0], rlnPhaseShift=[4.0, 5.0, 6.0])
    values = ctf_values("p.star", OPTICS, own)
    assert values is not None
    assert values["rlnVoltage"].tolist() == [1, 0.5, 3]
    assert values["rlnPhaseShift"].tolist() == [4, 5, 6]
    for label in ("rlnDefocusU", "rlnDefocusV", "rlnDefocusAngle"):
        # One of them alone is no CTF, but the wish for one.
        with pytest.raises(FormatError, match="incomplete CTF information: column rlnDefocus"):
            ctf_values("p.star", OPTICS, PARTICLES[["rlnOpticsGroup", label]])
    assert ctf_values("p.star", OPTICS, PARTICLES[["rlnOpticsGroup"]]) is None


@pytest.mark.parametrize(
    ("label", "values", "told"),
    [
        ("rlnVoltage", [300, -1, 300], "particle 2: rlnVoltage must be positive."),
        ("rlnVoltage", [300, 300, 0], "particle 3: rlnVoltage must be positive."),
        (
            "rlnAmplitudeContrast",
            [1.0, -1.0, 1.01],
            "particle 3: rlnAmplitudeContrast must be between -1 and 1 (10 % is 0.1).",
        ),
        (
            "rlnAmplitudeContrast",
            [0.1, -1.01, 1.01],
            "particle 2: rlnAmplitudeContrast must be between -1 and 1 (10 % is 0.1).",
        ),
        ("rlnDefocusV", [1, 2, np.inf], "particle 3: rlnDefocusV is inf, not a usable number."),
        ("rlnPhaseShift", ["x", 2, 3], "particle 1: rlnPhaseShift is x, not a usable number."),
    ],
)
def test_values_that_cannot_be(label: str, values: list[object], told: str) -> None:
    with pytest.raises(FormatError) as caught:
        ctf_values("p.star", OPTICS, PARTICLES.assign(**{label: values}))
    assert str(caught.value) == f"p.star: {told}"


@pytest.mark.parametrize(
    ("optics", "groups", "told"),
    [
        ({}, [1, 2, 7], "particle 3: optics group 7 is not in data_optics."),
        ({"rlnOpticsGroup": [2, 2]}, [2, 2, 2], "optics group 2 is there twice in data_optics."),
        ({"rlnImagePixelSize": [1.5, 0]}, [1, 1, 1], "rlnImagePixelSize must be positive."),
        (
            {"rlnImagePixelSize": [1.5, np.nan]},
            [1, 1, 1],
            "optics group 2: rlnImagePixelSize is nan, not a usable number.",
        ),
    ],
)
def test_optics_that_cannot_be(
    tmp_path: Path, optics: dict[str, object], groups: list[int], told: str
) -> None:
    path = tmp_path / "p.star"
    write_particles(path, OPTICS.assign(**optics), PARTICLES.assign(rlnOpticsGroup=groups))
    with pytest.raises(FormatError) as caught:
        read_particles(path)
    assert str(caught.value) == f"{path}: {told}"


def test_parts_of_a_table_are_checked_as_they_come(tmp_path: Path) -> None:
    path, whole = tmp_path / "p.star", tmp_path / "whole.star"
    write_particles(whole, OPTICS, PARTICLES)
    write_particles(path, OPTICS, (PARTICLES.iloc[k : k + 2] for k in (0, 2)))
    assert path.read_bytes() == whole.read_bytes()
    for label in ("rlnImageName", "rlnOpticsGroup"):
        parts = (PARTICLES.iloc[:1], PARTICLES.iloc[1:].drop(columns=label))
        with pytest.raises(FormatError) as caught:
            write_particles(path, OPTICS, iter(parts))
        assert str(caught.value) == f"{path}: column {label} is missing from data_particles."
        with pytest.raises(FormatError, match=f"column {label} is missing from data_particles"):
            write_particles(path, OPTICS, PARTICLES.drop(columns=label))
    with pytest.raises(FormatError, match="column rlnOpticsGroup is missing from data_optics"):
        write_particles(path, OPTICS.drop(columns="rlnOpticsGroup"), PARTICLES)
    # What was there stays, and nothing besides.
    assert path.read_bytes() == whole.read_bytes()
    assert sorted(tmp_path.iterdir()) == [path, whole]


def test_which_block_holds_the_particles(tmp_path: Path) -> None:
    path = tmp_path / "p.star"
    images, other = pd.DataFrame({"rlnImageName": ["1@a"]}), pd.DataFrame({"rlnX": [1]})
    write_tables(path, {"other": other, "images": images})
    assert read_particles(path, apix=1.0)[1]["rlnImageName"].tolist() == ["1@a"]
    write_tables(path, {"a": images, "b": images, "c": other})
    with pytest.raises(FormatError) as caught:
        read_particles(path, apix=1.0)
    assert str(caught.value) == (
        f"{path}: 2 particle tables (data_a 1 rows, data_b 1 rows, data_c 1 rows); exactly one "
        "block with a column rlnImageName is needed."
    )
    write_tables(path, {"particles": pd.DataFrame({"rlnImageName": ["1@a b", None, None]})})
    with pytest.raises(FormatError, match=r"p\.star: particle 2: rlnImageName is missing\."):
        read_particles(path, apix=1.0)


def test_origins_and_pixel_sizes_of_relion_30(tmp_path: Path) -> None:
    """Detector pixel [micrometre] by magnification; a stated size of pixels goes first."""
    path = tmp_path / "old.star"
    table = pd.DataFrame(
        {
            "rlnImageName": ["1@a", "2@a", "3@a"],
            "rlnOpticsGroup": [9, 9, 9],
            "rlnDetectorPixelSize": [5.0, 5.0, 5.0],
            "rlnMagnification": [50000.0, 30000.0, 50000.0],
            "rlnOriginX": [1.0, 2.0, 3.0],
            "rlnOriginY": [-1.0, 0.0, 1.0],
        }
    )

    def read(made: pd.DataFrame, apix: float | None = None) -> tuple[pd.DataFrame, pd.DataFrame]:
        write_tables(path, {"": made})
        return read_particles(path, apix=apix)

    optics, particles = read(table)
    assert optics["rlnImagePixelSize"].tolist() == [1.0, 1.666666667]
    assert particles["rlnOpticsGroup"].tolist() == [1, 2, 1]
    np.testing.assert_allclose(particles["rlnOriginXAngst"], [1, 2 / 0.6, 3], rtol=1e-8)
    assert particles["rlnOriginYAngst"].tolist() == [-1, 0, 1]
    gone = {"rlnMagnification", "rlnDetectorPixelSize", "rlnOriginX", "rlnOriginY"}
    assert not gone & set(particles)
    assert read(table.assign(rlnPixelSize=4.0))[0]["rlnImagePixelSize"].tolist() == [4.0]
    both = table.assign(rlnPixelSize=4.0, rlnImagePixelSize=2.5)
    optics, particles = read(both)
    assert optics["rlnImagePixelSize"].tolist() == [2.5]
    assert "rlnPixelSize" not in particles
    optics, particles = read(both, apix=2.0)
    assert optics["rlnImagePixelSize"].tolist() == [2.0]
    assert particles["rlnOriginXAngst"].tolist() == [2, 4, 6]
    for bad in (0, -50000):
        with pytest.raises(FormatError, match=r"old\.star: rlnMagnification must be positive\."):
            read(table.assign(rlnMagnification=[50000, 50000, bad]))
    assert read(table.assign(rlnMagnification=1))[0]["rlnImagePixelSize"].tolist() == [50000]
    with pytest.raises(FormatError, match="particle 2: rlnOriginY is x, not a usable number"):
        read(table.assign(rlnOriginY=["1", "x", "2"]))


@pytest.mark.parametrize(
    ("name", "index"),
    [("1@a", 0), ("0001@a", 0), ("12@a", 11), ("a", 0), (f"{10**9}@a", 10**9 - 1)],
)
def test_images_count_from_one(name: str, index: int) -> None:
    indices, stacks = split_image_names("p.star", [name])
    assert (indices.tolist(), stacks) == ([index], ["a"])


@pytest.mark.parametrize("name", ["", "0@a", "²@a", "+1@a", "1@"])
def test_names_that_are_none(name: str) -> None:
    with pytest.raises(FormatError) as caught:
        split_image_names("p.star", ["1@a", "2@a", name])
    assert str(caught.value) == (
        f"p.star: particle 3: {name!r} is not an image name like 000001@stack.mrcs (images count "
        "from 1)."
    )


def test_names_that_no_file_can_have(tmp_path: Path) -> None:
    for name in ("x" * 5000, "nul\0"):
        with pytest.raises(FormatError, match="is not found; looked for"):
            resolve_stack(name, tmp_path / "p.star", datadir=tmp_path)


def test_absolute_names_may_be_meant_within_the_data_directory(tmp_path: Path) -> None:
    inside = tmp_path / "data/old/place/a.mrcs"
    inside.parent.mkdir(parents=True)
    inside.touch()
    star = tmp_path / "p.star"
    assert resolve_stack("/old/place/a.mrcs", star, datadir=tmp_path / "data") == inside
    with pytest.raises(FormatError) as caught:
        resolve_stack("/old/place/a.mrcs", star)
    assert str(caught.value) == (
        f"{star}: the image file /old/place/a.mrcs is not found; looked for /old/place/a.mrcs. "
        "Start in the project's directory or give --datadir."
    )
    # A directory of the name is no file.
    (tmp_path / "b.mrcs").mkdir()
    with pytest.raises(FormatError, match="is not found"):
        resolve_stack("b.mrcs", star, datadir=tmp_path)


def test_text_of_every_kind_of_cell(tmp_path: Path) -> None:
    path = tmp_path / "t.star"
    table = pd.DataFrame(
        {
            "rlnA": np.array([0.1, -2.0, 3.0], np.float32),
            "rlnB": [0.1, 1e22, np.nan],
            "rlnC": [True, False, True],
            "rlnD": pd.array([1, 2, 3], dtype="Int64"),
            "rlnName": ["x", None, "loop_x"],
            "rlnEName": ["a b", "a#b", ""],
        }
    )
    write_tables(path, {"particles": table})
    assert path.read_text() == (
        "\n# version 30001\n\ndata_particles\n\nloop_\n"
        "_rlnA #1\n_rlnB #2\n_rlnC #3\n_rlnD #4\n_rlnName #5\n_rlnEName #6\n"
        '0.1\t0.1\t1\t1\tx\t"a b"\n'
        '-2.0\t1e+22\t0\t2\tnan\t"a#b"\n'
        '3.0\tnan\t1\t3\t"loop_x"\t""\n\n'
    )


def test_long_tables_are_written_some_rows_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = pd.DataFrame({"rlnA": range(7), "rlnName": [*"abcdef", "a\tb"]})
    write_tables(tmp_path / "whole.star", {"p": table[:6]})
    monkeypatch.setattr(star_tables, "_ROWS_AT_ONCE", 3)
    write_tables(tmp_path / "parts.star", {"p": table[:6]})
    assert (tmp_path / "parts.star").read_bytes() == (tmp_path / "whole.star").read_bytes()
    # Rows are numbered through all parts.
    with pytest.raises(FormatError, match=r"not written: rlnName in row 7 holds a tab"):
        write_tables(tmp_path / "parts.star", {"p": table})
    write_tables(tmp_path / "empty.star", {"p": table[:0]})
    assert (tmp_path / "empty.star").read_text().endswith("loop_\n_rlnA #1\n_rlnName #2\n\n\n")


@pytest.mark.parametrize("label", ["two words", "", " a", "#a", "a\tb"])
def test_labels_that_cannot_be(tmp_path: Path, label: str) -> None:
    with pytest.raises(FormatError) as caught:
        write_tables(tmp_path / "t.star", {"p": pd.DataFrame({"a": [1], label: [1]})})
    told = f"not written: {label!r} cannot be a column name."
    assert str(caught.value) == f"{tmp_path / 't.star'}: {told}"


QUOTED = "data_x\n\nloop_\n_rlnA #1\n_rlnName #2\n_rlnC #3\n"


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ("1 'a b' 3\n4 c\n", "line 8: 2 values for 3 columns; the file may be cut off."),
        ("1 'a b' 3\n\n# c\n4 c\n", "line 10: 2 values for 3 columns; the file may be cut off."),
        ("1 'a b' 3\n4 \"c d\"\n", "line 8: 2 values for 3 columns; the file may be cut off."),
    ],
)
def test_rows_that_are_cut_off(tmp_path: Path, rows: str, told: str) -> None:
    """Of files that only the general reader understands: there is a quote."""
    path = tmp_path / "t.star"
    path.write_text("data_y\n_rlnB 1\n" + QUOTED + rows)
    with pytest.raises(FormatError) as caught:
        read_tables(path)
    number = int(told.split()[1].rstrip(":")) + 2
    assert str(caught.value) == f"{path}: line {number}{told[told.index(':') :]}"


def test_missing_values_are_no_cut_off_rows(tmp_path: Path) -> None:
    path = tmp_path / "t.star"
    path.write_text(QUOTED + "1 'a b' nan\n2 _c \"\"\n3 data 5\n\ndata_y\n\n_rlnB 'x y'\n")
    tables = read_tables(path)
    assert tables["x"]["rlnA"].tolist() == [1, 2, 3]
    assert tables["x"]["rlnName"].tolist() == ["a b", "_c", "data"]
    assert tables["y"]["rlnB"].tolist() == ["x y"]


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["1", "2"], [1, 2]),
        (["1.5", "-2"], [1.5, -2.0]),
        (["0012", "0013"], ["0012", "0013"]),
        (["-01", "2"], ["-01", "2"]),
        (["00.5", "1.5"], [0.5, 1.5]),  # a number that is padded with noughts
        (["00.5", "15"], ["00.5", "15"]),
        (["0", "10"], [0, 10]),
        (["1", "x"], ["1", "x"]),
        (["1e400", "1"], [np.inf, 1.0]),
    ],
)
def test_which_columns_are_numbers(
    tmp_path: Path, cells: list[str], expected: list[object]
) -> None:
    path = tmp_path / "t.star"
    rows = "".join(f"'a b' {cell}\n" for cell in cells)
    path.write_text(f"data_\n\nloop_\n_rlnName #1\n_own #2\n{rows}")
    assert read_tables(path)[""]["own"].tolist() == expected


@pytest.mark.parametrize("label", ["rlnMicrographName", "rlnMtfFile", "rlnComment", "myLabel"])
def test_names_are_text_whatever_they_look_like(tmp_path: Path, label: str) -> None:
    path = tmp_path / "t.star"
    for quote in ("", "'"):
        path.write_text(f"data_\n\nloop_\n_{label} #1\n_{label}X #2\n{quote}12{quote} 12\n")
        (table,) = read_tables(path).values()
        assert (table[label].tolist(), table[f"{label}X"].tolist()) == (["12"], [12])


def test_the_same_column_twice(tmp_path: Path) -> None:
    path = tmp_path / "t.star"
    path.write_text("data_x\n\nloop_\n_rlnA #1\n_rlnA #2\n1 2\n")
    with pytest.raises(FormatError, match=r"t\.star: line 5: column rlnA is twice in data_x"):
        read_tables(path)


def test_a_file_that_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"cannot be read: Is a directory\."):
        read_tables(tmp_path)


def test_columns_of_the_block_that_is_meant(tmp_path: Path) -> None:
    """Comments and blank lines anywhere; the block must be the last, as in files of a run."""
    path = tmp_path / "t.star"
    path.write_text(
        "# c\ndata_a\n\nloop_\n_x #1\n_y #2\n1 2\n\n"
        "data_b # c\n\nloop_ #\n_y #1\n\n_x #2\n# c\n\n3 4\n5 6 # c\n\n"
    )
    table = read_columns(path, "b", ["x", "y"])
    assert table.columns.tolist() == ["y", "x"]
    assert table.to_numpy().tolist() == [[3, 4], [5, 6]]
    assert read_columns(path, "b", ["x"])["x"].tolist() == [4, 6]
    for block in ("c", "", "data_b", "ab"):
        with pytest.raises(FormatError, match=f"no loop data_{block} with rows"):
            read_columns(path, block, ["x"])
