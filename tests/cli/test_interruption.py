"""Signals that stop a run: which ones, what is told, and what is left to the system."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from mapsort.cli.interruption import STOPPING, interruptible
from mapsort.engines.progress import SilentProgress
from mapsort.errors import Interrupted


class Told(SilentProgress):
    """Keeps what it is told."""

    def __init__(self):
        self.lines = []

    def message(self, text):
        self.lines.append(text)


@pytest.mark.parametrize("number", [s for s in STOPPING if s != signal.SIGINT])
def test_a_signal_stops_at_the_next_unit(number):
    before = signal.getsignal(number)
    with interruptible(SilentProgress()) as progress:
        progress.start("match", 2, iteration=1, n_iterations=1)
        os.kill(os.getpid(), number)
        with pytest.raises(Interrupted, match=f"interrupted by {number.name}"):
            progress.advance(1)
    assert signal.getsignal(number) == before


def test_nothing_is_shown_on_a_terminal_that_has_gone(capfd):
    shown = Told()
    with interruptible(shown) as progress:
        progress.message("before")
        os.kill(os.getpid(), signal.SIGHUP)
        progress.message("after")
        progress.finish("after")
        with pytest.raises(Interrupted):
            progress.advance(1)
    assert shown.lines == ["before"]
    assert capfd.readouterr().err == ""


def test_a_hangup_that_is_ignored_stays_so():
    """As nohup has it."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with interruptible(SilentProgress()) as progress:
            os.kill(os.getpid(), signal.SIGHUP)
            progress.advance(1)
            assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_an_interrupt_while_the_program_starts_is_one():
    code = (
        "import signal, sys\n"
        "from mapsort.cli import main, parser\n"
        "parser.command_parser = lambda *_, **__: signal.raise_signal(signal.SIGINT)\n"
        "sys.exit(main.main(['multi', '--input', 'x.star']))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stderr) == (75, "mapsort: interrupted\n")
