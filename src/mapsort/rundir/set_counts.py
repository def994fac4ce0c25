"""How many particles each set of an iteration holds, counted in the ways that differ."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

#: What the three ways of counting a map's particles are called wherever they stand side by side.
HARD, POSTERIOR, USED = "best match", "sum of posteriors", "used"
#: How they differ, in a sentence.
COUNTING = (
    "Best match: every particle counts once, for the map that it matches best, or as junk. Sum of "
    "posteriors: every particle counts for each map by its probability. Used: particles that "
    "enter the map with any weight; one particle may enter several maps."
)


def junk_name(kind: int) -> str:
    """Return the name of a set of junk, ``kind`` from 1: ``junk``, ``junk2`` and so on."""
    return "junk" if kind == 1 else f"junk{kind}"


def percentages(counts: Sequence[float], *, digits: int = 1) -> list[float]:
    """Return shares [%] rounded so that they add up to 100; zeros if there is nothing to share.

    Parameters
    ----------
    counts : sequence of float
        Of every set, none left out.
    digits : int
        Decimals of the percentages.
    """
    total, unit = sum(counts), 10**digits
    if total <= 0:
        return [0.0] * len(counts)
    exact = [100 * unit * count / total for count in counts]
    whole = [math.floor(value) for value in exact]
    short = 100 * unit - sum(whole)
    # What is left goes to those that lose most by rounding down.
    order = sorted(range(len(exact)), key=lambda i: whole[i] - exact[i])
    for place in order[:short]:
        whole[place] += 1
    return [value / unit for value in whole]


@dataclass(frozen=True)
class SetCounts:
    """The particles of an iteration by set: every one in exactly one map or set of junk."""

    #: Particles whose best match is with each map.
    maps: tuple[int, ...]
    #: Particles of each set of junk; empty where junk was not asked for.
    junk: tuple[int, ...] = ()
    #: Each map's sum of posterior probabilities; None in records of earlier versions.
    posterior: tuple[float, ...] | None = None
    #: Particles that enter each map with any weight.
    used: tuple[int, ...] | None = None

    @classmethod
    def of_entry(cls, entry: Mapping[str, Any]) -> SetCounts:
        """Return the counts of one iteration's record in convergence.json."""
        junk = entry.get("junk_sets")
        if junk is None:
            # Not asked for, or written by a version that counted all junk together.
            total = entry.get("junk")
            junk = [] if total is None else [total]
        posterior, used = entry.get("posterior_sums"), entry.get("particles_used")
        return cls(
            tuple(int(n) for n in entry["occupancy"]),
            tuple(int(n) for n in junk),
            None if posterior is None else tuple(float(n) for n in posterior),
            None if used is None else tuple(int(n) for n in used),
        )

    @property
    def names(self) -> tuple[str, ...]:
        """``map 1`` and so on, then those of junk."""
        maps = (f"map {number}" for number in range(1, len(self.maps) + 1))
        return (*maps, *self.junk_names)

    @property
    def junk_names(self) -> tuple[str, ...]:
        """Names of the sets of junk."""
        return tuple(junk_name(kind) for kind in range(1, len(self.junk) + 1))

    @property
    def all(self) -> tuple[int, ...]:
        """Particles of each map, then of each set of junk."""
        return (*self.maps, *self.junk)

    @property
    def total(self) -> int:
        """All particles."""
        return sum(self.all)

    @property
    def shares(self) -> list[float]:
        """Share of each set in all particles [%], adding up to 100."""
        return percentages(self.all)

    def written(self) -> str:
        """Return the counts in one line: ``490/292/218, junk 80/20``."""
        text = "/".join(map(str, self.maps))
        return f"{text}, junk {'/'.join(map(str, self.junk))}" if self.junk else text
