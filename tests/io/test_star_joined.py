"""STAR files behind one another in one file: every row is read, or the file is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from mapsort.errors import FormatError
from mapsort.io.star import read_noted_particles, read_particles
from mapsort.io.star_tables import read_tables

OPTICS_HEAD = (
    "data_optics\n\nloop_\n_rlnOpticsGroup #1\n_rlnOpticsGroupName #2\n_rlnVoltage #3\n"
    "_rlnImagePixelSize #4\n_rlnImageSize #5\n"
)
ROWS_HEAD = "\ndata_particles\n\nloop_\n_rlnImageName #1\n_rlnOpticsGroup #2\n"


def star(first: int, n: int, *optics: str, group: int = 1) -> str:
    rows = "".join(f"{number:06d}@a.mrcs {group}\n" for number in range(first, first + n))
    return OPTICS_HEAD + "".join(f"{row}\n" for row in optics) + ROWS_HEAD + rows + "\n"


def old(first: int, n: int) -> str:
    head = "data_\n\nloop_\n_rlnImageName #1\n_rlnPixelSize #2\n"
    return head + "".join(f"{number:06d}@a.mrcs 2.0\n" for number in range(first, first + n))


@pytest.mark.parametrize("end", ["", "\r"])
def test_equal_groups(tmp_path: Path, end: str) -> None:
    path = tmp_path / "all.star"
    # The same group, one written with more digits.
    text = star(1, 120, "1 g1 300 4.0 32") + star(121, 80, "1 g1 300.00 4.000 32")
    path.write_bytes(text.replace("\n", f"{end}\n").encode())
    optics, particles, notes = read_noted_particles(path)
    names = [f"{number:06d}@a.mrcs" for number in range(1, 201)]
    assert particles["rlnImageName"].tolist() == names
    assert optics["rlnOpticsGroup"].tolist() == [1]
    assert notes == [f"{path}: data_particles is there twice (120 + 80 rows): all are read"]


def test_other_groups_of_the_same_number(tmp_path: Path) -> None:
    path = tmp_path / "all.star"
    parts = [
        star(1, 3, "1 g1 300 4.0 32", "2 g2 300 4.0 32", group=2),
        star(4, 2, "1 g1 200 4.0 32", "3 g3 300 4.0 32"),
        star(6, 1, "1 g1 300 4.0 32"),
    ]
    path.write_text("".join(parts))
    optics, particles, notes = read_noted_particles(path)
    assert optics["rlnOpticsGroup"].tolist() == [1, 2, 4, 3]
    assert optics["rlnVoltage"].tolist() == [300, 300, 200, 300]
    assert optics["rlnOpticsGroupName"].tolist() == ["g1", "g2", "opticsGroup4", "g3"]
    assert particles["rlnOpticsGroup"].tolist() == [2, 2, 2, 4, 4, 1]
    assert notes == [
        f"{path}: data_particles is there 3 times (3 + 2 + 1 rows): all are read",
        f"{path}: optics group 1 of a later data_optics differs from the first one of that number: "
        "it is group 4 now",
    ]


def test_one_optics_table_for_both(tmp_path: Path) -> None:
    path = tmp_path / "all.star"
    second = star(3, 2, "1 g1 300 4.0 32").partition("\n\ndata_particles")[2]
    path.write_text(star(1, 2, "1 g1 300 4.0 32") + "data_particles" + second)
    optics, particles = read_particles(path)
    assert (len(optics), particles["rlnOpticsGroup"].tolist()) == (1, [1, 1, 1, 1])


def test_tables_of_relion_30(tmp_path: Path) -> None:
    path = tmp_path / "all.star"
    path.write_text(old(1, 12) + "\n" + old(13, 8).replace("2.0", "3.0"))
    optics, particles, notes = read_noted_particles(path)
    assert len(particles) == 20
    assert optics["rlnImagePixelSize"].tolist() == [2.0, 3.0]
    assert particles["rlnOpticsGroup"].tolist() == [1] * 12 + [2] * 8
    assert notes == [f"{path}: data_ is there twice (12 + 8 rows): all are read"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            old(1, 12) + old(13, 8).replace("_rlnPixelSize", "_rlnX"),
            r"data_ is there twice \(12 \+ 8 rows\) with different columns: rlnPixelSize",
        ),
        (
            star(1, 3, "1 a 300 4 32") + star(1, 2, "1 a 300 4 32").replace("_rlnVolt", "_rlnV"),
            r"data_optics is there twice \(1 \+ 1 rows\) with different columns",
        ),
        (
            star(1, 3, "1 a 300 4 32") + old(1, 2),
            r"2 particle tables \(data_optics 1 rows, data_particles 3 rows, data_ 2 rows\)",
        ),
        (
            old(1, 2) + "\ndata_x\n_rlnA 1\n\ndata_x\n_rlnA 2\n",
            r"data_x is there twice \(1 \+ 1 rows\); give each a file of its own",
        ),
    ],
)
def test_what_cannot_be_joined(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "all.star"
    path.write_text(text)
    with pytest.raises(FormatError, match=told):
        read_particles(path)


def test_an_empty_block_is_none(tmp_path: Path) -> None:
    path = tmp_path / "p.star"
    path.write_text("data_\n\n# nothing\n\n" + star(1, 2, "1 a 300 4 32") + "\ndata_\n")
    assert list(read_tables(path)) == ["optics", "particles"]
    assert len(read_particles(path)[1]) == 2
