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


def test_lists_of_eman2(golden_dir: Path) -> None:
    files = golden_dir / "files"
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


def test_bytes_of_a_list(tmp_path: Path) -> None:
    """Records of one length, the line end among it, with four blanks to grow at the longest."""
    path = tmp_path / "a.lst"
    extras: list[dict[str, Any]] = [{}, {"n": np.float32(0.5), "é": [1, 2]}, {}]
    write_list(path, np.array([3, 0, 12]), ["a.hdf", "b.hdf", "é.hdf"], extras)
    longest = '0\tb.hdf\t{"n":0.5,"\\u00e9":[1,2]}'
    records = ["3\ta.hdf", longest, "12\té.hdf"]
    width = len(longest) + 4
    body = b"".join(record.encode().ljust(width) + b"\n" for record in records)
    head, comment, rest = path.read_bytes().split(b"\n", 2)
    assert head == b"#LSX"
    assert comment.startswith(b"# ")
    assert rest == b"# %d\n" % (width + 1) + body
    listed = read_list(path)
    assert (len(listed), listed.extras[1]) == (3, {"n": 0.5, "é": [1, 2]})
    write_list(path, [], [])
    assert path.read_bytes().split(b"\n")[2:] == [b"# 5", b""]
    write_list(path, [1], ["a.hdf"])
    assert path.read_bytes().endswith(b"# 12\n1\ta.hdf    \n")


def test_forms_of_a_record(tmp_path: Path) -> None:
    path = tmp_path / "a.lst"
    numbers = ",".join(map(str, range(12)))
    pose = EmanTransform(np.arange(12).reshape(3, 4))
    for record, expected in (
        ("7 a.hdf", (7, "a.hdf", {})),
        ("  7   a.hdf  ", (7, "a.hdf", {})),
        ('7 a.hdf {"k": 1, "l": 2}', (7, "a.hdf", {"k": 1, "l": 2})),
        ("7\ttwo words.hdf", (7, "two words.hdf", {})),
        (" 7 \t a.hdf \t ", (7, "a.hdf", {})),
        ("7\ta.hdf\tnot {an item}\tnor this", (7, "a.hdf", {})),
        ('7\ta.hdf\t {"k": "a\\tb"}', (7, "a.hdf", {"k": "a\tb"})),
        ('7\ta.hdf\t{"k":"x\ty"}', None),  # no JSON: a bare tab in a text
        ('7\ta.hdf\t{"__default__":"a comment","k":0}', (7, "a.hdf", {"k": 0})),
        ("9" * 17 + "\ta.hdf", (int("9" * 17), "a.hdf", {})),
        ("9" * 18 + "\ta.hdf", None),
        ("²\ta.hdf", None),
        ("7\t", None),
        ("7\ta\0.hdf", None),
        ('7\ta.hdf\t{"t":{"__class__":"Other","matrix":[1]}}', "t"),
        (f'7\ta.hdf\t{{"p":{{"__class__":"Transform","matrix":[{numbers}]}}}}', "p"),
        (f'7\ta.hdf\t{{"p":{{"__class__":"Transform","matrix":"[{numbers}]"}}}}', "p"),
        (f'7\ta.hdf\t{{"p":{{"__class__":"Transform","matrix":[{numbers},1]}}}}', None),
        ('7\ta.hdf\t{"p":{"__class__":"Transform"}}', None),
    ):
        path.write_text(f"#LST\n{record}\n", encoding="utf-8")
        if expected is None:
            with pytest.raises(FormatError, match=r"a\.lst: line 2: "):
                read_list(path)
            continue
        listed = read_list(path)
        found = (listed.indices.tolist()[0], listed.names[0], listed.extras[0])
        if expected == "p":
            assert found[2] == {"p": pose}
        elif expected == "t":
            assert found[2] == {"t": {"__class__": "Other", "matrix": [1]}}
        else:
            assert found == expected


def test_lines_before_the_records(tmp_path: Path) -> None:
    path = tmp_path / "a.lst"
    for head, names in (
        ("#LST", ["a", "b"]),
        ("#LST \r", ["a", "b"]),
        ("#LSX\n# c\n#8", ["a", "b"]),
        (f"#LSX\n# c\n# {(1 << 31) - 1}", ["a", "b"]),
        ("#LSX\n# c\n# 1", ["a", "b"]),
    ):
        path.write_text(f"{head}\n0\ta\n1\tb\n", newline="")
        assert read_list(path).names == names
    for head in ("#LSY", "LST", "#LSX\n# c\n12", "#LSX\n# c\n# ٣", "#LSX\n# c\n# -3"):
        path.write_text(f"{head}\n0\ta\n1\tb\n", encoding="utf-8")
        with pytest.raises(FormatError, match=r"a\.lst: (not an EMAN2 list|line 3: the length)"):
            read_list(path)
    path.write_text("#LST\n0\ta\n\n   \nx\tb\n")
    with pytest.raises(FormatError) as caught:
        read_list(path)
    assert str(caught.value) == (
        f"{path}: line 5: expected the number of an image (from 0) and its file, not 'x\\tb'."
    )
    path.write_text("#LST\n" + "y" * 80 + "\n")
    with pytest.raises(FormatError, match=f"not '{'y' * 60}'"):
        read_list(path)


def test_what_a_list_cannot_keep(tmp_path: Path) -> None:
    path = tmp_path / "a.lst"
    with pytest.raises(TypeError, match="set has no place in a list"):
        write_list(path, [0], ["a.hdf"], [{"k": {1}}])
    for names, extras in ((["a.hdf", "b.hdf"], None), (["a.hdf"], [{}, {}])):
        with pytest.raises(ValueError, match="argument"):
            write_list(path, [0], names, extras)
    for name in (" a.hdf", "a.hdf ", ""):
        with pytest.raises(FormatError, match=r"a\.lst: not written: EMAN2 lists cannot keep"):
            write_list(path, [0], [name])
    assert not path.exists()
    with pytest.raises(FormatError, match=r"cannot be read: Is a directory\."):
        read_list(tmp_path)


def test_lines_behind_a_sign_are_passed_over(tmp_path: Path) -> None:
    """As EMAN2 does; records among them are counted."""
    path = tmp_path / "a.lst"
    path.write_text("#LST\n# bad ones\n0\ta.hdf\n#3\ta.hdf\n\n4\tb.hdf\n# 5 b.hdf\n#\n")
    listed = read_list(path)
    assert (listed.indices.tolist(), listed.names) == ([0, 4], ["a.hdf", "b.hdf"])
    assert listed.n_commented == 2
    path.write_text("#LSX\n# 3 words\n# 12\n0\ta.hdf    \n#1\ta.hdf   \n2\ta.hdf    \n")
    listed = read_list(path)
    assert (listed.indices.tolist(), listed.n_commented) == ([0, 2], 1)
    path.write_text("#LST\n#0\ta.hdf\n")
    with pytest.raises(FormatError, match="holds no image"):
        read_list(path)
