"""Arrays in files without names: the same arrays, and no memory while nobody looks."""

from __future__ import annotations

import errno
import gc
import os
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mapsort.rundir.record_file import read_record, write_record
from mapsort.rundir.scratch import Gathered, KeptTable, Scratch, sparse_zeros


@dataclass(frozen=True)
class Inner:
    values: np.ndarray


@dataclass(frozen=True)
class Outer:
    numbers: np.ndarray
    inner: Inner | None
    name: str = "x"


def record(n, *, first=0, inner=True):
    rng = np.random.default_rng(n)
    numbers = np.arange(first, first + n, dtype=np.int32)
    return Outer(numbers, Inner(rng.normal(size=(n, 3))) if inner else None)


def resident_mib(kind):
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(re.search(rf"^{kind}:\s+(\d+)", status, re.MULTILINE)[1]) / 1024


@pytest.fixture(params=["memory", "files"])
def scratch(request, tmp_path):
    return Scratch(tmp_path if request.param == "files" else None)


@pytest.mark.parametrize("shape", [(0,), (3, 5), (64, 1 << 18)])
def test_sparse_zeros_are_zeros_to_write_in(shape):
    array = sparse_zeros(shape, np.complex64)
    assert (array.shape, array.dtype) == (shape, np.complex64)
    assert not array.any()
    array[...] = 2.0
    assert (array == 2.0).all()


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="Linux tells what is in memory")
def test_sparse_zeros_take_memory_for_what_is_written():
    before = resident_mib("RssAnon")
    array = sparse_zeros((64, 1 << 20), np.float32)
    array[::8, 0] = 1.0
    assert resident_mib("RssAnon") - before < 8


def test_what_is_gathered_comes_back_in_order(scratch):
    gathered = Gathered(scratch)
    parts = [record(n, first=f) for n, f in ((5, 0), (1, 5), (40_000, 6))]
    for part in parts:
        gathered.add(part)
    whole = gathered.joined()
    assert len(gathered) == 40_006
    np.testing.assert_array_equal(whole.numbers, np.arange(40_006))
    np.testing.assert_array_equal(
        whole.inner.values, np.concatenate([part.inner.values for part in parts])
    )
    assert whole.name == "x"
    assert whole.inner.values.dtype == np.float64
    np.testing.assert_array_equal(gathered.joined(5).numbers, np.arange(5, 40_006))


def test_more_may_be_added_after_looking(scratch):
    gathered = Gathered(scratch)
    gathered.add(record(3, inner=False))
    early = gathered.joined()
    gathered.add(record(4, first=3, inner=False))
    np.testing.assert_array_equal(early.numbers, [0, 1, 2])
    np.testing.assert_array_equal(gathered.joined().numbers, np.arange(7))
    assert gathered.joined().inner is None


def test_nothing_gathered(scratch):
    with pytest.raises(ValueError, match="nothing was gathered"):
        Gathered(scratch).joined()


def test_records_of_parts_are_put_together_in_the_particles_order(scratch):
    parts = [record(n) for n in (3, 3, 2)]
    part_of = np.array([0, 0, 2, 1, 1, 0, 2, 1], np.uint8)
    whole = scratch.put_together(parts, part_of)
    np.testing.assert_array_equal(whole.numbers, [0, 1, 0, 0, 1, 2, 1, 2])
    np.testing.assert_array_equal(whole.inner.values[part_of == 2], parts[2].inner.values)


def test_placed_arrays_are_equal_and_can_be_written_in(scratch):
    before = record(50_000)
    after = scratch.with_arrays(before)
    np.testing.assert_array_equal(after.inner.values, before.inner.values)
    after.inner.values[7] = 1.0
    scratch.release()
    np.testing.assert_array_equal(after.inner.values[7], [1.0, 1.0, 1.0])
    assert scratch.with_arrays(after).inner.values is after.inner.values


def test_released_memory_is_free_and_the_array_is_there(tmp_path):
    scratch, size = Scratch(tmp_path), 64 * 2**20
    array = scratch.zeros((size,), np.uint8)
    before = resident_mib("VmRSS")
    array[:] = 7
    assert resident_mib("VmRSS") - before > 0.9 * 64
    scratch.release()
    assert resident_mib("VmRSS") - before < 0.1 * 64
    assert array[-1] == 7
    # the file has no name, and its space is free when nobody has the array
    assert list(tmp_path.iterdir()) == []
    del array
    gc.collect()
    assert list(scratch._mapped) == []


def test_a_full_disk_is_an_error_with_the_place(tmp_path, monkeypatch):
    def full(*_args):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(OSError, match=re.escape(str(tmp_path))) as error:
        Scratch(tmp_path).zeros((2**20,), np.float32)
    assert error.value.errno == errno.ENOSPC


def test_records_are_read_into_their_place(tmp_path):
    scratch, written = Scratch(tmp_path), []
    before = record(50_000)
    write_record(tmp_path / "a.npz", before, written=lambda: written.append(1))
    assert len(written) == 3
    after = read_record(tmp_path / "a.npz", Outer, place=scratch.placed)
    np.testing.assert_array_equal(after.inner.values, before.inner.values)
    assert len(scratch._mapped) == 2


def test_a_table_comes_back_as_a_star_file_would_have_it(scratch):
    n = 20_000
    table = pd.DataFrame(
        {
            "rlnImageName": [f"{i:06d}@a.mrcs" for i in range(n)],
            "rlnMicrographName": [f"mic \u00e9 {i // 7}" if i % 5 else None for i in range(n)],
            "rlnOpticsGroup": np.arange(n) % 3,
            "rlnDefocusU": np.random.default_rng(0).normal(size=n),
            "mixed": [i if i % 2 else "" for i in range(n)],
        }
    )
    kept = KeptTable.of(table, scratch, emptied=("rlnImageName",))
    rows = kept.rows(slice(8_000, 17_001))
    part = table.iloc[8_000:17_001]
    assert list(rows.columns) == list(table.columns)
    assert (rows["rlnImageName"] == "").all()
    np.testing.assert_array_equal(rows["rlnDefocusU"], part["rlnDefocusU"])
    assert rows["rlnOpticsGroup"].dtype == table["rlnOpticsGroup"].dtype
    assert rows["rlnMicrographName"].tolist() == part["rlnMicrographName"].fillna("nan").tolist()
    assert rows["mixed"].tolist() == [str(value) for value in part["mixed"]]
    assert list(kept.rows(slice(0, 2), ("mixed",)).columns) == ["mixed"]
