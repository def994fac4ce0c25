"""The lock of a run directory: one holder, and those that are gone are recognised."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import subprocess
import sys

import pytest

from mapsort.errors import ConfigError
from mapsort.rundir.run_lock import LockHolder, run_lock


def leave(path, **changes):
    """Leave a lock as another process would."""
    path.write_text(json.dumps(vars(LockHolder.here()) | changes))


def test_held_and_given_back(tmp_path):
    path = tmp_path / "run.lock"
    with run_lock(path) as before:
        assert before is None
        assert json.loads(path.read_text())["pid"] == os.getpid()
    assert not path.exists()


def test_a_second_one_is_refused_with_the_first_ones_name(tmp_path):
    path = tmp_path / "run.lock"
    with (
        run_lock(path),
        pytest.raises(ConfigError, match=f"already in use by process {os.getpid()} on "),
        run_lock(path),
    ):
        pass
    assert not path.exists()


def test_a_dead_process_is_recognised(tmp_path):
    path = tmp_path / "run.lock"
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    leave(path, pid=dead.pid)
    with run_lock(path) as before:
        assert before is not None
        assert before.pid == dead.pid


def test_a_number_that_another_process_has_now(tmp_path):
    path = tmp_path / "run.lock"
    leave(path, started="1")
    with run_lock(path) as before:
        assert before is not None


def test_another_host_is_believed_to_run(tmp_path):
    path = tmp_path / "run.lock"
    leave(path, host="elsewhere", pid=4)
    told = rf"process 4 on elsewhere\n.* delete {path}"
    with pytest.raises(ConfigError, match=told), run_lock(path):
        pass
    assert path.exists()


@pytest.mark.parametrize("content", ["", "{", '{"host": "x"}', "[]"])
def test_a_writer_that_was_killed_in_writing(tmp_path, content):
    path = tmp_path / "run.lock"
    path.write_text(content)
    with run_lock(path) as before:
        assert before is None


def test_where_the_file_system_has_no_locks(tmp_path, monkeypatch):
    def unsupported(*_args):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", unsupported)
    path = tmp_path / "run.lock"
    with run_lock(path), pytest.raises(ConfigError, match="already in use by"), run_lock(path):
        pass
    assert not path.exists()


def test_a_directory_that_cannot_be_locked(tmp_path):
    with pytest.raises(FileNotFoundError), run_lock(tmp_path / "none" / "run.lock"):
        pass
