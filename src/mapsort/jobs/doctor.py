"""The examination of an installation: what it is, what it runs on, and whether it works."""

from __future__ import annotations

import os
import platform
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any

from mapsort._version import __version__
from mapsort.engines.memory import available_memory
from mapsort.errors import MapsortError
from mapsort.jobs.build_info import build_config
from mapsort.jobs.self_test import ISA_TOLERANCE, LEAST_ACCURACY, isa_differences, small_run
from mapsort.rundir.wording import readable_size

#: A run of 100,000 particles of 256 pixels takes about this much.
_LITTLE_MEMORY = 4 * 2**30
_LITTLE_DISK = 10 * 2**30


class State(StrEnum):
    """What a finding means."""

    GOOD = "ok"
    NOTE = "note"
    BAD = "FAILED"


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes
    ----------
    name : str
        What was looked at.
    state : State
    text : str
        What was found and, unless it is good, what to do.
    """

    name: str
    state: State
    text: str


def examine() -> Iterator[Finding]:
    """Look at everything an installation needs, and compute a small problem.

    Yields
    ------
    Finding
        As soon as it is known; the computations come last and take about five seconds.
    """
    yield Finding("mapsort", State.GOOD, f"{__version__} in {Path(__file__).parents[1]}")
    yield Finding("Python", State.GOOD, f"{platform.python_version()} at {sys.executable}")
    yield Finding(
        "system", State.GOOD, f"{platform.system()} {platform.release()} {platform.machine()}"
    )
    config = build_config()
    yield _packages()
    yield _instruction_sets(config)
    yield _threads(config)
    yield _memory()
    yield _disk("working directory", Path())
    yield _disk("temporary files", Path(tempfile.gettempdir()))
    yield _guarded("kernels agree", _kernels)
    yield _guarded("small problem", partial(_small_problem, config["threads"]))


def _packages() -> Finding:
    """Say which versions of the needed packages there are."""
    needed = [need for need in metadata.requires("mapsort") or [] if "extra ==" not in need]
    found, missing = [], []
    for need in needed:
        name = re.match(r"[A-Za-z0-9._-]+", need)
        assert name is not None, need
        try:
            found.append(f"{name[0]} {metadata.version(name[0])}")
        except metadata.PackageNotFoundError:
            missing.append(name[0])
    if missing:
        return Finding(
            "packages", State.BAD, f"missing: {', '.join(missing)}; pip install mapsort again"
        )
    return Finding("packages", State.GOOD, ", ".join(found))


def _noted(name: str, text: str, note: str = "") -> Finding:
    """Return a finding that is good, or one with what is to be noted of it."""
    return Finding(name, State.NOTE, f"{text}: {note}") if note else Finding(name, State.GOOD, text)


def _instruction_sets(config: dict[str, Any]) -> Finding:
    active, available = config["isa_active"], config["isa_available"]
    text = f"{active} of {', '.join(available)} (compiled: {', '.join(config['isa_compiled'])})"
    wish = os.environ.get("MAPSORT_ISA", "")
    note = f"MAPSORT_ISA={wish} asks for a slower one; unset it for speed"
    return _noted("instruction set", text, "" if active == available[0] else note)


def _threads(config: dict[str, Any]) -> Finding:
    count, processors = config["threads"], config["processors"]
    text = f"{count} of {processors} processors"
    if config["openmp"] is None:
        return Finding("threads", State.NOTE, "compiled without OpenMP: the kernels use one thread")
    if count < processors:
        why = "OMP_NUM_THREADS" if os.environ.get("OMP_NUM_THREADS") else "affinity or quota"
        return _noted("threads", f"{text} ({why})")
    note = "OMP_NUM_THREADS asks for more; runs will be slower"
    return _noted("threads", text, note if count > processors else "")


def _memory() -> Finding:
    size = available_memory()
    note = "little; mapsort multi --check tells a need"
    text = f"{readable_size(size)} available"
    return _noted("memory", text, note if size < _LITTLE_MEMORY else "")


def _disk(name: str, directory: Path) -> Finding:
    free = shutil.disk_usage(directory).free
    note = "little" if free < _LITTLE_DISK else ""
    if not os.access(directory, os.W_OK):
        note = "it cannot be written to"
    return _noted(name, f"{readable_size(free)} free in {directory.resolve()}", note)


def _guarded(name: str, look: Callable[[], Finding]) -> Finding:
    """Report an error of what is being tested as what it is: a finding."""
    try:
        return look()
    except (MapsortError, ArithmeticError, MemoryError, OSError, RuntimeError, ValueError) as error:
        return Finding(name, State.BAD, f"{type(error).__name__}: {error}")


def _kernels() -> Finding:
    differences = isa_differences()
    text = ", ".join(f"{isa} {value:.1e}" for isa, value in differences.items())
    told = f"difference from the baseline: {text}"
    if all(value <= ISA_TOLERANCE for value in differences.values()):
        return Finding("kernels agree", State.GOOD, told)
    what = "set MAPSORT_ISA=baseline and report this, please"
    return Finding("kernels agree", State.BAD, f"{told}; {what}")


def _small_problem(n_threads: int) -> Finding:
    result = small_run(n_threads=n_threads)
    told = f"{result.accuracy:.0%} of 300 particles classified right in {result.seconds:.1f} s"
    if result.accuracy >= LEAST_ACCURACY:
        return Finding("small problem", State.GOOD, told)
    return Finding("small problem", State.BAD, f"{told}; expected {LEAST_ACCURACY:.0%} at least")
