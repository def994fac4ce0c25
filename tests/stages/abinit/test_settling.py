"""Rounds of all particles are repeated as long as particles that are kept out gain by them."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.stages.abinit.test_rounds import BOX, particles_of, standing_at_truth

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
