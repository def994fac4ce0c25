"""When particles go to their best match, and when to several by their probabilities."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mapsort.model.matches import Matches
from mapsort.model.references import References
from mapsort.options.multi import MultiOptions
from mapsort.options.types import Assignment
from mapsort.refinement.classification import (
    PATIENCE,
    SETTLED,
    ends_soft,
    first_soft_iteration,
    why_hard,
)

REFERENCES = References.of_models([np.zeros((3, 3)), np.zeros((2, 3))])
N = 200


def asked(**changes):
    return MultiOptions(input=Path("p.star"), models=(Path("a.mrc"), Path("b.mrc")), **changes)


def matches(n_in_second):
    """Matches of N particles, the first so many of them with map 2."""
    reference = np.zeros((N, 1), np.int32)
    reference[:n_in_second] = 3
    zeros = np.zeros((N, 1), np.float32)
    return Matches(reference, zeros, zeros, zeros, zeros, zeros, np.zeros((N, 1), np.int32))


def since(options, moved, *, iteration=3, earlier=0):
    before = None if moved is None else matches(100)
    now = matches(100 if moved is None else 100 + moved)
    return first_soft_iteration(
        options, REFERENCES, before, now, iteration=iteration, since=earlier
    )


def test_best_matches_count_until_few_particles_change_map():
    few = int(SETTLED * N)
    assert since(asked(), None, iteration=1) == 0
    assert since(asked(), few + 1) == 0
    assert since(asked(), few) == 3


def test_there_is_no_way_back():
    assert since(asked(), 90, iteration=5, earlier=3) == 3


def test_particles_that_never_settle_are_not_waited_for():
    assert since(asked(), 90, iteration=PATIENCE) == 0
    assert since(asked(), 90, iteration=PATIENCE + 1) == PATIENCE + 1


def test_a_way_that_was_asked_for_is_kept():
    hard, soft = asked(assign=Assignment.HARD), asked(assign=Assignment.SOFT)
    assert since(hard, 0) == 0
    assert since(soft, None, iteration=1) == 1
    assert [ends_soft(options) for options in (hard, soft, asked())] == [False, True, True]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"simcmp": "ccc"}, "--simcmp ccc"),
        ({"simcmp": "phase"}, "--simcmp phase"),
        ({"prefilt": True}, "filtered particles"),
        ({"sep": 2}, "--sep 2"),
        ({"classaverager": "median"}, "--classaverager median"),
        ({"classiter": 2}, "aligned with their class"),
    ],
)
def test_options_without_probabilities_keep_best_matches(changes, words):
    options = asked(**changes)
    assert words in why_hard(options)
    assert not ends_soft(options)
    assert since(options, 0) == 0
