from __future__ import annotations

from pathlib import Path
from unittest import mock

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mapsort.errors import FormatError
from mapsort.io import star_tables
from mapsort.io.star_loops import read_plain_loops
from mapsort.io.star_tables import read_tables

cells = st.one_of(
    st.integers(-(10**6), 10**6).map(str),
    st.floats(allow_nan=False).map(repr),
    st.sampled_from(["0012", "1e5", "nan", "inf", "True", "1_0", "0x1", "+5", "-", "007.5"]),
    st.text("abc#/@.01-", min_size=1, max_size=6),
)
labels = st.lists(
    st.sampled_from(["rlnA", "rlnB", "rlnImageName", "rlnMicrographName", "own"]),
    min_size=1,
    max_size=4,
    unique=True,
)


@st.composite
def files(draw: st.DrawFn) -> str:
    text = draw(st.sampled_from(["", "# version 30001\n\n"]))
    for name in draw(st.lists(st.sampled_from(["optics", "particles", ""]), unique=True)):
        columns = draw(labels)
        text += f"data_{name}\n\nloop_\n"
        text += "".join(f"_{label} #{k}\n" for k, label in enumerate(columns, start=1))
        for _ in range(draw(st.integers(0, 4))):
            width = draw(st.sampled_from([len(columns)] * 9 + [len(columns) + 1, 1]))
            row = [draw(cells) for _ in range(width)]
            text += draw(st.sampled_from(["", " "])) + "  ".join(row) + " \n"
        text += draw(st.sampled_from(["\n", "\n# comment\n", " \n\n"]))
    return text


@given(files())
@settings(max_examples=100, deadline=None)
def test_fast_reader_agrees_with_the_general_one(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    """Where the fast reader answers at all, its answer is that of the general one."""
    fast = read_plain_loops(text.encode(), star_tables._TEXT_LABEL.search)
    if fast is None:
        return
    path = tmp_path_factory.getbasetemp() / "loops.star"
    path.write_text(text)
    with mock.patch.object(star_tables, "read_plain_loops", return_value=None):
        try:
            general = read_tables(path)
        except FormatError:
            pytest.fail(f"the general reader refuses what the fast one reads: {text!r}")
    assert list(fast) == list(general)
    for name, table in fast.items():
        # In columns of text "nan" stays a word here; the general reader takes it for missing.
        told = [frame.astype(object).replace("nan", np.nan) for frame in (table, general[name])]
        pd.testing.assert_frame_equal(*told, check_dtype=False, check_exact=True)


def test_plain_files_take_the_fast_way(tmp_path: Path) -> None:
    path = tmp_path / "a.star"
    path.write_text(
        "data_particles\n\nloop_\n_rlnImageName #1\n_rlnA #2\n1@a.mrcs 1.5\n2@a.mrcs 2\n\n"
    )
    with mock.patch.object(star_tables, "read_blocks", side_effect=AssertionError):
        table = read_tables(path)["particles"]
    assert table["rlnA"].tolist() == [1.5, 2.0]
    assert table["rlnImageName"].tolist() == ["1@a.mrcs", "2@a.mrcs"]


def test_parts_of_a_long_table_are_joined(tmp_path: Path) -> None:
    from mapsort.io import star_loops

    rows = "".join(f"{k}@a.mrcs {k} {'x' if k == 7 else k}\n" for k in range(1, 10))
    text = f"data_\n\nloop_\n_rlnImageName\n_rlnA\n_rlnB\n{rows}"
    path = tmp_path / "a.star"
    path.write_text(text)
    with mock.patch.object(star_loops, "_ROWS_AT_ONCE", 4):
        table = read_tables(path)[""]
    assert table["rlnA"].tolist() == list(range(1, 10))
    assert table["rlnB"].tolist() == ["1", "2", "3", "4", "5", "6", "x", "8", "9"]


@pytest.mark.parametrize("head", ["loop_\n", "_rlnA 1\n", "", "loop_\n_rlnA\n_rlnA\n1 2\n"])
def test_what_is_left_to_the_general_reader(head: str) -> None:
    assert read_plain_loops(f"data_x\n\n{head}".encode(), lambda _: None) is None


@pytest.mark.parametrize(
    "text",
    [
        "data_a\n\nloop_\n_rlnA\n1\n2\n\ndata_b\n\nloop_\n_rlnB\n3\n",
        "# c\n\ndata_a\nloop_\n_rlnA #1\n1\n2\ndata_b\n# c\nloop_\n_rlnB #1\n3",
        "data_a\n\nloop_\n\n_rlnA\n# c\n1\n  # c\n\n2\n\n  \ndata_b\n\nloop_\n_rlnB\n3\n\n\n",
        " data_a\n loop_\n _rlnA\n 1\n 2\ndata_b\n\tloop_\n\t_rlnB\n\t3\n",
    ],
)
def test_plain_loops(text: str) -> None:
    tables = read_plain_loops(text.encode(), lambda _: None)
    assert tables is not None
    assert {name: table.to_dict("list") for name, table in tables.items()} == {
        "a": {"rlnA": [1, 2]},
        "b": {"rlnB": [3]},
    }


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n# c\n",
        "loop_\n_rlnA\n1\n",
        "data_a\n_rlnA 1\n",
        "data_a\n\nloop_\n1\n",
        "data_a\n\nloop_\n_rlnA\n",
        "data_a\n\nloop_\n_rlnA\n\n  \n",
        "data_a\n\nloop_\n_rlnA\n1\n\ndata_a\n\nloop_\n_rlnA\n1\n",
        "data_a\n\nloop_\n_rlnA\n1\n\nloop_\n_rlnB\n1\n",
        "data_a\n\nloop_\n_rlnA\n1\n_rlnB\n",
        "data_a\n\nloop_\n_rlnA\n1\n data_b\n",
        "data_a\n\nloop_\n_rlnA\n1\nsave_x\n",
        "data_a\n\nloop_\n_rlnA\n1 # c\n",
        "data_a\n\nloop_\n_rlnA\na#b\n",
        "data_a\n\nloop_\n_rlnA\n_rlnB\n1 2\n3\n",
        "data_a\n\nloop_\n_rlnA\n_rlnB\n1 a\n3\n",
        "data_a\n\nloop_\n_rlnA\n1\n2 3\n",
        "data_a\n\nloop_\n_rlnA\n1 2\n",
        "data_a\n\nloop_\n_rlnA\n0012\n",
        "data_a\n\nloop_\n_rlnA\n-00.5\n",
        "data_a\n\nloop_\n_rlnA\nTrue\n",
        "data_a\n\nloop_\n_rlnA\nTrue\nFalse\n",
        "data_a\n\nloop_\n_rlnA\n'1'\n",
        'data_a\n\nloop_\n_rlnA\n"1"\n',
        "data_a\r\n\nloop_\n_rlnA\n1\n",
        "data_a\n\nloop_\n_rlnA\nx\n;\n",
        "data_a\n\nloop_\n_rlnA\nµ\n",
        "data_a\n\nloop_\n_rln\x01A\n1\n",
        "data_a\n\nloop_\n_\n1\n",
        f"data_a\n\nloop_\n_{'x' * 5000}\n1\n",
        f"data_a\n\nloop_\n_rlnA\n{'#' * 5000}",
    ],
)
def test_what_is_not_plain_is_left_to_the_general_reader(text: str) -> None:
    assert read_plain_loops(text.encode(), lambda _: None) is None


def test_words_of_columns() -> None:
    """Numbers and missing values are numbers; one word makes all of a column text."""
    text = (
        "data_\nloop_\n_i\n_f\n_nan\n_word\n_mixed\n_zero\n_text\n"
        "1 1.5 nan a 1 0 7\n-2 1e-300 NA b x 0.5 8\n9007199254740993 2 3 c 2.50 -0 nan\n"
    )
    tables = read_plain_loops(text.encode(), lambda label: label == "text")
    assert tables is not None
    table = tables[""]
    assert table["i"].tolist() == [1, -2, 9007199254740993]
    assert table["f"].tolist() == [1.5, 1e-300, 2.0]
    assert np.isnan(table["nan"][:2]).all()
    assert table["nan"].tolist()[2] == 3
    assert table["word"].tolist() == ["a", "b", "c"]
    assert table["mixed"].tolist() == ["1", "x", "2.50"]
    assert table["zero"].tolist() == [0, 0.5, 0]
    assert table["text"].tolist() == ["7", "8", "nan"]


def test_numbers_are_read_to_the_last_digit() -> None:
    numbers = np.random.default_rng(0).normal(size=500) * 10.0 ** np.arange(-250, 250)
    rows = "\n".join(map(repr, numbers.tolist()))
    tables = read_plain_loops(f"data_\nloop_\n_a\n{rows}\n".encode(), lambda _: None)
    assert tables is not None
    assert tables[""]["a"].tolist() == numbers.tolist()


@pytest.mark.parametrize("bad", ["x", "1.5"])
def test_parts_that_differ_in_kind_are_not_joined(bad: str) -> None:
    """Words in a later part: those of the first would have become other numbers than text."""
    from mapsort.io import star_loops

    rows = "".join(f"{bad if k == 7 else k}\n" for k in range(1, 10))
    with mock.patch.object(star_loops, "_ROWS_AT_ONCE", 4):
        tables = read_plain_loops(f"data_\nloop_\n_a\n{rows}".encode(), lambda _: None)
    if bad == "x":
        assert tables is None
    else:
        assert tables is not None
        assert tables[""]["a"].tolist() == [1, 2, 3, 4, 5, 6, 1.5, 8, 9]


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_rows_are_read_as_from_a_file(size: int) -> None:
    from mapsort.io.star_loops import _Rows

    content = bytes(range(200))
    rows = _Rows(memoryview(content))
    assert rows.readable()
    assert b"".join(iter(lambda: rows.read(size), b"")) == content
