"""When a run with ``--iter auto`` is over."""

from __future__ import annotations

import pytest

from mapsort.refinement.stopping import reason_to_stop


def entry(occupancy=(500, 500), changed=0.0, resolution=(8.0, 9.0)):
    return {
        "occupancy": list(occupancy),
        "fraction_changed_map": changed,
        "maps": [{"resolution_fsc_0143_ang": value} for value in resolution],
    }


STILL = [entry(changed=None), entry(), entry()]


def test_two_iterations_that_stand_still_end_a_run():
    reason = reason_to_stop(STILL, None)
    assert reason is not None
    assert reason.startswith("converged: in 2 iterations at most 0.00%")


@pytest.mark.parametrize("n", [1, 2])
def test_the_first_iterations_never_do(n):
    assert reason_to_stop(STILL[:n], None) is None


@pytest.mark.parametrize("place", [1, 2])
@pytest.mark.parametrize(
    "moving",
    [
        entry(changed=0.006),
        entry(occupancy=(530, 470)),
        entry(resolution=(8.0, 8.0)),
    ],
    ids=["assignments", "shares", "resolution"],
)
def test_whatever_moves_keeps_it_going(place, moving):
    entries = list(STILL)
    entries[place] = moving
    assert reason_to_stop(entries, None) is None


def test_a_map_without_resolution_is_no_reason_to_fail():
    assert reason_to_stop([entry(), entry(), entry(changed=0.004)], None) is not None


@pytest.mark.parametrize(("asked", "over"), [(3, True), (2, True), (4, False)])
def test_a_number_of_iterations_is_kept_to(asked, over):
    """Whether anything moves or not."""
    assert (reason_to_stop(STILL, asked) is not None) == over


@pytest.mark.parametrize(
    ("since", "over"), [((0, 0, 0), False), ((0, 0, 3), False), ((0, 2, 2), True)]
)
def test_a_run_that_is_to_end_soft_does(since, over):
    """Iterations with best matches may stand still: those that count are still to come."""
    entries = [item | {"soft_since": first} for item, first in zip(STILL, since, strict=True)]
    assert (reason_to_stop(entries, None, ends_soft=True) is not None) == over
    assert reason_to_stop(entries, None) is not None


def test_there_is_a_last_iteration():
    moving = [entry(changed=0.5)] * 25
    assert "without having converged" in reason_to_stop(moving, None)
    assert reason_to_stop(moving[:24], None) is None
