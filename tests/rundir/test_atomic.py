from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mapsort.errors import FormatError, NumericalError
from mapsort.io.lst import write_list
from mapsort.io.mrc import write_stack
from mapsort.rundir.atomic import atomic_path, write_text


def test_file_appears_whole_and_alone(tmp_path: Path) -> None:
    final = tmp_path / "map.mrc"
    with atomic_path(final) as path:
        assert path.parent == tmp_path
        assert path.suffix == ".mrc"
        assert path != final
        path.write_bytes(b"new")
        assert not final.exists()
    assert final.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [final]


def _write_half(final: Path) -> None:
    with atomic_path(final) as path:
        path.write_text("half")
        raise RuntimeError("stop")


def test_failure_keeps_the_old_file(tmp_path: Path) -> None:
    final = tmp_path / "a.txt"
    write_text(final, "old")
    with pytest.raises(RuntimeError, match="stop"):
        _write_half(final)
    assert final.read_text() == "old"
    assert list(tmp_path.iterdir()) == [final]


def test_nothing_written(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), atomic_path(tmp_path / "a.txt"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_two_writers_of_one_file_do_not_meet(tmp_path: Path) -> None:
    final = tmp_path / "a.txt"
    with atomic_path(final) as one, atomic_path(final) as two:
        assert one != two
        one.write_text("one")
        two.write_text("two")
    assert final.read_text() == "one"


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_killed_writer_leaves_the_old_file(tmp_path: Path) -> None:
    final = tmp_path / "a.txt"
    write_text(final, "old")
    code = (
        "import os, signal, sys\n"
        "from mapsort.rundir.atomic import atomic_path\n"
        "with atomic_path(sys.argv[1]) as path:\n"
        "    path.write_text('half')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(final)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        check=False,
    )
    assert done.returncode == -signal.SIGKILL
    assert final.read_text() == "old"


def test_messages_name_the_file_that_is_meant(tmp_path: Path) -> None:
    """Writers know the temporary name only, and say it when they refuse."""
    final = tmp_path / "a.lst"
    with pytest.raises(FormatError) as caught, atomic_path(final) as path:
        write_list(path, [0], ["two words.hdf"])
    told = "not written: EMAN2 lists cannot keep the blanks of 'two words.hdf'."
    assert str(caught.value) == f"{final}: {told}"
    with (
        pytest.raises(NumericalError, match=r"/s\.mrcs: not written"),
        atomic_path(tmp_path / "s.mrcs") as path,
    ):
        write_stack(path, [np.full((4, 4), np.nan)], 1.0)
    with pytest.raises(FormatError, match=r"^of something else$"), atomic_path(final):
        raise FormatError("of something else")
    assert list(tmp_path.iterdir()) == []
