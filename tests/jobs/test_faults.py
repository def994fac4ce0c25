"""What can happen to a run: killed anywhere, disk full, read errors, files replaced, clocks."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mrcfile
import numpy as np
import pytest

from mapsort.cli.main import main
from mapsort.engines.progress import SilentProgress
from mapsort.errors import RunError
from mapsort.io.hdf import HdfReader
from mapsort.io.star import read_particles
from mapsort.jobs.multi import refine_multi
from mapsort.jobs.refine import refine
from mapsort.rundir import atomic
from mapsort.rundir.text import read_fsc

OPTIONS: dict[str, Any] = {
    "iter": 2,
    "orientgen": "eman:delta=60",
    "randomseed": 1,
    "parallel": "thread:1",
}


@pytest.fixture(scope="module")
def whole(tiny, tmp_path_factory, results):
    """What an undisturbed run finds."""
    path = tmp_path_factory.mktemp("whole") / "run"
    refine_multi(tiny.particles, tiny.seeds, path=path, **OPTIONS)
    return results(path)


class At(SilentProgress):
    """Does something once, when a stage of an iteration begins."""

    def __init__(self, stage: str, iteration: int, action) -> None:
        self._where = (stage, iteration)
        self._action = action

    def start(self, stage: str, _total: int, *, iteration: int, **_of: int) -> None:
        if (stage, iteration) == self._where:
            self._action()


class Snapshots:
    """The run directory at every moment at which its files change.

    A process that is killed at that moment leaves just this. Files of a run are replaced and never
    written to, so that links to them keep what they held; the log and the lock are copied.
    """

    GROWING = ("run.log", "run.lock")

    def __init__(self, run: Path, store: Path) -> None:
        self._run, self._store = run, store
        self.points = 0
        self.distinct: dict[frozenset[tuple[str, int]], Path] = {}
        self._busy = False

    def around(self, function):
        def watched(*args, **options):
            self.take()
            try:
                return function(*args, **options)
            finally:
                self.take()

        return watched

    def take(self) -> None:
        if self._busy or not self._run.exists():
            return
        self._busy = True
        self.points += 1
        # What resuming looks at: neither log and progress nor what was being written.
        inodes = frozenset(
            (str(file.relative_to(self._run)), file.stat().st_ino)
            for file in self._run.rglob("*")
            if file.name not in (*self.GROWING, "progress.json") and not atomic.is_leftover(file)
        )
        if inodes not in self.distinct:
            copy = self._store / f"{len(self.distinct):03d}"
            shutil.copytree(self._run, copy, copy_function=self._copy)
            self.distinct[inodes] = copy
        self._busy = False

    def tried(self, *, every: int) -> list[Path]:
        """Return what was left at each so manieth moment; MAPSORT_EVERY_MOMENT=1: at all."""
        return list(self.distinct.values())[:: int(os.environ.get("MAPSORT_EVERY_MOMENT", every))]

    def _copy(self, source: str, target: str) -> None:
        if Path(source).name not in self.GROWING:
            os.link(source, target)
            return
        shutil.copyfile(source, target)
        if target.endswith("run.lock") and Path(source).stat().st_size:
            # Its process is this one, which lives on: the copy's had another start.
            holder = json.loads(Path(source).read_text()) | {"started": "0"}
            Path(target).write_text(json.dumps(holder))


def assert_whole(path: Path) -> None:
    """Every file that has its final name can be read, and to its end."""
    for file in path.rglob("*"):
        if file.is_dir() or atomic.is_leftover(file):
            continue
        if file.suffix == ".mrc":
            assert mrcfile.validate(file)
        elif file.suffix == ".hdf":
            with HdfReader(file) as reader:
                assert len(reader.images()) == reader.n_images > 0
        elif file.name.startswith("particles_"):
            assert len(read_particles(file)[1]) == 40
        elif file.suffix == ".txt":
            read_fsc(file)
        elif file.suffix == ".json":
            json.loads(file.read_text())
        elif file.suffix == ".npz":
            with np.load(file, allow_pickle=False) as arrays:
                assert [arrays[name] for name in arrays]


@contextlib.contextmanager
def snapshots_of(path: Path, store: Path) -> Iterator[Snapshots]:
    """Take snapshots of the run directory while a run works in it."""
    store.mkdir()
    snapshots = Snapshots(path, store)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(atomic, "_flush", snapshots.around(atomic._flush))
        for name in ("replace", "unlink", "rmdir", "mkdir"):
            patch.setattr(os, name, snapshots.around(getattr(os, name)))
        # Files written one after the other: a snapshot is of one moment.
        patch.setattr("mapsort.engines.background.Background.submit", lambda _self, job: job())
        yield snapshots


def test_killed_at_every_moment_at_which_files_change(tiny, tmp_path, whole, results):
    path = tmp_path / "run"
    with snapshots_of(path, tmp_path / "store") as snapshots:
        refine_multi(tiny.particles, tiny.seeds, path=path, **OPTIONS)
    assert results(path) == whole
    assert snapshots.points >= 200
    assert len(snapshots.distinct) >= 50
    for left in snapshots.tried(every=3):
        assert_whole(left)
        if (left / "0_refine_parms.json").exists():
            refine_multi(tiny.particles, tiny.seeds, resume=left)
        else:
            refine_multi(tiny.particles, tiny.seeds, path=left, **OPTIONS)
        assert results(left) == whole, left
        assert not [file for file in left.rglob(".*") if atomic.is_leftover(file)]


def test_a_single_map_refinement_killed_at_such_moments(tiny, tmp_path, results, monkeypatch):
    monkeypatch.setattr("mapsort.engines.chunks.LONGEST_CHUNK", 16)
    monkeypatch.setattr("mapsort.rundir.checkpoints.SAVE_SECONDS", 0.0)
    options = {"iter": 3, "speed": 7, "randomseed": 1, "parallel": "thread:1"}
    path = tmp_path / "run"
    with snapshots_of(path, tmp_path / "store") as snapshots:
        refine(tiny.particles, tiny.seeds[0], path=path, **options)
    whole = results(path)
    assert any(list(left.glob("checkpoint/*_part_*")) for left in snapshots.distinct.values())
    for left in snapshots.tried(every=9):
        assert_whole(left)
        if (left / "0_refine_parms.json").exists():
            refine(tiny.particles, tiny.seeds[0], resume=left)
        else:
            refine(tiny.particles, tiny.seeds[0], path=left, **options)
        assert results(left) == whole, left
        assert not [file for file in left.rglob(".*") if atomic.is_leftover(file)]


def goes_on_to(whole, path, tiny, results):
    assert_whole(path)
    assert not [file for file in path.rglob(".*") if atomic.is_leftover(file)]
    progress = json.loads((path / "progress.json").read_text())
    refine_multi(tiny.particles, tiny.seeds, resume=path)
    assert results(path) == whole
    return progress


@pytest.fixture
def small_disk(tmp_path) -> Iterator[Path]:
    """A file system of four megabytes."""
    place = tmp_path / "disk"
    place.mkdir()
    mounting = ["mount", "-t", "tmpfs", "-o", "size=4m", "none", str(place)]
    if shutil.which("mount") is None or subprocess.run(mounting, capture_output=True).returncode:
        pytest.skip("a file system cannot be mounted here")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


@pytest.mark.parametrize("left_free", [0, 40_000, 200_000])
def test_a_full_disk(tiny, small_disk, whole, results, left_free):
    path, ballast = small_disk / "run", small_disk / "ballast"

    def fill():
        # The run writes beside this, so that what is free is not what was free.
        with contextlib.suppress(OSError):
            ballast.write_bytes(bytes(shutil.disk_usage(small_disk).free))
        os.truncate(ballast, max(0, ballast.stat().st_size - left_free))

    # A result's file, or the directory of the scratch files, which have no names: what was first.
    full = rf"^{re.escape(str(small_disk))}(/run/.*)?: No space left on device\nto continue: "
    with pytest.raises(RunError, match=full):
        refine_multi(
            tiny.particles, tiny.seeds, path=path, progress=At("match", 2, fill), **OPTIONS
        )
    held = [os.path.realpath(link) for link in Path("/proc/self/fd").iterdir()]
    assert not [file for file in held if file.startswith(str(path))]
    ballast.unlink()
    goes_on_to(whole, path, tiny, results)


@pytest.mark.parametrize("which", [3, 30, 47])
def test_a_full_disk_as_seen_by_the_file_layer(tiny, tmp_path, whole, results, monkeypatch, which):
    flushed = []
    flush = atomic._flush

    def full(place):
        flushed.append(place)
        if len(flushed) == which:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(place))
        flush(place)

    path = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(atomic, "_flush", full)
        with pytest.raises(RunError, match="No space left on device"):
            refine_multi(tiny.particles, tiny.seeds, path=path, **OPTIONS)
    progress = goes_on_to(whole, path, tiny, results)
    assert progress["state"] == "failed"
    assert "No space left" in progress["message"]


def test_a_stack_that_cannot_be_read(tiny, tmp_path, whole, results, monkeypatch):
    path = tmp_path / "run"
    with monkeypatch.context() as patch:

        def fails(*_args):
            raise OSError(errno.EIO, os.strerror(errno.EIO))

        breaks = At("average", 2, lambda: patch.setattr(os, "preadv", fails))
        with pytest.raises(RunError, match=r"particles\.mrcs: Input/output error\nto continue: "):
            refine_multi(tiny.particles, tiny.seeds, path=path, progress=breaks, **OPTIONS)
    assert "Input/output error" in (path / "run.log").read_text()
    goes_on_to(whole, path, tiny, results)


@pytest.mark.parametrize("how", ["replaced", "overwritten", "cut off", "deleted"])
def test_a_particle_file_that_changes_during_the_run(
    tiny, tmp_path, whole, results, how, monkeypatch
):
    stack = tiny.particles.parent / "particles.mrcs"
    good = stack.read_bytes()
    other = good[:1024] + good[1024:][::-1]

    def change():
        if how == "replaced":
            new = tmp_path / "new.mrcs"
            new.write_bytes(other)
            shutil.copystat(stack, new)
            new.replace(stack)
        elif how == "deleted":
            stack.unlink()
        else:
            with stack.open("r+b") as file:
                if how == "cut off":
                    file.truncate(len(good) - 5000)
                else:
                    file.write(other)

    path = tmp_path / "run"
    # Not taken from a file that is open still: a long run closes and opens its stacks.
    monkeypatch.setattr("mapsort.io.image_stack.OpenStacks.__init__", _one_open)
    try:
        with pytest.raises(RunError, match=r"particles\.mrcs") as caught:
            refine_multi(
                tiny.particles, tiny.seeds, path=path, progress=At("match", 2, change), **OPTIONS
            )
        assert f"to continue: mapsort multi --resume {path}" in str(caught.value)
        assert not (path / "particles_02.star").exists()
    finally:
        stack.write_bytes(good)
    goes_on_to(whole, path, tiny, results)


def _one_open(self, limit: int = 1) -> None:
    import threading
    from collections import OrderedDict

    self._limit, self._stacks, self._lock = limit, OrderedDict(), threading.Lock()


def test_a_file_that_is_only_touched_does_no_harm(tiny, tmp_path, whole, results):
    stack = tiny.particles.parent / "particles.mrcs"
    path = tmp_path / "run"
    refine_multi(
        tiny.particles, tiny.seeds, path=path, progress=At("match", 2, stack.touch), **OPTIONS
    )
    assert results(path) == whole


def test_a_read_only_directory_is_refused(tiny, small_disk, capsys):
    path = small_disk / "run"
    path.mkdir()
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    words = ["multi", "--input", str(tiny.particles), "-q", "--iter", "1", "--path", str(path)]
    assert main([*words, "--models", ",".join(map(str, tiny.seeds))]) == 2
    assert f"--path={path}: no permission to write in {path}" in capsys.readouterr().err


#: A run in a process of its own, killed as it begins to match for the second time.
KILLED = """
import json, os, sys

from mapsort.jobs.multi import refine_multi
from mapsort.jobs.refine import refine
from mapsort.engines.progress import SilentProgress


class Killed(SilentProgress):
    def start(self, stage, _total, *, iteration, **_of):
        if (stage, iteration) == ("match", 2):
            os._exit(9)


refine_multi(progress=Killed(), **json.loads(sys.argv[1]))
"""


def test_a_run_whose_directory_became_read_only(tiny, small_disk, whole, results, capsys):
    path = small_disk / "run"
    request = {"particles": tiny.particles, "models": tiny.seeds, "path": path} | OPTIONS
    # While a process has scratch files there, a disk cannot become read-only.
    words = [sys.executable, "-c", KILLED, json.dumps(request, default=str)]
    assert subprocess.run(words, check=False).returncode == 9
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    assert main(["multi", "--resume", str(path), "-q"]) == 2
    assert f"--resume={path}: no permission to write in {path}" in capsys.readouterr().err
    subprocess.run(["mount", "-o", "remount,rw", str(small_disk)], check=True)
    assert_whole(path)
    refine_multi(tiny.particles, tiny.seeds, resume=path)
    assert results(path) == whole
    assert not [file for file in path.rglob(".*") if atomic.is_leftover(file)]


def test_clocks_that_jump(tiny, tmp_path, whole, results, monkeypatch):
    """Days forth and back between any two looks at the clock."""
    rng = np.random.default_rng(0)
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() + rng.uniform(-3e6, 3e6))
    path = tmp_path / "run"
    run = refine_multi(tiny.particles, tiny.seeds, path=path, **OPTIONS)
    assert results(path) == whole
    seconds = [s for entry in run.convergence for s in entry["seconds"].values()]
    assert all(0 <= s < 60 for s in seconds)
