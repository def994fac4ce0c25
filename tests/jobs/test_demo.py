"""Scoring: the best labelling of classes."""

from __future__ import annotations

import json
from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mapsort.cli.main import main
from mapsort.jobs.demo import best_labelling, demo
from mapsort.options.simulate import SimulateOptions
from mapsort.options.small import DemoOptions


@given(st.permutations(range(4)), st.lists(st.integers(0, 3), min_size=1, max_size=50))
def test_names_of_classes_do_not_matter(order, true):
    found = [order[c] for c in true]
    accuracy, labels = best_labelling(found, true, 4)
    assert accuracy == 1.0
    assert all(labels[f] == t for f, t in zip(found, true, strict=True))


def test_mistakes_count():
    accuracy, labels = best_labelling([1, 1, 1, 0, 0], [0, 0, 1, 1, 1], 2)
    assert (accuracy, labels) == (0.8, [1, 0])


def test_chance_level():
    rng = np.random.default_rng(0)
    accuracy, _ = best_labelling(rng.integers(0, 2, 10000), rng.integers(0, 2, 10000), 2)
    assert 0.5 <= accuracy < 0.53


def test_it_ends_with_a_report_and_what_to_believe(tmp_path, monkeypatch, capsys):
    little = partial(SimulateOptions, box=20, apix=6.4)
    monkeypatch.setattr("mapsort.jobs.demo.SimulateOptions", little)
    words = ["demo", "--path", str(tmp_path), "--n", "60", "--iter", "1", "-P", "thread:1"]
    assert main(words) == 0
    said = capsys.readouterr().out
    report = tmp_path / "multi_00" / "report" / "index.html"
    assert f"{report}  report: open it in a browser" in said
    verdict = json.loads((tmp_path / "multi_00" / "verdict.json").read_text())
    reason = verdict["split"]["reason"]
    assert reason in said
    assert reason in report.read_text()


def test_it_may_be_run_again_in_one_place(tmp_path, monkeypatch):
    little = partial(SimulateOptions, box=20, apix=6.4)
    monkeypatch.setattr("mapsort.jobs.demo.SimulateOptions", little)
    options = DemoOptions(path=tmp_path, n=60, iter=1, parallel="thread:1")
    first, second = demo(options), demo(options)
    assert {path.name for path in tmp_path.glob("multi_*")} == {"multi_00", "multi_01"}
    assert first.accuracy == second.accuracy


@pytest.mark.slow
def test_without_starting_maps_the_score_is_told_in_the_frame_that_was_found(tmp_path, monkeypatch):
    """Coarse as they are, both maps are those of a molecule of 70 A, not of another hand."""
    little = partial(SimulateOptions, box=24, apix=5.3, snr=1.0)
    monkeypatch.setattr("mapsort.jobs.demo.SimulateOptions", little)
    found = demo(DemoOptions(path=tmp_path, n=200, iter=1, parallel="thread:1", abinit=True))
    assert max(found.resolutions_ang) < 35.0
