from __future__ import annotations

import string
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mapsort.errors import FormatError
from mapsort.io.eman_ctf import EmanCtf
from mapsort.io.hdf_header import EmanTransform
from mapsort.io.lst import read_list, write_list

scalars = st.one_of(
    st.integers(-(2**31), 2**31 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=8),
    st.booleans(),
)
keys = st.text(string.ascii_letters + "._", min_size=1, max_size=8).filter(lambda k: k != "ctf")
names = st.text(string.ascii_letters + "/._-é", min_size=1, max_size=20).filter(
    lambda n: not n.startswith("bdb:")
)


@given(
    st.lists(st.tuples(st.integers(0, 10**9), names, st.dictionaries(keys, scalars)), min_size=1)
)
@settings(max_examples=60, deadline=None)
def test_round_trip(
    tmp_path_factory: pytest.TempPathFactory, records: list[tuple[int, str, dict[str, Any]]]
) -> None:
    path = tmp_path_factory.mktemp("lst") / "a.lst"
    indices, files, extras = (list(column) for column in zip(*records, strict=True))
    write_list(path, indices, files, extras)
    back = read_list(path)
    assert (back.indices.tolist(), back.names, back.extras) == (indices, files, extras)
    # EMAN2 finds record i at a multiple of the announced length.
    head, _, length = path.read_bytes().split(b"\n")[:3]
    assert head == b"#LSX"
    body = path.read_bytes().split(b"\n", 3)[3]
    assert len(body) == len(records) * int(length[1:])


def test_typed_items(tmp_path: Path) -> None:
    ctf = EmanCtf(defocus_um=1.25, ampcont_percent=10, voltage_kv=200, cs_mm=1.4, apix=3)
    pose = EmanTransform(np.random.default_rng(0).normal(size=(3, 4)))
    extra = {"ctf": ctf, "xform.projection": pose, "n": np.int64(3)}
    write_list(tmp_path / "a.lst", [4], ["a.hdf"], [extra])
    (back,) = read_list(tmp_path / "a.lst").extras
    assert back == {"ctf": ctf, "xform.projection": pose, "n": 3}
    text = tmp_path / "b.lst"
    text.write_text(f'#LST\n4\ta.hdf\t{{"ctf":"{ctf.text()}"}}\n')
    assert read_list(text).extras == [{"ctf": ctf}]


def test_lists_of_eman2(shared_dir: Path) -> None:
    files = shared_dir / "golden/files"
    plain, long, with_json = (
        read_list(files / name) for name in ("list.lst", "list.lsx", "list_json.lsx")
    )
    assert plain.names == ["stack5.hdf", "stack5.hdf", "stack5.mrcs"]
    assert plain.indices.tolist() == [3, 0, 1]
    assert long.indices.tolist() == [4, 2, 0]
    assert long.extras == [{}, {}, {}]  # a comment is no item
    first, second = with_json.extras
    assert (first["class"], first["score"], second) == (3, -0.8, {"score": 0.25})
    np.testing.assert_allclose(first["xform.projection"].matrix[:, 3], [1, 2, 0])


def test_old_form(tmp_path: Path) -> None:
    path = tmp_path / "old.lst"
    path.write_text("#LST\n12\tparticles/a.hdf\n3 b.hdf\n0\tc.hdf\ta comment\n\n")
    listed = read_list(path)
    assert listed.indices.tolist() == [12, 3, 0]
    assert listed.names == ["particles/a.hdf", "b.hdf", "c.hdf"]
    assert listed.extras == [{}, {}, {}]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "does not begin with #LST or #LSX"),
        ("1\ta.hdf\n", "does not begin with"),
        ("#LST\n", "holds no image"),
        ("#LSX\n# c\n", "line 3: the length"),
        ("#LSX\n# c", "line 3: the length"),
        ("#LSX\n# c\n# 0\n", "line 3: the length"),
        (f"#LSX\n# c\n# {1 << 31}\n", "line 3: the length"),
        ("#LSX\n# c\n# x\n1\ta.hdf\n", "line 3: the length"),
        ("#LSX\n# c\n# 20\n1\ta.hdf            \n2\ta.h", "line 5: the file is cut off"),
        ("#LST\n-1\ta.hdf\n", "line 2: expected the number of an image"),
        ("#LST\n1\n", "line 2: expected the number"),
        ("#LST\n1\ta.hdf\t{x}\n", "line 2: unreadable third column"),
        ('#LST\n1\ta.hdf\t{"ctf":"O1"}\n', "line 2: unreadable third column: 'O1' is not"),
        ('#LST\n1\ta.hdf\t{"p":{"__class__":"Transform","matrix":"[1,2]"}}\n', "12 numbers"),
        ("#LST\n1\tbdb:particles#a\n", r"line 2: bdb:particles#a is an EMAN2 bdb.*e2proc2d\.py"),
    ],
)
def test_bad_lists(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "bad.lst"
    path.write_text(text)
    with pytest.raises(FormatError, match=message) as caught:
        read_list(path)
    assert str(path) in str(caught.value)


def test_only_the_last_line_end_may_be_missing(tmp_path: Path) -> None:
    """Twenty bytes a record, the line end among them."""
    path = tmp_path / "a.lst"
    record = "1\ta.hdf".ljust(19)
    path.write_text(f"#LSX\n# c\n# 20\n{record}\n{record}")
    assert read_list(path).names == ["a.hdf", "a.hdf"]
    path.write_text(f"#LSX\n# c\n# 20\n{record}\n{record[:-1]}")
    with pytest.raises(FormatError, match="line 5: the file is cut off"):
        read_list(path)


def test_not_text_and_not_writable(tmp_path: Path) -> None:
    (tmp_path / "b.lst").write_bytes(b"#LST\n\xff\xfe\n")
    with pytest.raises(FormatError, match="not text"):
        read_list(tmp_path / "b.lst")
    with pytest.raises(FormatError, match="no such file"):
        read_list(tmp_path / "none.lst")
    with pytest.raises(FormatError, match="cannot keep the blanks"):
        write_list(tmp_path / "c.lst", [0], ["two words.hdf"])
