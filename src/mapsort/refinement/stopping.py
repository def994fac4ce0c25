"""When a run has converged."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mapsort.options.types import MOST_ITERATIONS
from mapsort.rundir.wording import counted

#: What an iteration may still change and count as standing still: fraction of particles that
#: changed class, change of an occupancy, and relative change of a map's resolution.
CHANGED, SHARE, RESOLUTION = 0.005, 0.01, 0.03
#: Iterations in a row that must stand still.
STILL = 2


def reason_to_stop(
    entries: Sequence[dict[str, Any]],
    asked: int | None,
    *,
    ends_soft: bool = False,
    since: int = 0,
) -> str | None:
    """Return why a run is over, or None while it goes on.

    Parameters
    ----------
    entries : sequence of dict
        Records of convergence.json, one per iteration.
    asked : int or None
        Number of iterations asked for; None for as many as it takes.
    ends_soft : bool
        Whether only iterations count that shared particles by their probabilities.
    since : int
        Number of first iterations that say nothing of convergence: the search has changed since.
    """
    if asked is not None:
        return None if len(entries) < asked else f"ended: {counted(asked, 'iteration')} asked for"
    entries = entries[since:]
    if len(entries) > 1 and (ended := entries[-2].get("last_word_after")):
        return f"{ended}; then each was judged by maps made without it"
    if len(entries) >= MOST_ITERATIONS:
        return f"ended after {MOST_ITERATIONS} iterations, without having converged"
    if len(entries) <= STILL or (ends_soft and not all(e["soft_since"] for e in entries[-STILL:])):
        return None
    pairs = list(zip(entries[-STILL - 1 : -1], entries[-STILL:], strict=True))
    if not all(_stands_still(before, after) for before, after in pairs):
        return None
    changed = max(float(after["fraction_changed_map"]) for _, after in pairs)
    return (
        f"converged: in {STILL} iterations at most {changed:.2%} of the particles changed class, "
        f"no occupancy by more than {SHARE:.0%}, no resolution by more than "
        f"{RESOLUTION:.0%}"
    )


def _stands_still(before: dict[str, Any], after: dict[str, Any]) -> bool:
    total = max(sum(after["occupancy"]), 1)
    shares = (
        abs(now - then) / total
        for now, then in zip(after["occupancy"], before["occupancy"], strict=True)
    )
    resolutions = (
        abs(now["resolution_fsc_0143_ang"] / then["resolution_fsc_0143_ang"] - 1)
        for now, then in zip(after["maps"], before["maps"], strict=True)
    )
    changed = after["fraction_changed_map"]
    return (
        changed is not None
        and changed <= CHANGED
        and max(shares) <= SHARE
        and max(resolutions) <= RESOLUTION
    )


#: What a single-map refinement's resolution must gain for it to go on, relative.
GAIN = 0.01


def reason_to_stop_single(
    entries: Sequence[dict[str, Any]], asked: int | None, *, since: int = 0
) -> str | None:
    """Return why a single-map refinement is over, or None while it goes on.

    Parameters
    ----------
    entries : sequence of dict
        Records of convergence.json, one per iteration.
    asked : int or None
        Number of iterations asked for; None for as many as it takes: until two in a row, searched
        about the last poses, have not brought the resolution beyond what was there before.
    since : int
        As of `reason_to_stop`.
    """
    if asked is not None:
        return None if len(entries) < asked else f"ended: {counted(asked, 'iteration')} asked for"
    entries = entries[since:]
    if len(entries) >= MOST_ITERATIONS:
        return f"ended after {MOST_ITERATIONS} iterations, without having converged"
    if len(entries) <= STILL or any(e["angular_step_deg"] is not None for e in entries[-STILL:]):
        return None
    reached = [float(entry["maps"][0]["resolution_fsc_0143_ang"]) for entry in entries]
    if min(reached[-STILL:]) < (1.0 - GAIN) * min(reached[:-STILL]):
        return None
    return (
        f"converged: {STILL} iterations about the last poses have not gained {GAIN:.0%} of "
        f"resolution over {min(reached[:-STILL]):.2f} A"
    )
