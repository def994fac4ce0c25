"""What ``mapsort info`` says of a run directory."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mapsort.cli.facts import Fact, Facts, plain
from mapsort.errors import FormatError
from mapsort.rundir.layout import RunDirectory
from mapsort.rundir.manifest import read_manifest
from mapsort.rundir.run_lock import killed_holder
from mapsort.rundir.text import read_convergence


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
    directory = RunDirectory(path)
    manifest = read_manifest(directory.parms)
    facts = [
        plain("kind", f"run of {manifest.program}"),
        plain("command", shlex.join(manifest.command)),
        plain("started", manifest.started),
        *_state(directory),
    ]
    entries = read_convergence(directory.convergence) if directory.convergence.exists() else []
    facts.append(plain("iterations", len(entries)))
    if entries:
        facts += _maps(entries[-1])
        facts.append(plain("particle table", str(directory.particles(len(entries)))))
    if directory.report.exists():
        facts.append(plain("report", str(directory.report)))
    return facts


def _state(directory: RunDirectory) -> Facts:
    """Return how a run stands: what it told last, or that its process was killed."""
    path, killed = directory.progress, killed_holder(directory.lock)
    if killed is not None:
        text = (
            f"stopped: process {killed.pid} was killed; "
            f"to go on: --resume {shlex.quote(str(directory.path))}"
        )
        return [Fact("state", text, "stopped")]
    if not path.exists():
        return []
    try:
        progress = json.loads(path.read_text(encoding="utf-8"))
        state, message = str(progress["state"]), str(progress["message"])
    except (ValueError, KeyError, TypeError) as error:
        raise FormatError(f"{path}: damaged: {error}.") from error
    # How a run finished says that it did.
    text = message if message and state == "finished" else f"{state}: {message}".removesuffix(": ")
    return [Fact("state", text, state)]


def _maps(entry: Mapping[str, Any]) -> Facts:
    """Return particles and resolution of each map after an iteration."""
    occupancy = entry.get("occupancy", [None] * len(entry["maps"]))
    total = max(1, sum(n or 0 for n in occupancy) + (entry.get("junk") or 0))
    facts = []
    for number, (item, n) in enumerate(zip(entry["maps"], occupancy, strict=True), start=1):
        resolution = float(item["resolution_fsc_0143_ang"])
        members = "" if n is None else f"{n} particles ({n / total:.1%}), "
        value = {"particles": n, "resolution": resolution}
        facts.append(Fact(f"map {number}", f"{members}{resolution:.1f} A at FSC 0.143", value))
    if entry.get("junk") is not None:
        facts.append(plain("junk", int(entry["junk"])))
    return facts
