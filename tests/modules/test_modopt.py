"""The name:key=value grammar."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mapsort.errors import ConfigError
from mapsort.modules.modopt import ModuleCall, parse_modopt

names = st.from_regex(r"[A-Za-z_][A-Za-z0-9_.]{0,12}", fullmatch=True)
values = st.one_of(
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(exclude_characters='"', exclude_categories=["Cs"])),
)


@given(names.filter(lambda name: name.lower() != "none"), st.dictionaries(names, values))
def test_what_is_written_is_read_back(name, parameters):
    call = ModuleCall(name, parameters)
    read = parse_modopt(str(call))
    assert read == call
    assert {k: type(v) for k, v in read.parameters.items()} == {
        k: type(v) for k, v in parameters.items()
    }


@given(st.text(max_size=40))
def test_any_text_is_read_or_refused(text):
    try:
        call = parse_modopt(text)
    except ConfigError:
        return
    assert call is None or parse_modopt(str(call)) == call


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("mask.auto3d:threshold=1.1:radius=30", {"threshold": 1.1, "radius": 30}),
        ("a:x=true:y=False", {"x": 1, "y": 0}),
        ("a:x=1e3", {"x": 1000.0}),
        ("a:x=-.5", {"x": -0.5}),
        ("a:x=1_000", {"x": "1_000"}),
        ("a:x=nan:y=1e999", {"x": "nan", "y": "1e999"}),
        ('a:x="12"', {"x": "12"}),
        ('a:file="c:/maps/m=1.mrc":n=2', {"file": "c:/maps/m=1.mrc", "n": 2}),
        ("a:sym=c4", {"sym": "c4"}),
        ("a:x=", {"x": ""}),
        ("a", {}),
    ],
)
def test_values(text, expected):
    call = parse_modopt(text)
    assert call is not None
    assert call.parameters == expected
    assert all(type(call.parameters[k]) is type(v) for k, v in expected.items())


def test_none_is_no_module():
    assert parse_modopt("none") is None
    assert parse_modopt("None") is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "name"),
        (":x=1", "name"),
        ("a:x", "key=value"),
        ("a:", "key=value"),
        ("a:=3", "key=value"),
        ("a:x=1:x=2", "twice"),
        ('a:x="b', "not closed"),
        ("a b:x=1", "name"),
    ],
)
def test_malformed(text, words):
    with pytest.raises(ConfigError, match=words):
        parse_modopt(text)


def test_a_double_quote_cannot_be_written():
    with pytest.raises(ConfigError, match="double quote"):
        str(ModuleCall("a", {"x": 'b"c'}))
