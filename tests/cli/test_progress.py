"""What is shown while a job runs, and stopping it."""

from __future__ import annotations

import io
import logging
import os
import signal
import sys
import time

import pytest

from mapsort.cli.display import (
    Heartbeat,
    PlainProgress,
    RichProgress,
    check_display,
    progress_display,
)
from mapsort.cli.interruption import interruptible
from mapsort.engines.progress import CallbackProgress, SilentProgress, warn
from mapsort.errors import Interrupted
from mapsort.rundir.log import run_log, stage


def run_stages(progress):
    progress.start("prepare", 2, iteration=0, n_iterations=3)
    progress.finish("2 maps")
    progress.start("match", 10, iteration=1, n_iterations=3)
    progress.advance(4)
    progress.advance(6)
    progress.message("3 particles [bad] left out")
    progress.finish("")


def test_plain_output_is_one_line_per_finished_stage():
    seconds = iter([0.0, 1.24, 10.0, 13.5])
    stream = io.StringIO()
    run_stages(PlainProgress(stream, clock=lambda: next(seconds)))
    assert stream.getvalue().splitlines() == [
        "prepare: 2 maps (1.2 s)",
        "3 particles [bad] left out",
        "iteration 1/3  match (3.5 s)",
    ]


def test_bars_leave_the_same_lines(capsys):
    shown = RichProgress()
    run_stages(shown)
    shown.close()
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "prepare: 2 maps (" in captured.err
    assert "3 particles [bad] left out" in captured.err
    assert "iteration 1/3  match (" in captured.err


def test_a_stage_stopped_in_its_midst_leaves_no_bar_behind(capsys):
    shown = RichProgress()
    shown.start("match", 10, iteration=1, n_iterations=3)
    shown.advance(4)
    shown.close()
    assert "match" not in capsys.readouterr().err.splitlines()[-1:]
    assert shown._bars.tasks == []


@pytest.mark.parametrize(
    ("quiet", "terminal", "kind"),
    [(True, True, SilentProgress), (False, True, RichProgress), (False, False, PlainProgress)],
)
def test_the_display_fits_where_it_is_shown(monkeypatch, quiet, terminal, kind):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
    with progress_display(quiet=quiet) as shown:
        assert isinstance(shown, kind)


def test_silence(capsys):
    with progress_display(quiet=True) as shown:
        run_stages(shown)
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_stops_at_the_next_unit_of_work(number):
    before = signal.getsignal(number)
    finished = []
    with interruptible(SilentProgress()) as progress:
        progress.start("match", 10, iteration=1, n_iterations=1)
        os.kill(os.getpid(), number)
        finished.append("what ran when the signal came")
        progress.finish("saved")
        with pytest.raises(Interrupted, match=number.name):
            progress.start("classify", 1, iteration=1, n_iterations=1)
        with pytest.raises(Interrupted, match=number.name):
            progress.advance(1)
    assert finished
    assert signal.getsignal(number) is before


def test_a_second_interrupt_does_not_wait():
    with interruptible(SilentProgress()):
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


def test_handlers_are_put_back_after_an_error():
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(ValueError, match="inside"), interruptible(SilentProgress()):
        raise ValueError("inside")
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_check_that_takes_long_is_not_silent():
    stream = io.StringIO()
    with Heartbeat(stream, every=0.02) as shown:
        shown.start("read particles", 10, iteration=0, n_iterations=0)
        shown.advance(4)
        time.sleep(0.1)
        shown.finish("10 particles")
        shown.message("a note that the check's own lines hold")
    told = stream.getvalue()
    assert "read particles 4 of 10 (0 s)" in told
    assert "note" not in told
    time.sleep(0.05)
    assert stream.getvalue() == told


def test_a_quick_check_and_a_quiet_one_say_nothing(capsys):
    for quiet in (False, True):
        with check_display(quiet=quiet) as shown:
            shown.start("match", 3, iteration=0, n_iterations=0)
            shown.advance(3)
            shown.finish("")
    assert capsys.readouterr().err == ""


def test_quiet_shows_what_is_doubtful_and_nothing_else(capsys):
    with progress_display(quiet=True) as shown, interruptible(shown) as progress:
        progress.start("match", 2, iteration=1, n_iterations=1)
        progress.advance(2)
        progress.finish("2 particles")
        progress.message("iteration 1: done")
        warn(progress, "the particles look dark")
    assert capsys.readouterr().err == "mapsort: the particles look dark\n"


def test_a_display_without_warnings_gets_them_as_messages():
    told = []
    warn(CallbackProgress(lambda event: told.append(event.message)), "odd")
    assert told == ["odd"]


@pytest.mark.parametrize(
    ("verbosity", "shown"),
    [
        (0, ["iteration 1/1: done"]),
        (1, ["threads: 2", "iteration 1/1: done"]),
        (2, ["threads: 2", "match particles=5 done", "iteration 1/1: done"]),
    ],
)
def test_verbosity_shows_what_the_log_has(tmp_path, capsys, verbosity, shown):
    logger = logging.getLogger("mapsort.somewhere")
    with (
        progress_display(quiet=False, verbosity=verbosity) as progress,
        run_log(tmp_path / "a.log"),
    ):
        logger.info("threads: 2")
        with stage("match") as facts:
            facts["particles"] = 5
        logger.warning("a warning reaches the display by itself")
        logger.info("iteration 1/1: done")
        progress.message("iteration 1/1: done")
    lines = capsys.readouterr().err.splitlines()
    assert [line.removesuffix(" 0.00 s") for line in lines] == shown
    logger.warning("nothing is shown any more")
    assert capsys.readouterr().err == ""
