"""STAR files as users and other programs write them: quotes, blanks, odd bytes and line ends."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from mapsort.errors import FormatError
from mapsort.io.star_loops import read_plain_loops
from mapsort.io.star_tables import read_noted_tables, read_tables, write_tables

HEAD = "data_particles\n\nloop_\n_rlnImageName #1\n_rlnMicrographName #2\n_rlnA #3\n"
NAMES = [
    "000001@O'Neil/a.mrcs",
    '000002@5" grid/a.mrcs',
    "it's",
    "'leading",
    '"leading',
    "ends'",
    "both' and\"x here",
    "#number",
    "a#b c",
    "Müller/日本.mrcs",
    "no\u00a0break",
    "O' Neil's",
]


def test_names_come_back_as_they_were(tmp_path: Path) -> None:
    path = tmp_path / "t.star"
    table = pd.DataFrame({"rlnImageName": NAMES, "rlnA": range(len(NAMES))})
    for name in NAMES:  # one at a time, since one quoted name sends all to the general reader
        write_tables(path, {"particles": table[table["rlnImageName"] == name]})
        assert read_tables(path)["particles"]["rlnImageName"].tolist() == [name]
    write_tables(path, {"particles": table})
    back = read_tables(path)["particles"]
    assert back["rlnImageName"].tolist() == NAMES
    assert back["rlnA"].tolist() == list(range(len(NAMES)))


def test_quotes_within_words_are_written_plainly_and_read_fast(tmp_path: Path) -> None:
    path = tmp_path / "t.star"
    write_tables(path, {"": pd.DataFrame({"rlnImageName": ["1@O'Neil/a'.mrcs", '1@5".mrcs']})})
    assert "\n1@O'Neil/a'.mrcs\n1@5\".mrcs\n" in path.read_text()
    fast = read_plain_loops(path.read_bytes(), lambda _: True)
    assert fast is not None
    assert fast[""]["rlnImageName"].tolist() == ["1@O'Neil/a'.mrcs", '1@5".mrcs']


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("1@a O'Neil 3", ["1@a", "O'Neil", "3"]),
        ("1@a 'O'Neil x' 3", ["1@a", "O'Neil x", "3"]),
        ("1@a\t\"a 'b' c\"  3 # comment", ["1@a", "a 'b' c", "3"]),
        ("1@a#2 '' 3", ["1@a#2", "", "3"]),
    ],
)
def test_words_as_relion_takes_them(tmp_path: Path, row: str, words: list[str]) -> None:
    path = tmp_path / "t.star"
    path.write_text(f"{HEAD}{row}\n'x' y z\n")
    assert read_tables(path)["particles"].iloc[0].tolist() == words


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ("1@a m 1\n2@a my first mic 2\n", "line 8: 5 values for 3 columns; names with blanks need"),
        ("1@a m 1\n\n# c\n2@a m\n", "line 10: 2 values for 3 columns; the file may be cut off"),
        ("1@a 'my mic 1\n", "line 7: the quote ' is not closed"),
        ("1@a m 1\n\nloop_\n_rlnB\n1\n", "line 9: a second table in data_particles"),
    ],
)
def test_lines_that_are_wrong(tmp_path: Path, rows: str, told: str) -> None:
    path = tmp_path / "t.star"
    path.write_text(HEAD + rows)
    with pytest.raises(FormatError) as caught:
        read_tables(path)
    assert told in str(caught.value)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_line_of_the_first_byte_that_is_no_text(tmp_path: Path, end: str) -> None:
    path = tmp_path / "t.star"
    text = HEAD + "1@a m 1\n2@a Aufnahme_für_mich 2\n"
    path.write_bytes(text.replace("\n", end).encode("latin-1"))
    with pytest.raises(FormatError, match=r"t\.star: line 8: it is not text in UTF-8: byte 0xFC"):
        read_tables(path)
    path.write_bytes(text.replace("\n", end).encode("utf-8-sig"))
    assert read_tables(path)["particles"]["rlnA"].tolist() == [1, 2]


@pytest.mark.parametrize(("end", "notes"), [("\n", 0), ("\r\n", 0), ("\r", 1)])
def test_line_ends_of_all_systems(tmp_path: Path, end: str, notes: int) -> None:
    path = tmp_path / "t.star"
    path.write_bytes(
        (HEAD + "1@a m 1\n2@a 'm n' 2\n\ndata_x\n\n_rlnB 5\n").replace("\n", end).encode()
    )
    tables, told = read_noted_tables(path)
    assert tables["particles"]["rlnMicrographName"].tolist() == ["m", "m n"]
    assert tables["x"]["rlnB"].tolist() == [5]
    assert len(told) == notes
    assert all("line ends" in note for note in told)


@pytest.mark.parametrize("text", ["a\tb", "a\nb", "a\rb", "a\0b", "a\u2028b", "a' b\" c"])
def test_what_cannot_be_written(tmp_path: Path, text: str) -> None:
    with pytest.raises(FormatError, match=r"not written: rlnName in row 1"):
        write_tables(tmp_path / "t.star", {"": pd.DataFrame({"rlnName": [text]})})
