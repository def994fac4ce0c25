"""Rounds of all particles are repeated as long as particles that are kept out gain by them."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from tests.stages.abinit.test_rounds import BOX, particles_of, standing_at_truth

from mapsort.stages.abinit import search
from mapsort.stages.abinit.rounds import begun, judged, of_all
from mapsort.stages.abinit.schedule import Stage
from mapsort.stages.abinit.search import MOST_REPEATS, _RoundsOfAll

STAGE = Stage.at(7, BOX)


@pytest.fixture(scope="module")
def problem():
    return particles_of([1], noise=1.0)[0]


@pytest.fixture
def rounds(problem):
    """Return rounds, and a list of the names of those that they make."""
    made = []

    def kept(_number, name, _kind, make):
        made.append(name)
        return make()

    return _RoundsOfAll(problem, kept, lambda *_: None, lambda _: None), made


def after(problem, standing):
    return of_all(problem, standing, None, STAGE, lambda _: None)


def likelihood(problem, standing):
    return judged(problem, standing).particle.mean()


def test_views_that_are_right_are_not_sought_again(problem, rounds):
    before = standing_at_truth(problem, [1], STAGE)
    for _ in range(5):
        before = after(problem, before).standing
    here = after(problem, before)
    assert rounds[0].settled(7, STAGE, before, here) is here
    assert rounds[1] == []


def test_rounds_go_on_until_they_are_no_gain(problem, rounds):
    """From the true map blurred by a wrong one."""
    right = standing_at_truth(problem, [1], STAGE)
    wrong = begun(problem, STAGE, 5).maps
    before = replace(right, maps=0.5 * right.maps + wrong, sums=begun(problem, STAGE, 0).sums)
    first = after(problem, before)
    found = rounds[0].settled(7, STAGE, before, first)
    count = len(rounds[1])
    assert rounds[1] == [f"allagain{repeat}" for repeat in range(1, count + 1)]
    assert 1 <= count <= MOST_REPEATS
    assert likelihood(problem, found.standing) > likelihood(problem, first.standing) + 0.1


@pytest.mark.parametrize(
    ("rise", "rounds_more"), [((0.0, 0.2), 1), ((0.2, 0.0), 1), ((0.0, 0.0), 0)]
)
def test_one_map_that_gains_is_enough(problem, rounds, monkeypatch, rise, rounds_more):
    """Of 300 particles 20 are of the second map: over all of them its gain is too little."""
    own = np.repeat([0, 1], [280, 20])
    gains = iter([np.array(rise)[own], np.zeros(len(own))])

    def compared(_problem, _standings):
        judged = [
            SimpleNamespace(likelihood=gain, best=SimpleNamespace(likeliest=(own,)))
            for gain in (np.zeros(len(own)), next(gains))
        ]
        return {
            name: SimpleNamespace(judged=one)
            for name, one in zip(("before", "after"), judged, strict=True)
        }

    monkeypatch.setattr(search, "_compared", compared)
    two = replace(rounds[0], problem=replace(problem, n_models=2))
    monkeypatch.setattr(
        type(two),
        "placed",
        lambda *args: rounds[1].append(args[3]) or SimpleNamespace(standing=None),
    )
    two.settled(7, STAGE, None, SimpleNamespace(standing=None))
    assert len(rounds[1]) == rounds_more
