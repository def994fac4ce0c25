"""EMAN2 lists: records of one length in bytes, whatever the names."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mapsort.errors import FormatError
from mapsort.io.lst_writer import write_list

NAMES = st.text(st.characters(exclude_characters="\t\n\r", exclude_categories=["Cs", "Cc", "Z"]))


@given(st.lists(st.tuples(st.integers(0, 10**7), NAMES.filter(bool)), max_size=20))
def test_record_i_is_found_by_its_place_alone(tmp_path_factory, records):
    path = tmp_path_factory.mktemp("lst") / "a.lst"
    write_list(path, [index for index, _ in records], [name for _, name in records])
    content = path.read_bytes()
    first, comment, size = content.split(b"\n", 3)[:3]
    assert first == b"#LSX"
    assert comment.startswith(b"#")
    length = int(size[1:])
    start = len(first) + len(comment) + len(size) + 3
    assert len(content) == start + length * len(records)
    for number, (index, name) in enumerate(records):
        record = content[start + number * length : start + (number + 1) * length]
        assert record.endswith(b"\n")
        found, _, where = record[:-1].decode().partition("\t")
        assert (int(found), where.rstrip(" ")) == (index, name)


def test_the_form_of_the_original(tmp_path):
    write_list(tmp_path / "a.lst", [12, 3], ["particles/mic0001.hdf", "p.hdf"])
    lines = (tmp_path / "a.lst").read_text().splitlines()
    assert lines[2:] == ["# 25", "12\tparticles/mic0001.hdf", "3\tp.hdf" + " " * 17]


def test_names_that_the_format_cannot_keep(tmp_path):
    with pytest.raises(FormatError, match="holds a tab or line end"):
        write_list(tmp_path / "a.lst", [0], ["a\tb.hdf"])
    with pytest.raises(ValueError, match=r"shorter|longer"):
        write_list(tmp_path / "a.lst", [0, 1], ["a"])
