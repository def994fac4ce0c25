"""``verdict.json``: what to believe of a run that has ended, and what to do next."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from mapsort.rundir.layout import RunDirectory
from mapsort.rundir.text import read_json, write_json

SUPPORTED, NOT_SUPPORTED, UNDECIDED = "supported", "not supported", "undecided"


@dataclass(frozen=True)
class Split:
    """Whether a classification's classes are structures.

    Attributes
    ----------
    verdict : str
        ``supported``, ``not supported`` or ``undecided``.
    reason : str
        Why, in a sentence.
    gain_nats, error_nats : float or None
        What several classes gain over one for a particle that nothing was made of, and its standard
        error.
    judges : int
        Particles that were spared.
    association : float or None
        Cramer's V between the run's classes and those that the judges are in.
    """

    verdict: str
    reason: str
    gain_nats: float | None = None
    error_nats: float | None = None
    judges: int = 0
    association: float | None = None


@dataclass(frozen=True)
class Verdict:
    """What to believe of a run, and what to do next.

    Attributes
    ----------
    iteration : int
    converged : bool
    end : str
        Why the run ended.
    split : Split or None
        None of one map.
    doubts, next_steps : tuple of str
        Sentences.
    """

    iteration: int
    converged: bool
    end: str
    split: Split | None
    doubts: tuple[str, ...]
    next_steps: tuple[str, ...]

    @property
    def words(self) -> tuple[str, ...]:
        """The verdict in sentences, the split first."""
        split = self.split
        told = () if split is None else (f"split {split.verdict}: {split.reason}",)
        return (*told, self.end, *self.doubts)

    @property
    def lines(self) -> tuple[str, ...]:
        """The verdict and what to do next, a line each."""
        return (*self.words, *(f"next: {step}" for step in self.next_steps))


def write_verdict(directory: RunDirectory, made: Verdict) -> None:
    """Write verdict.json."""
    write_json(directory.verdict, asdict(made) | {"words": made.words})


def read_verdict(directory: RunDirectory, iteration: int) -> Verdict | None:
    """Return the verdict on a run as its iteration left it, if there is one."""
    if not directory.verdict.exists():
        return None
    content = read_json(directory.verdict)
    del content["words"]
    split = content.pop("split")
    for name in ("doubts", "next_steps"):
        content[name] = tuple(content[name])
    made = Verdict(split=None if split is None else Split(**split), **content)
    return made if made.iteration == iteration else None
