"""Typed records: what is written comes back, bit for bit, and damage is told."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mapsort.errors import FormatError
from mapsort.rundir import record_file
from mapsort.rundir.record_file import read_record, write_record
from mapsort.rundir.run_lock import LockHolder


@dataclass(frozen=True)
class Inner:
    values: Any
    name: str | None = None


@dataclass
class Outer:
    inner: Inner
    parts: tuple[Inner, ...]
    anything: Any
    made: int = field(init=False, default=3)


def same(a, b):
    if isinstance(a, np.ndarray):
        return (
            isinstance(b, np.ndarray)
            and a.dtype == b.dtype
            and a.shape == b.shape
            and a.tobytes() == b.tobytes()
        )
    if isinstance(a, Inner | Outer):
        return type(a) is type(b) and all(same(v, getattr(b, k)) for k, v in vars(a).items())
    if isinstance(a, tuple | list):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return isinstance(b, dict) and list(a) == list(b) and all(same(a[k], b[k]) for k in a)
    if isinstance(a, float):
        return isinstance(b, float) and np.float64(a).tobytes() == np.float64(b).tobytes()
    return type(a) is type(b) and a == b


DTYPES = st.sampled_from([np.float32, np.float64, np.complex64, np.int32, np.int64, np.bool_])
ARRAYS = DTYPES.flatmap(
    lambda dtype: hnp.arrays(
        dtype, hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4)
    )
)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
VALUES = st.recursive(
    SCALARS | ARRAYS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)


@given(VALUES, VALUES)
def test_round_trip(tmp_path_factory, one, other):
    path = tmp_path_factory.mktemp("records") / "r.npz"
    record = Outer(Inner(one), (Inner(other, "b"), Inner(None)), one)
    record.made = 7
    write_record(path, record)
    assert same(read_record(path, Outer), record)


@pytest.mark.parametrize("dtype", [np.complex64, np.float32, np.float64, np.int16, np.bool_])
@pytest.mark.parametrize("shape", [(2, 7, 4, 5), (9, 4, 5)])
def test_planes_that_are_zero_are_left_out(tmp_path, monkeypatch, dtype, shape):
    monkeypatch.setattr(record_file, "_PART_BYTES", 64)
    array = np.zeros(shape, dtype)
    planes = array.reshape(-1, 4, 5)
    write_record(tmp_path / "none.npz", Inner(array))
    planes[[1, 6]] = 1
    planes[4, 0, 0] = -0.0 if np.dtype(dtype).kind in "fc" else 0
    placed = []

    def place(read):
        placed.append(read.shape)
        return read

    for name, items in (("some", array), ("scattered", array[::-1]), ("all", 1 + array)):
        path = tmp_path / f"{name}.npz"
        write_record(path, Inner(items))
        assert same(read_record(path, Inner, place=place).values, np.asarray(items))
        assert placed.pop() == shape
    assert same(read_record(tmp_path / "none.npz", Inner).values, np.zeros(shape, dtype))
    if np.dtype(dtype).itemsize % 4 == 0:
        with np.load(tmp_path / "some.npz") as file:
            assert len(file["array_0"]) == (3 if np.dtype(dtype).kind in "fc" else 2)


def test_damaged_numbers_of_planes_are_told(tmp_path, monkeypatch):
    monkeypatch.setattr(record_file, "_PART_BYTES", 64)
    path = tmp_path / "r.npz"
    write_record(path, Inner(np.ones((9, 4, 5), np.float32)))
    with np.load(path) as file:
        entries = dict(file)
    np.savez(path, **(entries | {"array_1": np.arange(9) + 1}))
    with pytest.raises(FormatError, match="damaged"):
        read_record(path, Inner)


def test_floats_that_json_does_not_know(tmp_path):
    record = Inner([float("inf"), float("-inf"), 0.1, 1e-320, np.float32(0.1)])
    write_record(tmp_path / "r.npz", record)
    assert same(read_record(tmp_path / "r.npz", Inner).values[:4], record.values[:4])
    assert read_record(tmp_path / "r.npz", Inner).values[4].dtype == np.float32


def test_every_damaged_byte_is_noticed_or_harmless(tmp_path):
    record = Inner(np.arange(300.0))
    path = tmp_path / "r.npz"
    write_record(path, record)
    content = path.read_bytes()
    messages = []
    for place in range(0, len(content), 37):
        path.write_bytes(content[:place] + bytes([content[place] ^ 0x10]) + content[place + 1 :])
        try:
            read = read_record(path, Inner)
        except FormatError as error:
            messages.append(str(error))
        else:
            assert same(read, record)
    assert len(messages) > 50
    assert all(message.startswith(f"{path}: ") for message in messages)
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(FormatError, match="damaged"):
        read_record(path, Inner)


def test_what_cannot_be_kept_is_refused(tmp_path):
    with pytest.raises(TypeError, match="a set cannot be kept"):
        write_record(tmp_path / "r.npz", Inner({1, 2}))
    with pytest.raises(ValueError, match="allow_pickle"):
        write_record(tmp_path / "r.npz", Inner(np.array([object()])))
    assert list(tmp_path.iterdir()) == []


def test_another_kind_is_refused(tmp_path):
    path = tmp_path / "r.npz"
    write_record(path, Inner(1))
    with pytest.raises(FormatError, match="holds no Outer"):
        read_record(path, Outer, holding=(Inner,))
    with pytest.raises(FormatError, match="another version"):
        read_record(path, LockHolder)

    @dataclass
    class Inner2:
        values: int

    Inner2.__name__ = "Inner"
    with pytest.raises(FormatError, match="Inner has other fields: name"):
        read_record(path, Inner2)
    with pytest.raises(FormatError, match="no such file"):
        read_record(tmp_path / "none.npz", Inner)
