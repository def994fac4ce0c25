"""Runs from Python: progress, cancellation, notebooks, and threads beside each other."""

from __future__ import annotations

import base64
import io
import re
import threading
import time
import xml.etree.ElementTree as ET
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

import mapsort
from mapsort import _core
from mapsort.engines.progress import CallbackProgress, ProgressEvent
from mapsort.errors import Interrupted
from mapsort.geometry.euler import eman_to_matrix
from mapsort.jobs.simulate import simulate
from mapsort.options.simulate import SimulateOptions
from mapsort.physics.phantom import phantom_map

QUICK = {"iter": 2, "orientgen": "eman:delta=30", "randomseed": 1, "parallel": "thread:1"}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    out = tmp_path_factory.mktemp("sim")
    return simulate(
        SimulateOptions(phantom=2, out=out, n=60, box=24, apix=6.0, seedres=30.0, seed=2)
    )


@pytest.fixture(scope="module")
def run(made, tmp_path_factory):
    path = tmp_path_factory.mktemp("run") / "multi_00"
    return mapsort.refine_multi(made.particles, made.seeds, path=path, **QUICK)


# --- progress and cancellation --------------------------------------------------------------------


def test_a_callback_is_told_of_every_stage(made, tmp_path):
    events = []
    progress = CallbackProgress(events.append)
    mapsort.refine_multi(
        made.particles, made.seeds, path=tmp_path / "a", progress=progress, **QUICK
    )
    for iteration in (1, 2):
        stages = [e.stage for e in events if e.iteration == iteration and e.done == 0]
        assert list(dict.fromkeys(stages)) == ["match", "average", "reconstruct"]
    matched = [e for e in events if e.stage == "match" and e.iteration == 2]
    assert [e.done for e in matched] == sorted(e.done for e in matched)
    assert matched[-1].done == matched[-1].total == 60
    assert any(re.search(r"resolution .* A", event.message) for event in events)


def test_a_job_ends_soon_after_it_is_cancelled_and_keeps_what_is_finished(made, tmp_path):
    stop = threading.Event()
    seen = []

    def told(event: ProgressEvent) -> None:
        seen.append((event.iteration, event.stage))
        if event.iteration == 2:
            stop.set()

    progress = CallbackProgress(told, cancelled=stop.is_set)
    path = tmp_path / "run"
    options = QUICK | {"iter": 9}
    with pytest.raises(Interrupted, match="finished files are kept"):
        mapsort.refine_multi(made.particles, made.seeds, path=path, progress=progress, **options)
    assert seen[-1] == (2, "match")
    assert (path / "particles_01.star").is_file()
    assert not (path / "particles_02.star").exists()


def test_without_functions_it_is_silent(capsys):
    progress = CallbackProgress()
    progress.start("match", 3, iteration=1, n_iterations=2)
    progress.advance(3)
    progress.finish("done")
    progress.message("a line")
    assert capsys.readouterr() == ("", "")


def test_events_say_where_the_job_stands():
    events = []
    progress = CallbackProgress(events.append)
    progress.start("average", 5, iteration=2, n_iterations=4)
    progress.advance(2)
    progress.advance(3)
    progress.finish("7 classes")
    at = {"stage": "average", "iteration": 2, "n_iterations": 4, "total": 5}
    assert events == [
        ProgressEvent(done=0, **at),
        ProgressEvent(done=2, **at),
        ProgressEvent(done=5, **at),
        ProgressEvent(done=5, message="7 classes", **at),
    ]


def test_cancelled_before_it_begins():
    with pytest.raises(Interrupted):
        CallbackProgress(cancelled=lambda: True).start("match", 1, iteration=1, n_iterations=1)


# --- notebooks ------------------------------------------------------------------------------------


def test_a_run_shows_itself_in_a_notebook(run):
    table = ET.fromstring(run._repr_html_())
    assert table.tag == "table"
    assert str(run.path) in "".join(table.find("caption").itertext())
    rows = table.findall("tbody/tr")
    assert len(rows) == 2
    shown = [int("".join(row[1].itertext()).split()[0]) for row in rows]
    assert shown == run.convergence[-1]["occupancy"]
    for row in rows:
        kind, _, content = row.find(".//img").attrib["src"].partition(",")
        assert kind == "data:image/png;base64"
        picture = Image.open(io.BytesIO(base64.b64decode(content)))
        assert picture.size == (3 * 24 + 4, 24)


def test_a_name_with_special_characters_is_escaped(run):
    from dataclasses import replace

    odd = replace(run, path=run.path / "<b>&")
    assert "&lt;b&gt;&amp;" in odd._repr_html_()
    ET.fromstring(odd._repr_html_())


# --- threads --------------------------------------------------------------------------------------


def test_runs_in_threads_give_what_each_gives_alone(made, run, tmp_path):
    def one(number):
        return mapsort.refine_multi(
            made.particles, made.seeds, path=tmp_path / str(number), **QUICK
        )

    with ThreadPoolExecutor(2) as pool:
        others = list(pool.map(one, range(2)))
    for other in others:
        assert other.assignments.equals(run.assignments)
        for ours, alone in zip(other.maps, run.maps, strict=True):
            np.testing.assert_array_equal(ours.data, alone.data)


def test_array_functions_are_thread_safe():
    volume = phantom_map(0, 24, 6.0)
    turns = eman_to_matrix(mapsort.orientations("eman:delta=30", "c1"))

    def work(_):
        images = mapsort.project(volume, turns)
        matches = mapsort.match(images, images, maxshift=2)
        return images, matches.alpha, mapsort.reconstruct(images, turns).data

    alone = work(0)
    with ThreadPoolExecutor(4) as pool:
        for together in pool.map(work, range(8)):
            for ours, expected in zip(together, alone, strict=True):
                np.testing.assert_array_equal(ours, expected)


def test_kernels_release_the_global_lock():
    """While a kernel runs, another thread makes progress.

    A kernel that held the lock would let the ticker run only between calls: with a kernel of
    100 ms and more, the largest gap between ticks would be as long as the call.
    """
    ticks = []
    stop = threading.Event()

    def ticker():
        while not stop.is_set():
            ticks.append(time.perf_counter())
            time.sleep(0.002)

    volume = phantom_map(0, 64, 2.0)
    turns = np.ascontiguousarray(eman_to_matrix(np.random.default_rng(0).uniform(0, 90, (60, 3))))
    call = {"method": "standard"}  # real-space rays: slow, and one call of the kernel
    mapsort.project(volume, turns[:1], **call)
    thread = threading.Thread(target=ticker)
    thread.start()
    began = time.perf_counter()
    while time.perf_counter() - began < 0.2:
        mapsort.project(volume, turns, **call)
        ended = time.perf_counter()
        if ended - began > 0.05:
            break
    stop.set()
    thread.join()
    inside = [tick for tick in ticks if began < tick < ended]
    # One tick in 20 ms is far fewer than there are, and far more than a held lock would allow.
    assert len(inside) >= max(2, (ended - began) / 0.02)


def test_the_kernels_declare_that_they_need_no_lock():
    """On a free-threaded Python, importing them must not switch the lock back on."""
    import sys

    if not hasattr(sys, "_is_gil_enabled") or sys._is_gil_enabled():
        pytest.skip("this Python has its global lock")
    assert _core.isa
    assert not sys._is_gil_enabled()
