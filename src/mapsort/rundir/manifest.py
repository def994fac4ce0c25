"""``0_refine_parms.json``: what a run was asked to do, with what, by which program, where."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mapsort._version import __version__
from mapsort.errors import FormatError
from mapsort.rundir.text import read_json, write_json

_MIB = 1 << 20
WHOLE_HASH_LIMIT_BYTES = 256 * _MIB
END_HASH_BYTES = 16 * _MIB
_FORMAT = 1


@dataclass(frozen=True)
class InputRecord:
    """An input file as it was when the run began."""

    #: Absolute path.
    path: str
    size_bytes: int
    #: Time of last change, ISO 8601, UTC.
    mtime: str
    #: Checksum of what ``hashed`` says.
    sha256: str
    #: ``whole file``, or for files above 256 MiB ``first 16 MiB, last 16 MiB, size``: reading
    #: hundreds of gigabytes twice would cost more than some runs.
    hashed: str


@dataclass(frozen=True)
class Manifest:
    """Everything needed to say what a run did, and to do it again."""

    #: Every option as resolved (JSON values).
    options: dict[str, Any]
    seed: int
    inputs: tuple[InputRecord, ...]
    #: Name and version of the program.
    program: str = f"mapsort {__version__}"
    #: Host, system, processor, cores, Python.
    machine: dict[str, Any] = field(default_factory=lambda: describe_machine())
    command: tuple[str, ...] = ()
    #: ISO 8601, UTC.
    started: str = field(default_factory=lambda: _iso(datetime.now(UTC).timestamp()))
    #: What the program decided by itself: ``name``, ``value``, ``reason``.
    choices: list[dict[str, str]] = field(default_factory=list)
    #: Options as they were given (JSON values), from which the run can be resumed; empty when it
    #: was begun with objects that are in no file.
    asked: dict[str, Any] = field(default_factory=dict)
    #: Working directory.
    directory: str = field(default_factory=lambda: str(Path.cwd()))
    #: Iterations that were finished when ``--targetres`` or ``--speed`` took their present value.
    searched_since: int = 0


def make_manifest(
    options: Mapping[str, Any],
    *,
    seed: int,
    inputs: Iterable[str | Path],
    command: Iterable[str] = (),
    choices: Iterable[Mapping[str, str]] = (),
    asked: Mapping[str, Any] | None = None,
) -> Manifest:
    """Collect the manifest of a run that begins now, from what are its attributes.

    Options may hold paths, which become text, and tuples, which become lists; each of the input
    files is recorded once.
    """
    unique = dict.fromkeys(Path(path).resolve() for path in inputs)
    return Manifest(
        options=json.loads(json.dumps(dict(options), default=str)),
        seed=seed,
        inputs=tuple(record_input(path) for path in unique),
        command=tuple(command),
        choices=[dict(choice) for choice in choices],
        asked=dict(asked or {}),
    )


def write_manifest(path: str | Path, manifest: Manifest) -> None:
    """Write a manifest as JSON, whole or not at all."""
    write_json(path, {"format": _FORMAT} | asdict(manifest))


def read_manifest(path: str | Path) -> Manifest:
    """Read a ``0_refine_parms.json`` that mapsort wrote."""
    content = read_json(path)
    if not isinstance(content, dict) or content.pop("format", None) != _FORMAT:
        raise FormatError(f"{path}: not a parameter file of mapsort (EMAN2 wrote it?).")
    try:
        inputs = tuple(InputRecord(**record) for record in content.pop("inputs"))
        command = tuple(content.pop("command"))
        return Manifest(inputs=inputs, command=command, **content)
    except (KeyError, TypeError) as error:
        raise FormatError(f"{path}: damaged parameter file: {error}.") from error


def record_input(path: str | Path) -> InputRecord:
    """Record size, time and checksum of an input file."""
    path = Path(path).resolve()
    digest = hashlib.sha256()
    try:
        status = path.stat()
        hashed = "whole file"
        with path.open("rb") as file:
            if status.st_size <= WHOLE_HASH_LIMIT_BYTES:
                while block := file.read(_MIB):
                    digest.update(block)
            else:
                hashed = (
                    f"first {END_HASH_BYTES // _MIB} MiB, last {END_HASH_BYTES // _MIB} MiB, size"
                )
                digest.update(file.read(END_HASH_BYTES))
                file.seek(-END_HASH_BYTES, os.SEEK_END)
                digest.update(file.read(END_HASH_BYTES))
                digest.update(str(status.st_size).encode())
    except OSError as error:
        raise FormatError(f"{path}: cannot be read: {error.strerror or error}.") from error
    return InputRecord(
        path=str(path),
        size_bytes=status.st_size,
        mtime=_iso(status.st_mtime),
        sha256=digest.hexdigest(),
        hashed=hashed,
    )


def changed_inputs(manifest: Manifest) -> list[str]:
    """Name the input files that are gone or differ from what the manifest recorded, a phrase each.

    None are named when a run can be resumed as it was.
    """
    changes = []
    for old in manifest.inputs:
        if not Path(old.path).is_file():
            changes.append(f"{old.path} is gone")
            continue
        new = record_input(old.path)
        if (new.size_bytes, new.sha256) != (old.size_bytes, old.sha256):
            changes.append(f"{old.path} has changed")
    return changes


def describe_machine() -> dict[str, Any]:
    """Return host, system, processor, cores and Python of this machine."""
    return {
        "host": platform.node(),
        "system": platform.platform(),
        "processor": _processor_name(),
        "cores": os.cpu_count(),
        "python": sys.version.split()[0],
    }


def _processor_name() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _iso(timestamp: float) -> str:
    return datetime.fromtimestamp(timestamp, UTC).isoformat(timespec="seconds")
