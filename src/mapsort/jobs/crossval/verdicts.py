"""What a cross-validation has found, and the verdict on it: for programs, people, the report."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

from mapsort.jobs.crossval.exchange import SetReturn
from mapsort.jobs.crossval.validation import HeldOutPair
from mapsort.rundir.atomic import write_text
from mapsort.rundir.result_record import ResultMatrix, ResultRecord, ResultTable
from mapsort.rundir.text import write_json

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


def write_crossval(result: Crossval) -> None:
    """Write crossval.json and crossval.txt."""
    content = {
        "verdict": result.verdict,
        "iteration": result.iteration,
        "pairs": [
            {
                "maps": pair.maps,
                "supported": pair.supported,
                "words": pair.words,
                "returns": [
                    asdict(item) | {"path": str(item.path), "outcome": item.words}
                    for item in pair.returns
                ],
                "held_out": None
                if pair.held_out is None
                else asdict(pair.held_out) | {"predicts": pair.held_out.predicts},
            }
            for pair in result.pairs
        ],
    }
    write_json(result.path / "crossval.json", content)
    head = "set\tfrom map\tresolution_A\tfsc_own\tfsc_start\tlikeness_own\tlikeness_start\t"
    lines = [f"# {result.verdict}", *(f"# {pair.words}" for pair in result.pairs)]
    lines.append(head + "margin\tmargin_error\toutcome")
    lines += [
        f"{item.number}\t{item.start}\t{item.resolution_ang:.2f}\t{item.fsc_own:.4f}\t"
        f"{item.fsc_start:.4f}\t{item.likeness_own:.4f}\t{item.likeness_start:.4f}\t"
        f"{item.margin:.4f}\t{item.margin_error:.4f}\t{item.words}"
        for pair in result.pairs
        for item in pair.returns
    ]
    write_text(result.path / "crossval.txt", "\n".join(lines) + "\n")


def crossval_record(result: Crossval) -> ResultRecord:
    """Return it as the report shows it: verdict, tables, heat map."""
    returned = [item for pair in result.pairs for item in pair.returns]
    judged = [pair.held_out for pair in result.pairs if pair.held_out is not None]
    return ResultRecord(
        title="Cross-validation",
        summary=(
            f"The split is {result.verdict}.",
            *(f"{pair.words[0].upper()}{pair.words[1:]}." for pair in result.pairs),
            "Returning alone proves nothing: particles chosen by their noise carry it back. "
            "Whether a split is real is judged by particles that had no part in it.",
        ),
        tables=(
            ResultTable.of(
                "Sets refined from each other's maps",
                returned,
                {
                    "refinement": lambda item: item.name,
                    "FSC 0.143 [Å]": lambda item: item.resolution_ang,
                    "likeness to own map": lambda item: item.likeness_own,
                    "likeness to starting map": lambda item: item.likeness_start,
                    "margin": lambda item: item.margin,
                    "its error": lambda item: item.margin_error,
                    "outcome": lambda item: item.words,
                },
            ),
            ResultTable.of(
                "Particles that were not used",
                judged,
                {
                    "maps": lambda pair: f"{pair.maps[0]} and {pair.maps[1]}",
                    "particles": lambda pair: pair.n_particles,
                    "gain of two maps [nat]": lambda pair: pair.gain_nats,
                    "its error": lambda pair: pair.error_nats,
                    "better by two": lambda pair: "yes" if pair.predicts else "no",
                },
            ),
        ),
        matrices=(_matrix(result, returned),) if returned else (),
    )


def _matrix(result: Crossval, returned: list[SetReturn]) -> ResultMatrix:
    """Return likenesses: rows are refinements, columns the maps of the sets."""
    numbers = sorted({number for pair in result.pairs for number in pair.maps})
    cells = [{r.number: r.likeness_own, r.start: r.likeness_start} for r in returned]
    return ResultMatrix(
        "Likeness of refined sets to the sets' maps",
        tuple(item.name for item in returned),
        tuple(f"map {number}" for number in numbers),
        tuple(tuple(row.get(number) for number in numbers) for row in cells),
    )
