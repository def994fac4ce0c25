from __future__ import annotations

import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from mapsort.io.image_stack import OpenStacks
from mapsort.io.mrc import write_stack


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    files = [tmp_path / f"{number}.mrcs" for number in range(6)]
    for number, path in enumerate(files):
        write_stack(path, np.full((2, 4, 4), number, dtype=np.float32), 1.0)
    return files


def test_keeps_the_last_used(paths: list[Path]) -> None:
    stacks = OpenStacks(limit=2)
    first = stacks.get(paths[0])
    assert stacks.get(paths[0]) is first
    stacks.get(paths[1])
    stacks.get(paths[0])
    stacks.get(paths[2])  # forgets 1, which was used longest ago
    assert len(stacks) == 2
    assert stacks.get(paths[0]) is first
    stacks.get(paths[1])
    stacks.get(paths[2])
    assert stacks.get(paths[0]) is not first
    assert first.read([1])[0, 0, 0] == 0  # whoever holds it can still read


def test_pickle_takes_no_files_along(paths: list[Path]) -> None:
    stacks = OpenStacks(limit=1)
    stacks.get(paths[0])
    copy = pickle.loads(pickle.dumps(stacks))
    assert len(copy) == 0
    copy.get(paths[0])
    copy.get(paths[1])
    assert len(copy) == 1


def test_threads_share_it(paths: list[Path]) -> None:
    stacks = OpenStacks(limit=2)

    def read(number: int) -> float:
        return float(stacks.get(paths[number % 6]).read([1]).mean())

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(read, range(200))) == [number % 6 for number in range(200)]
    assert len(stacks) == 2


def test_limit() -> None:
    with pytest.raises(ValueError, match="limit"):
        OpenStacks(0)
