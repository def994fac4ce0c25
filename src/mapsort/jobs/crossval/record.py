"""Write what a cross-validation has found: for programs, for people, for the report."""

from __future__ import annotations

from dataclasses import asdict

from mapsort.jobs.crossval.exchange import SetReturn
from mapsort.jobs.crossval.verdicts import Crossval
from mapsort.rundir.atomic import write_text
from mapsort.rundir.result_record import ResultMatrix, ResultRecord, ResultTable
from mapsort.rundir.text import write_json


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
    rows = tuple(
        (
            f"set {item.number} from map {item.start}",
            item.resolution_ang,
            item.likeness_own,
            item.likeness_start,
            item.margin,
            item.margin_error,
            item.words,
        )
        for item in returned
    )
    judged = tuple(
        (
            f"{pair.maps[0]} and {pair.maps[1]}",
            pair.held_out.n_particles,
            pair.held_out.gain_nats,
            pair.held_out.error_nats,
            "yes" if pair.held_out.predicts else "no",
        )
        for pair in result.pairs
        if pair.held_out is not None
    )
    return ResultRecord(
        title="Cross-validation",
        summary=(
            f"The split is {result.verdict}.",
            *(f"{pair.words[0].upper()}{pair.words[1:]}." for pair in result.pairs),
            "Returning alone proves nothing: particles chosen by their noise carry it back. "
            "Whether a split is real is judged by particles that had no part in it.",
        ),
        tables=(
            ResultTable(
                "Sets refined from each other's maps",
                (
                    "refinement",
                    "FSC 0.143 [Å]",
                    "likeness to own map",
                    "likeness to starting map",
                    "margin",
                    "its error",
                    "outcome",
                ),
                rows,
            ),
            ResultTable(
                "Particles that were not used",
                ("maps", "particles", "gain of two maps [nat]", "its error", "better by two"),
                judged,
            ),
        ),
        matrices=(_matrix(result, returned),) if returned else (),
    )


def _matrix(result: Crossval, returned: list[SetReturn]) -> ResultMatrix:
    """Return likenesses: rows are refinements, columns the maps of the sets."""
    numbers = sorted({number for pair in result.pairs for number in pair.maps})
    rows = []
    for item in returned:
        cells: dict[int, float] = {
            item.number: item.likeness_own,
            item.start: item.likeness_start,
        }
        rows.append(tuple(cells.get(number) for number in numbers))
    return ResultMatrix(
        "Likeness of refined sets to the sets' maps",
        tuple(f"set {item.number} from map {item.start}" for item in returned),
        tuple(f"map {number}" for number in numbers),
        tuple(rows),
    )
