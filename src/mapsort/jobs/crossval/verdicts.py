"""What a cross-validation has found, and the verdict on it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mapsort.jobs.crossval.exchange import SetReturn
from mapsort.jobs.crossval.validation import HeldOutPair

SUPPORTED, NOT_SUPPORTED = "supported", "not supported"


@dataclass(frozen=True)
class PairVerdict:
    """The verdict on two maps of a run.

    Attributes
    ----------
    maps : tuple of int
        Their numbers, from 1.
    returns : tuple of SetReturn
        Each set refined from the other's map; empty where a set is too small.
    held_out : HeldOutPair or None
        What particles say that the maps were not made of; None where a map has too few.
    """

    maps: tuple[int, int]
    returns: tuple[SetReturn, ...]
    held_out: HeldOutPair | None

    @property
    def supported(self) -> bool:
        """Whether the maps predict particles unseen, and the sets return to their maps.

        A refinement from a distant map may stop half-way, which is no evidence: one of the two
        must return, and none may stay where it began.
        """
        return (
            self.held_out is not None
            and self.held_out.predicts
            and any(item.returns for item in self.returns)
            and not any(item.stays for item in self.returns)
        )

    @property
    def words(self) -> str:
        """The verdict in a sentence."""
        a, b = self.maps
        name = f"maps {a} and {b}: {SUPPORTED if self.supported else NOT_SUPPORTED}"
        if len(self.returns) < 2 or self.held_out is None:
            return f"{name}; a set is too small to be refined or judged by itself"
        returned = ", ".join(f"{item.name} {item.words}" for item in self.returns)
        gain = self.held_out
        predicted = (
            "particles that were not used are explained better by two maps"
            if gain.predicts
            else "particles that were not used are explained no better by two maps than by one"
        )
        return (
            f"{name}; {returned}; {predicted} "
            f"({gain.gain_nats:+.2f} ± {gain.error_nats:.2f} nat each)"
        )


@dataclass(frozen=True)
class Crossval:
    """A finished cross-validation.

    Attributes
    ----------
    path : Path
        ``RUN/crossval``: single refinements, ``crossval.json`` and ``crossval.txt``.
    iteration : int
        Iteration of the run whose sets and maps were used.
    pairs : tuple of PairVerdict
    """

    path: Path
    iteration: int
    pairs: tuple[PairVerdict, ...]

    @property
    def supported(self) -> bool:
        """Whether every two maps of the run are two structures."""
        return bool(self.pairs) and all(pair.supported for pair in self.pairs)

    @property
    def verdict(self) -> str:
        """``supported`` or ``not supported``."""
        return SUPPORTED if self.supported else NOT_SUPPORTED
