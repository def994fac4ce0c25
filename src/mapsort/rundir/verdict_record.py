"""``verdict.json``: what to believe of a run that has ended, and what to do next."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from mapsort.rundir.layout import RunDirectory
from mapsort.rundir.result_record import frozen
from mapsort.rundir.text import read_json, write_json

SUPPORTED, NOT_SUPPORTED, UNDECIDED = "supported", "not supported", "undecided"


@dataclass(frozen=True)
class ShellGain:
    """What a resolution shell adds to a split's gain, once those of less resolution were seen."""

    resolution_ang: float
    #: For a particle that nothing was made of; and its standard error.
    gain_nats: float
    error_nats: float


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
    p_value : float or None
        How probable it is that random classes of the same sizes explain the judges as well.
    shells : tuple of ShellGain
        The gain by resolution, from the lowest; they add up to it.
    """

    verdict: str
    reason: str
    gain_nats: float | None = None
    error_nats: float | None = None
    judges: int = 0
    association: float | None = None
    p_value: float | None = None
    shells: tuple[ShellGain, ...] = ()

    @classmethod
    def read(cls, content: dict[str, Any]) -> Split:
        """Return what verdict.json holds of a split."""
        shells = tuple(ShellGain(**item) for item in content.get("shells", ()))
        return cls(**content | {"shells": shells})

    @property
    def reach(self) -> str:
        """The resolution at which the classes differ, in a sentence; of a gain above 0."""
        gains = np.cumsum([shell.gain_nats for shell in self.shells])
        half, most = (
            self.shells[int(np.argmax(gains >= part * gains[-1]))].resolution_ang
            for part in (0.5, 0.9)
        )
        return f"half of the gain comes from shells down to {half:.0f} A, 90% down to {most:.0f} A"


@dataclass(frozen=True)
class PopulationRecord:
    """How many particles each class holds, counted in four ways; classes from 1, junk apart."""

    #: Numbers of the maps that hold particles.
    maps: tuple[int, ...]
    #: Particles by their most probable class.
    counts: tuple[int, ...]
    posterior_sums: tuple[float, ...]
    #: shares and errors: maximum-likelihood shares, and their standard errors.
    shares: tuple[float, ...]
    errors: tuple[float, ...]
    #: Shares of the counts, corrected by the confusion matrix.
    corrected: tuple[float, ...]
    #: Probability that a particle of one class (row) is put into another (column).
    confusion: tuple[tuple[float, ...], ...]
    #: What log likelihoods were divided by, so that posteriors are not too sure.
    temperature: float
    #: Highest posterior, how many of those were right, part of the particles; of particles drawn
    #: from the maps.
    reliability: tuple[tuple[float, ...], ...]
    #: Expected, of these.
    calibration_error: float

    @property
    def words(self) -> str:
        """The shares with their errors."""
        told = (
            f"map {number} {share:.1%} ± {error:.1%}"
            for number, share, error in zip(self.maps, self.shares, self.errors, strict=True)
        )
        return f"populations: {', '.join(told)}"


@dataclass(frozen=True)
class Cause:
    """How classes go with a property of the particles."""

    #: name and measure: the property; ``eta squared`` of numbers, ``Cramer's V`` of kinds.
    name: str
    measure: str
    #: effect and p_value: the measure, and the chance of the test, corrected for the number of
    #: tests.
    effect: float
    p_value: float
    #: Whether it is beyond chance, and large enough to be told.
    large: bool

    @property
    def words(self) -> str:
        """What was found, in a sentence."""
        return f"classes go with {self.name} ({self.measure} {self.effect:.2f})"


@dataclass(frozen=True)
class RegionVerdict:
    """The verdict on the classes of one of several focus regions."""

    number: int
    #: File of the region.
    mask: str
    #: None where one class was found.
    split: Split | None

    @classmethod
    def read(cls, content: dict[str, Any]) -> RegionVerdict:
        """Return what verdict.json holds of a region."""
        split = content["split"]
        return cls(**content | {"split": None if split is None else Split.read(split)})

    @property
    def words(self) -> str:
        """The verdict in a sentence."""
        split = self.split
        told = "one class" if split is None else f"split {split.verdict}: {split.reason}"
        return f"region {self.number} ({self.mask}): {told}"


@dataclass(frozen=True)
class Verdict:
    """What to believe of a run, and what to do next."""

    iteration: int
    converged: bool
    #: Why the run ended.
    end: str
    #: None of one map.
    split: Split | None
    #: None where the split could not be judged.
    populations: PopulationRecord | None
    #: What classes were tested against; empty of one class.
    causes: tuple[Cause, ...]
    #: doubts and next_steps: sentences.
    doubts: tuple[str, ...]
    next_steps: tuple[str, ...]
    #: The same of the data's twin with one structure; None where ``--control`` was not asked for.
    control: Split | None = None
    #: File of the region outside of which classes are not told apart.
    mask: str | None = None
    #: Of several regions: each has a run, and a verdict, of its own.
    regions: tuple[RegionVerdict, ...] = ()

    @property
    def words(self) -> tuple[str, ...]:
        """The verdict in sentences, the split first."""
        split = self.split
        told = [region.words for region in self.regions]
        if split is not None:
            where = "" if self.mask is None else f" inside {self.mask}"
            told.append(f"split {split.verdict}{where}: {split.reason}")
        if self.control is not None:
            twin = self.control
            told.append(f"control, one structure: split {twin.verdict}: {twin.reason}")
        if self.populations is not None and split is not None and split.verdict == SUPPORTED:
            told.append(self.populations.words)
        # Runs of earlier versions have no gain by shell.
        if split is not None and split.verdict == SUPPORTED and split.shells:
            told.append(split.reach)
        told += [item.words for item in self.causes if item.large]
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
    content = frozen(read_json(directory.verdict))
    del content["words"]
    kinds: dict[str, Callable[[dict[str, Any]], Split | PopulationRecord]] = {
        "split": Split.read,
        "populations": lambda item: PopulationRecord(**item),
        "control": Split.read,
    }
    parts = {
        name: None if content.get(name) is None else kind(content[name])
        for name, kind in kinds.items()
    }
    lists = {
        "causes": tuple(Cause(**item) for item in content["causes"]),
        "regions": tuple(map(RegionVerdict.read, content.get("regions", ()))),
    }
    made = Verdict(**content | parts | lists)
    return made if made.iteration == iteration else None
