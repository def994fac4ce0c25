"""What ``mapsort info`` says of a run directory."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mapsort.errors import FormatError
from mapsort.jobs.facts import Fact, Facts, plain
from mapsort.rundir.layout import RunDirectory
from mapsort.rundir.run_record import RunRecord, read_run
from mapsort.rundir.set_counts import HARD, POSTERIOR, USED, SetCounts
from mapsort.rundir.text import read_json
from mapsort.rundir.wording import counted


def is_run(path: Path) -> bool:
    """Whether a directory is that of a run."""
    return RunDirectory(path).parms.is_file()


def describe_run(path: Path) -> Facts:
    """Say what a run was asked, where it stands, and what it has found.

    Parameters
    ----------
    path : Path
        The run directory.

    Returns
    -------
    list of Fact
        Command, state, iterations, and of the last iteration each map's particles and resolution.

    Raises
    ------
    FormatError
        A file of the run is damaged.
    """
    record = read_run(path)
    directory, manifest = record.directory, record.manifest
    facts = [
        plain("kind", f"run of {manifest.program}"),
        plain("command", shlex.join(manifest.command)),
        plain("started", manifest.started),
        *_state(record),
        plain("iterations", record.last),
    ]
    if record.iterations:
        facts += _maps(record.iterations[-1])
        facts.append(plain("particle table", str(directory.particles(record.last))))
    if directory.report.exists():
        facts.append(plain("report", str(directory.report)))
    return facts


def _state(record: RunRecord) -> Facts:
    """Return how a run stands: what it told last, or that its process was killed."""
    path, killed = record.directory.progress, record.killed
    if killed is not None:
        text = (
            f"stopped: process {killed.pid} was killed; "
            f"to go on: --resume {shlex.quote(str(record.directory.path))}"
        )
        return [Fact("state", text, "stopped")]
    if not path.exists():
        return []
    progress = read_json(path)
    try:
        state, message = str(progress["state"]), str(progress["message"])
    except (KeyError, TypeError) as error:
        raise FormatError(f"{path}: damaged: {error}.") from error
    # How a run finished or was interrupted says that it did.
    says_so = state == "finished" or message.startswith(state)
    text = message if message and says_so else f"{state}: {message}".removesuffix(": ")
    return [Fact("state", text, state)]


def _maps(entry: Mapping[str, Any]) -> Facts:
    """Return particles and resolution of each map after an iteration."""
    counts = SetCounts.of_entry(entry)
    facts = [plain("particles", counts.total)]
    sets = zip(counts.names, counts.all, counts.shares, strict=True)
    for place, (name, n, share) in enumerate(sets):
        value: dict[str, Any] = {"particles": n}
        words = [f"{counted(n, 'particle')} ({share:.1f}%)"]
        if place >= len(counts.maps):
            facts.append(Fact(name, words[0], value))
            continue
        words.append(f"each counted with its {HARD}")
        if counts.posterior is not None:
            value["sum_of_posteriors"] = counts.posterior[place]
            words.append(f"{POSTERIOR} {counts.posterior[place]:.1f}")
        if counts.used is not None:
            value["particles_used"] = counts.used[place]
            words.append(f"{counts.used[place]:,} {USED}")
        value["resolution"] = float(entry["maps"][place]["resolution_fsc_0143_ang"])
        words.append(f"{value['resolution']:.1f} A at FSC 0.143")
        facts.append(Fact(name, ", ".join(words), value))
    return facts
