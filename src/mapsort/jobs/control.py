"""The null control (``--control``): the same command on a twin of the data with one structure.

What the command finds in the twin it finds without structures, too: classes are to be believed only
where the data gain clearly more.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from mapsort.jobs.finished_run import open_run
from mapsort.jobs.refinement import Entry, MultiRun
from mapsort.jobs.resume import part_of_job
from mapsort.jobs.twin import Twin, make_twin
from mapsort.jobs.verdict import SIGNIFICANT, next_steps
from mapsort.options.multi import MultiOptions
from mapsort.options.types import KeptFiles
from mapsort.refinement.run import Run
from mapsort.rundir.layout import RunDirectory
from mapsort.rundir.log import run_log, stage
from mapsort.rundir.result_record import ResultRecord, ResultTable, write_result
from mapsort.rundir.set_counts import SetCounts
from mapsort.rundir.verdict_record import (
    NOT_SUPPORTED,
    SUPPORTED,
    UNDECIDED,
    Split,
    Verdict,
    write_verdict,
)

LOGGER = logging.getLogger(__name__)


def controlled(run: Run, first: MultiRun, again: Callable[[MultiOptions], MultiRun]) -> None:
    """Repeat a run, as it was opened, on its particles' twin; tell what both found side by side."""
    verdict, directory = first.verdict, RunDirectory(first.path, map_suffix=run.options.map_suffix)
    if verdict is None or verdict.split is None or verdict.control is not None:
        return
    with run_log(directory.log):
        with stage("control"):
            twin = _twin_run(run, first, again)
        found = Split(NOT_SUPPORTED, "one class was found")
        if twin.verdict is not None and twin.verdict.split is not None:
            found = twin.verdict.split
        split = held_against(verdict.split, found)
        steps = next_steps("multi", directory, split, converged=verdict.converged)
        made = replace(verdict, split=split, control=found, next_steps=steps)
        for line in made.lines:
            LOGGER.info("%s", line)
    write_verdict(directory, made)
    ends = {"data": (split, first.convergence[-1]), "control": (found, twin.convergence[-1])}
    write_result(directory.path, "0_control", _record(made, ends))


def held_against(split: Split, control: Split) -> Split:
    """Return the verdict on the data, which one structure alone must not reach."""
    if split.verdict != SUPPORTED or control.gain_nats is None:
        return split
    own, its = (float(np.nan_to_num(item.error_nats or 0.0)) for item in (split, control))
    lead = (split.gain_nats or 0.0) - control.gain_nats
    if control.verdict != SUPPORTED and lead > SIGNIFICANT * np.hypot(own, its):
        return split
    words = f"{split.reason}; but so do those of one structure, seen as these particles are"
    return replace(split, verdict=UNDECIDED, reason=words)


def _twin_run(run: Run, first: MultiRun, again: Callable[[MultiOptions], MultiRun]) -> MultiRun:
    """Return the run on the twin, some or all of which may have been done before."""
    place = RunDirectory(first.path).control(len(first.convergence))
    twin, path = Twin.inside(place), place / "multi"
    if RunDirectory(path).verdict.exists():
        return open_run(path)
    if not twin.table.exists():
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        make_twin(run, first, twin)
    asked = replace(
        run.options,
        input=twin.table,
        path=path,
        randomseed=run.plan.seed,
        datadir=None,
        passthrough=(),
        control=False,
        replicates=1,
        resume=None,
        no_report=True,
    )
    found = part_of_job(asked, again)
    if run.options.keepfiles is not KeptFiles.ALL:
        twin.stack.unlink()
    return found


def _record(made: Verdict, ends: dict[str, tuple[Split, Entry]]) -> ResultRecord:
    """Return data and control side by side, for the report."""

    def of_maps(name: str) -> str:
        maps = ends[name][1]["maps"]
        return " / ".join(f"{item['resolution_fsc_0143_ang']:.1f}" for item in maps)

    table = ResultTable.of(
        "Data and control",
        ends,
        {
            "": lambda name: name,
            "split": lambda name: ends[name][0].verdict,
            "gain [nat a particle]": lambda name: ends[name][0].gain_nats,
            "standard error": lambda name: ends[name][0].error_nats,
            "association": lambda name: ends[name][0].association,
            "p": lambda name: ends[name][0].p_value,
            "particles": lambda name: SetCounts.of_entry(ends[name][1]).written(),
            "resolutions [Å]": of_maps,
        },
    )
    words = (
        "The control has one structure, with the poses, CTF, scales and noise of the data; the "
        "same command was carried out on both."
    )
    return ResultRecord("Null control", (*made.words[:2], words), (table,))
