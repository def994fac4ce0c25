"""``--starts``: the likeliest of several random starts goes on, and the same one every time."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest

import mapsort
from mapsort.errors import NumericalError
from mapsort.jobs import starts as multi_starts
from mapsort.jobs.multi import refine_multi
from mapsort.jobs.starts import likelihood
from mapsort.options.fields import typed_options
from mapsort.options.multi import MultiOptions
from mapsort.refinement.starting_maps import of_start
from mapsort.refinement.state import State

LINE = re.compile(r"start (\d) of (\d): log-likelihood (-?[\d.]+) per particle")


@pytest.fixture
def run_from_one(tiny, tmp_path):
    def run(name, **options):
        quick = {"iter": 1, "orientgen": "eman:delta=60", "randomseed": 3, "no_report": True}
        return refine_multi(
            tiny.particles,
            (),
            model=tiny.seeds[0],
            parallel="thread:1",
            path=tmp_path / name,
            **(quick | options),
        )

    return run


def tried(run):
    """Return number and log-likelihood of each start, and the number of the one chosen."""
    log = (run.path / "run.log").read_text()
    found = {int(n): float(value) for n, _, value in LINE.findall(log)}
    return found, int(re.search(r"start (\d) of \d is the likeliest", log)[1])


def test_the_likeliest_start_goes_on_and_the_choice_repeats(run_from_one):
    # Random splits: the maps are the same until the second iteration.
    first, again = (
        run_from_one(name, starts=2, seedmethod="randclassify", iter=2) for name in ("a", "b")
    )
    found, chosen = tried(first)
    assert sorted(found) == [1, 2]
    assert found[1] != found[2]
    assert chosen == max(found, key=found.get)
    assert tried(again) == (found, chosen)
    pd.testing.assert_frame_equal(first.assignments, again.assignments)


def test_each_start_has_other_maps(tiny):
    one = mapsort.Volume.open(tiny.maps[0]).data
    options = typed_options(
        MultiOptions,
        {"input": "p", "model": "m", "seedmethod": "noise", "starts": 2, "randomseed": 5},
    ).validated()
    given = of_start(options, (one, one), one, 8.0, 0)
    assert given == (one, one)
    second, third = (of_start(options, given, one, 8.0, number) for number in (1, 2))
    assert len(second) == 2
    for a, b in ((second[0], second[1]), (second[0], third[0]), (second[0], one)):
        assert not np.array_equal(a, b)
    # Maps that the user gave differ by noise only.
    noisy = of_start(options, (one, 2 * one), None, 4.0, 1)
    for volume, original in zip(noisy, (one, 2 * one), strict=True):
        assert 0.98 < np.corrcoef(volume.ravel(), original.ravel())[0, 1] < 0.9999


def test_less_residual_is_likelier_by_the_gaussian_formula():
    box = 16
    power = np.full(box // 2 + 1, 4.0)
    flat = State(1, (), power, None)
    better = State(1, (), 0.5 * power, None)
    # Half the power in each of the terms within the Nyquist radius: ln 2 for every two of them.
    terms = np.hypot(*np.mgrid[-7:8, -7:8])
    expected = 0.5 * np.log(2) * (terms <= box // 2).sum()
    assert likelihood(better, box) - likelihood(flat, box) == pytest.approx(expected)


def test_a_start_that_fails_is_left_out_and_all_failing_ends_the_run(run_from_one, monkeypatch):
    whole, calls = multi_starts.prepare_seeds, []

    def failing(bad):
        def prepare(run, power):
            calls.append(run.trial)
            if run.trial in bad:
                raise NumericalError("no such luck")
            return whole(run, power)

        return prepare

    monkeypatch.setattr(multi_starts, "prepare_seeds", failing({0}))
    run = run_from_one("a", seedmethod="noise", starts=2)
    assert tried(run)[1] == 2
    assert "start 1 of 2: no such luck" in (run.path / "run.log").read_text()
    monkeypatch.setattr(multi_starts, "prepare_seeds", failing({0, 1}))
    with pytest.raises(NumericalError, match="--starts=2: none of the starts"):
        run_from_one("b", seedmethod="noise", starts=2)
    assert calls == [0, 1, 1, 0, 1]  # the likeliest is prepared once more
