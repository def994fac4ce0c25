"""Go on with a single-map refinement that was stopped, as if it had not been."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from mapsort.errors import ConfigError, FormatError
from mapsort.jobs.resume import FREE, FURTHER, check_inputs
from mapsort.model.poses import Poses
from mapsort.model.volume import Volume
from mapsort.options.fields import typed_options
from mapsort.options.refine import RefineOptions
from mapsort.refinement.single_iteration import compare_halves, half_reference
from mapsort.refinement.single_state import (
    HALF_NAMES,
    HalfState,
    SingleOutcome,
    SingleRun,
    SingleState,
)
from mapsort.refinement.stopping import reason_to_stop_single
from mapsort.rundir.atomic import atomic_path
from mapsort.rundir.layout import RunDirectory
from mapsort.rundir.manifest import read_manifest
from mapsort.rundir.text import read_convergence
from mapsort.rundir.wording import counted

_ARRAYS = ("model", "rotation", "origin", "score")
#: What a request to go on may change.
_CHANGEABLE = FREE | FURTHER | {"startiter", "resume"}


@dataclass(frozen=True)
class Stopped:
    """A refinement that can go on.

    Attributes
    ----------
    directory : RunDirectory
    entries : list of dict
        Records of the finished iterations that are kept.
    """

    directory: RunDirectory
    entries: list[dict[str, Any]]


def write_poses(directory: RunDirectory, outcome: SingleOutcome) -> None:
    """Write the poses of both halves exactly, for going on: poses_YY.h5."""
    path = directory.poses(outcome.state.iteration)
    with atomic_path(path) as part, h5py.File(part, "w") as file:
        for name, half in zip(HALF_NAMES, outcome.halves, strict=True):
            for array in _ARRAYS:
                file[f"{name}/{array}"] = getattr(half.poses, array)


def _read_poses(path: Path, name: str) -> Poses:
    try:
        with h5py.File(path, "r") as file:
            return Poses(**{array: np.asarray(file[f"{name}/{array}"]) for array in _ARRAYS})
    except (OSError, KeyError) as error:
        raise FormatError(f"{path}: cannot be read as a refinement's poses: {error}.") from error


def resumed_options(given: Mapping[str, Any]) -> RefineOptions:
    """Return the options of a stopped run, with what is asked for anew.

    Parameters
    ----------
    given : mapping
        Options by name as written or typed; ``resume`` names the run directory.

    Raises
    ------
    ConfigError
        An option that cannot change any more.
    FormatError
        It is not the directory of a single-map refinement, or an input is gone or has changed.
    """
    path = Path(str(given["resume"]))
    manifest = read_manifest(RunDirectory(path).parms)
    if not manifest.options.get("independent_halves"):
        raise FormatError(f"{path}: is not the directory of a single-map refinement.")
    for name in given:
        if name not in _CHANGEABLE:
            raise ConfigError(f"--{name}: cannot change with --resume; begin a new run")
    check_inputs(path, manifest)
    known = {item.name for item in dataclasses.fields(RefineOptions)}
    recorded = {k: v for k, v in manifest.options.items() if k in known and v is not None}
    fixed = {
        # not the run's own directory, which is not free; this one is not made
        "path": path / "again",
        "parallel": "",
        "randomseed": manifest.seed,
        "check": False,
        "quiet": False,
    }
    return typed_options(RefineOptions, recorded | fixed | dict(given)).validated()


def open_stopped(options: RefineOptions) -> Stopped:
    """Return what is there to go on from.

    Raises
    ------
    ConfigError
        ``--startiter`` lies beyond what is finished, or nothing is left to do.
    """
    assert options.resume is not None, "only asked for with --resume"
    directory = RunDirectory(options.resume)
    entries = read_convergence(directory.convergence)
    last = options.startiter - 1 if options.startiter is not None else len(entries)
    if last > len(entries):
        raise ConfigError(
            f"--startiter={options.startiter}: {options.resume} has finished "
            f"{counted(len(entries), 'iteration')}; takes 1 to {len(entries) + 1}"
        )
    kept = entries[:last]
    ended = bool(kept) and kept[-1].get("end") is not None
    done = options.iter is not None and len(kept) >= options.iter
    if done or (ended and reason_to_stop_single(kept, options.iter) is not None):
        raise ConfigError(
            f"--resume={options.resume}: has ended with iteration {len(kept)}; "
            "give a larger --iter, or --startiter"
        )
    for entry in kept:
        entry["end"] = None
    return Stopped(directory, kept)


def state_of(run: SingleRun, stopped: Stopped) -> SingleState:
    """Return the state after the last iteration that is kept, made from its files.

    The half maps are on disk as they were, and everything else follows from them: the refinement
    goes on to the same result.

    Raises
    ------
    FormatError
        A file is missing or damaged.
    """
    entry, directory = stopped.entries[-1], stopped.directory
    iteration, apix = int(entry["iteration"]), run.whole.inputs.apix
    even, odd = (
        Volume.open(path, default_apix=apix).data
        for path in (directory.threed_even(iteration, 1), directory.threed_odd(iteration, 1))
    )
    both = compare_halves(run, even, odd, iteration=iteration)
    halves = tuple(
        HalfState(
            half_reference(run, volume, both.curves),
            np.array(noise, dtype=np.float64),
            _read_poses(directory.poses(iteration), name),
        )
        for name, volume, noise in zip(HALF_NAMES, (even, odd), entry["noise_power"], strict=True)
    )
    return SingleState(iteration, halves, both.resolution(run), bool(entry["settled"]), both.map)
