"""Damaged files: kept ones that once broke a reader or reached new code, and fresh ones."""

from __future__ import annotations

import gc
import importlib.util
import random
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

HERE = Path(__file__).resolve().parent
READERS = ("mrc", "star", "cs", "hdf", "lst")
IN_PYTHON = ("mrc", "star", "cs", "lst")
KEPT = sorted(path for path in (HERE / "corpus").glob("*/*") if path.is_file())


def _harness() -> ModuleType:
    spec = importlib.util.spec_from_file_location("fuzz_readers", HERE / "fuzz_readers.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


HARNESS = _harness()


@pytest.mark.parametrize("reader", READERS)
def test_seeds_are_valid(reader: str) -> None:
    """Damage must start from files that are read, or it never gets past the first check."""
    with HARNESS.scratch(reader) as path:
        for content in HARNESS.seeds()[reader].values():
            path.write_bytes(content)
            HARNESS.READERS[reader](path)


@pytest.mark.parametrize("reader", READERS)
def test_kept_files(reader: str) -> None:
    kept = [path for path in KEPT if path.parent.name == reader]
    assert kept
    with HARNESS.scratch(reader) as path:
        for file in kept:
            HARNESS.survives(reader, path, file.read_bytes())


@pytest.mark.parametrize("reader", IN_PYTHON)
@given(seed=st.integers(0, 2**32))
@settings(max_examples=20, deadline=None)
def test_damaged_files(reader: str, seed: int) -> None:
    rng = random.Random(seed)
    with HARNESS.scratch(reader) as path:
        for content in HARNESS.seeds()[reader].values():
            HARNESS.survives(reader, path, HARNESS.mutated(content, rng))


def test_damaged_hdf5_in_a_process_of_its_own() -> None:
    """The HDF5 library is C: what damage does to its memory must not reach the other tests."""
    command = [sys.executable, str(HERE / "fuzz_readers.py"), "mutate", "hdf", "3"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.parametrize("reader", READERS)
@given(content=st.binary(max_size=200))
@settings(max_examples=15, deadline=None)
def test_noise(reader: str, content: bytes) -> None:
    with HARNESS.scratch(reader) as path:
        HARNESS.survives(reader, path, content)


@pytest.mark.parametrize("reader", READERS)
def test_every_prefix_of_a_file(reader: str) -> None:
    content = next(iter(HARNESS.seeds()[reader].values()))
    with HARNESS.scratch(reader) as path:
        for end in range(0, len(content), max(1, len(content) // 60)):
            HARNESS.survives(reader, path, content[:end])


@pytest.mark.parametrize("reader", IN_PYTHON)
def test_nothing_of_a_damaged_file_is_kept(reader: str) -> None:
    """Not by a cache, nor by an error that holds its frames: a server reads many bad files."""
    rng = random.Random(1)
    seeds = list(HARNESS.seeds()[reader].values())
    contents = seeds + [HARNESS.mutated(rng.choice(seeds), rng) for _ in range(60)]

    def objects_after_reading(path: Path) -> int:
        for content in contents:
            HARNESS.survives(reader, path, content)
        gc.collect()
        return len(gc.get_objects())

    with HARNESS.scratch(reader) as path:
        # What is imported or compiled at the first use may stay.
        before = objects_after_reading(path)
        after = objects_after_reading(path)
    # One object (a table, an error, a frame) for every file would fill the memory in the end.
    assert after - before < len(contents) / 2


@pytest.mark.slow
@pytest.mark.parametrize("reader", READERS)
def test_a_long_run_in_a_process_of_bounded_memory(reader: str) -> None:
    command = [sys.executable, str(HERE / "fuzz_readers.py"), "mutate", reader, "60"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
