"""Cross-validation of a split: whether there is more than one structure in the particles."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from mapsort.errors import ConfigError
from mapsort.geometry.euler import relion_to_matrix
from mapsort.model.particles import Particles
from mapsort.model.poses import Poses
from mapsort.rundir.atomic import write_text
from mapsort.rundir.result_record import ResultMatrix, ResultRecord, ResultTable, write_result
from mapsort.workflows.crossval_options import CrossvalOptions
from mapsort.workflows.finished_run import FinishedRun, open_finished
from mapsort.workflows.held_out import HeldOutPair, held_out_pairs
from mapsort.workflows.multi import MultiRun
from mapsort.workflows.multi_inputs import open_inputs
from mapsort.workflows.multi_plan import resolve
from mapsort.workflows.multi_state import Run
from mapsort.workflows.option_fields import typed_options
from mapsort.workflows.progress import Progress, SilentProgress
from mapsort.workflows.return_test import SetReturn, compare_return
from mapsort.workflows.set_refinement import refine_set, refined_numbers
from mapsort.workflows.single import RefinedMap
from mapsort.workflows.split import Split, split

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
        returned = ", ".join(
            f"set {item.number} from map {item.start} {item.words}" for item in self.returns
        )
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


def crossval(run: str | Path | MultiRun, **options: Any) -> Crossval:
    """Cross-validate the split of a run (the Python face of ``mapsort crossval``).

    Parameters
    ----------
    run : str, Path or MultiRun
        A run directory or the run itself.
    **options
        Options of ``mapsort crossval`` by name: ``iter``, ``refineiter``, ``parallel``.

    Returns
    -------
    Crossval

    Raises
    ------
    ConfigError
        An option is wrong, or the run has one map only.
    FormatError
        The run directory lacks what is needed, or a file of it is damaged.
    """
    path = run.path if isinstance(run, MultiRun) else Path(run)
    return crossval_run(typed_options(CrossvalOptions, {"run": (path,)} | options).validated())


def crossval_run(
    options: CrossvalOptions,
    *,
    progress: Progress | None = None,
    made: Split | None = None,
    alone: Mapping[int, RefinedMap] | None = None,
) -> Crossval:
    """Refine each set from each other set's map, and judge by particles unseen: see `crossval`.

    Parameters
    ----------
    options : CrossvalOptions
    progress : Progress, optional
    made : Split, optional
        The run's sets, if they are there already.
    alone : mapping of int to RefinedMap, optional
        Each set refined from its own map, by the map's number, if that has been done already.
    """
    shown = progress if progress is not None else SilentProgress()
    finished = open_finished(options.run[0])
    if finished.n_models < 2:
        raise ConfigError(f"{options.run[0]}: has one map; cross-validation needs two at least")
    iteration = finished.iteration(options.iter)
    directory = finished.directory.path / "crossval"
    directory.mkdir(exist_ok=True)
    sets = made if made is not None else split(finished.directory.path, iter=iteration)
    found = _returns(finished, options, iteration, sets, directory, shown, alone)
    judged = {
        pair.maps: pair
        for pair in judged_pairs(finished, iteration, shown, parallel=options.parallel)
    }
    numbers = range(1, finished.n_models + 1)
    pairs = tuple(
        PairVerdict(
            (a, b),
            tuple(item for item in found if {item.number, item.start} == {a, b}),
            judged.get((a, b)),
        )
        for a in numbers
        for b in numbers
        if a < b
    )
    result = Crossval(directory, iteration, pairs)
    _write(result)
    write_result(finished.directory.path, "4_crossval", _record(result))
    return result


def _returns(
    finished: FinishedRun,
    options: CrossvalOptions,
    iteration: int,
    sets: Split,
    directory: Path,
    progress: Progress,
    alone: Mapping[int, RefinedMap] | None,
) -> list[SetReturn]:
    """Refine every set from every map; compare."""

    def refined(number: int, start: int) -> RefinedMap:
        progress.message(f"set {number} from map {start}")
        return refine_set(
            finished,
            iteration,
            sets,
            number,
            start,
            directory / f"refine_m{number}_from_m{start}",
            n_iterations=options.refineiter,
            parallel=options.parallel,
            progress=progress,
        )

    numbers = refined_numbers(sets, finished.n_models)
    own = dict(alone) if alone is not None else {}
    own |= {number: refined(number, number) for number in numbers if number not in own}
    return [
        compare_return(number, start, refined(number, start), own[number], own[start])
        for number in numbers
        for start in numbers
        if start != number
    ]


def judged_pairs(
    finished: FinishedRun, iteration: int, progress: Progress, *, parallel: str = ""
) -> list[HeldOutPair]:
    """Repeat the run's classification with half of the particles each, judged by the others."""
    request = replace(finished.request(), parallel=parallel)
    inputs = open_inputs(request)
    plan = resolve(request, inputs)
    run = Run(request, inputs, plan, progress)
    table = Particles.open(finished.directory.particles(iteration)).table
    angles = table[["rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi"]].to_numpy(dtype=np.float64)
    origins = table[["rlnOriginXAngst", "rlnOriginYAngst"]].to_numpy(dtype=np.float64)
    n = len(table)
    known = Poses(
        table["rlnClassNumber"].to_numpy(dtype=np.int32)[:, None] - 1,
        relion_to_matrix(angles)[:, None],
        origins[:, None] / inputs.apix,
        np.zeros((n, 1), dtype=np.float32),
    )
    with threadpool_limits(plan.n_threads):
        return held_out_pairs(run, known, n_iterations=iteration)


def _write(result: Crossval) -> None:
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
    write_text(result.path / "crossval.json", json.dumps(content, indent=1) + "\n")
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


def _record(result: Crossval) -> ResultRecord:
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
