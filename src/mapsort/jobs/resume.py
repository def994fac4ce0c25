"""Going on with a stopped run: its options again, its inputs verified, where it stood."""

from __future__ import annotations

import dataclasses
import json
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from mapsort.engines.chunks import chunk_ranges
from mapsort.engines.progress import Progress
from mapsort.errors import ConfigError, FormatError
from mapsort.jobs.refinement import Asked, MultiRun, stops
from mapsort.jobs.run_place import at_home, relocated
from mapsort.model.matches import Matches
from mapsort.model.particles import Particles
from mapsort.model.poses import Poses
from mapsort.model.references import References
from mapsort.model.volume import Volume
from mapsort.options.abinit import AbinitOptions
from mapsort.options.fields import Options, flag_of, typed_options, typed_values
from mapsort.options.multi import MultiOptions
from mapsort.options.pca import PcaOptions
from mapsort.options.refine import RefineOptions
from mapsort.refinement.plan import MultiPlan
from mapsort.refinement.run import ParticleSpectra
from mapsort.refinement.state import State
from mapsort.rundir.layout import RunDirectory
from mapsort.rundir.manifest import Manifest, changed_inputs, read_manifest, write_manifest
from mapsort.rundir.text import read_convergence
from mapsort.rundir.wording import counted
from mapsort.stages.search.nearest_references import nearest_references

Made = TypeVar("Made")

#: Options that may differ from those the run was begun with: results do not depend on them.
FREE = frozenset({"parallel", "verbose", "quiet", "no_report", "log_json", "check", "startiter"})
#: Options with which a run may go on further, or more finely, than it was asked to.
SEARCH = ("targetres", "speed")
FURTHER = frozenset({"iter", *SEARCH})
_COMMANDS: dict[type, str] = {
    MultiOptions: "multi",
    RefineOptions: "refine",
    PcaOptions: "pca",
    AbinitOptions: "abinit",
}


@dataclass(frozen=True)
class RunCheckpoint:
    """Where a run stands between two iterations."""

    #: What the next iteration begins with.
    state: State
    #: Records of the finished iterations, as in convergence.json.
    entries: list[dict[str, Any]]
    #: Of the images, which have all been read.
    spectra: ParticleSpectra
    #: Those that the state's matches are with.
    references: References

    def for_plan(self, plan: MultiPlan) -> RunCheckpoint:
        """Return it with matches as a plan has them that may search more finely."""
        matches = self.state.matches
        if matches is None or np.array_equal(self.references.eulers, plan.references.eulers):
            return self
        parts = []
        for where in chunk_ranges(len(matches), plan.chunk):
            old = matches.rows(np.arange(where.start, where.stop))
            poses = Poses.of_matches(old, self.references)
            new = nearest_references(poses, plan.references, plan.symmetries)
            parts.append(dataclasses.replace(new, quality=old.quality))
        state = dataclasses.replace(self.state, matches=Matches.joined(parts))
        return dataclasses.replace(self, state=state, references=plan.references)


@contextmanager
def going_on(kind: type[Asked], given: Mapping[str, Any]) -> Iterator[Asked]:
    """Give the options of the run to go on with, where it was begun: see `resumed_options`."""
    with at_home(given["resume"]) as resume:
        yield resumed_options(kind, {**given, "resume": resume})


def asked_in_python(
    kind: type[Asked],
    run: Callable[..., Made],
    options: Mapping[str, Any],
    progress: Progress | None,
    *,
    particles: str | Path | Particles,
    **model: str | Path | Volume,
) -> Made:
    """Carry out what is asked for in Python, where files may be objects; or go on with a run.

    Parameters
    ----------
    run : callable
        Takes options, progress, and objects in place of files: ``particles`` and ``volume``.
    options : mapping
        Options by name, as they were given.
    **model : str, Path or Volume
        The starting map, by the name of its option.
    """
    if options.get("resume") is not None:
        with going_on(kind, typed_values(kind, options)) as begun:
            return run(begun, progress=progress)
    objects: dict[str, Particles | Volume] = {}
    files: dict[str, Path] = {}
    for name, given in {"input": particles, **model}.items():
        if isinstance(given, Particles):
            objects["particles"], files[name] = given, given.source
        elif isinstance(given, Volume):
            objects["volume"], files[name] = given, Path("map")
        else:
            files[name] = Path(given)
    request = typed_options(kind, {**files, **options}).validated()
    return run(request, progress=progress, **objects)


def part_of_job(asked: MultiOptions, again: Callable[[MultiOptions], MultiRun]) -> MultiRun:
    """Return the run of a part of a job, in ``--path``; it goes on if it was begun as now asked."""
    assert asked.path is not None, "a part has a place in the directory of the job"
    parms, record = RunDirectory(asked.path).parms, asked.as_record()
    begun = read_manifest(parms).asked if parms.exists() else {}
    if all(begun.get(name) == record[name] for name in record.keys() - FREE):
        free = {name: getattr(asked, name) for name in FREE if hasattr(asked, name)}
        with going_on(MultiOptions, {"resume": asked.path} | free) as options:
            return again(options)
    if asked.path.exists():
        shutil.rmtree(asked.path)
    return again(asked)


def resumed_options(kind: type[Asked], given: Mapping[str, Any]) -> Asked:
    """Return the options of the run to go on with.

    Parameters
    ----------
    kind : type
        `MultiOptions`, `RefineOptions`, `PcaOptions` or `AbinitOptions`.
    given : mapping
        Options given now, typed: ``resume``, and others only as they were, but for those of `FREE`
        and, where there are iterations to add, of `FURTHER`.

    Raises
    ------
    FormatError
        It is no run directory, or an input file is gone or has changed.
    ConfigError
        An option differs from the run's, or there is nothing that the run could go on from.
    """
    path = Path(given["resume"])
    if not path.is_dir():
        raise ConfigError(f"--resume={path}: no such run directory")
    if not RunDirectory(path).parms.exists():
        raise ConfigError(
            f"--resume={path}: no run has begun there; give the command that begins it again"
        )
    manifest = read_manifest(RunDirectory(path).parms)
    if (command := _command(manifest)) != _COMMANDS[kind]:
        raise FormatError(f"{path}: is a run of mapsort {command}.")
    if not manifest.asked:
        raise ConfigError(
            f"--resume={path}: was begun from Python with particles or maps that are in no file, "
            "or by a version that could not resume; start it again"
        )
    known = {item.name for item in dataclasses.fields(kind)}
    asked = {k: v for k, v in manifest.asked.items() if k in known and v is not None}
    begun = typed_options(kind, asked)
    free = FREE | (
        FURTHER if isinstance(begun, MultiOptions | RefineOptions) else {"hand", "latesym"}
    )
    for name, value in given.items():
        if name in free or name == "resume":
            continue
        if name == "path":
            if value.resolve() != path.resolve():
                raise ConfigError(f"--path={value}: the run goes on in {path}; leave --path out")
            continue
        if value != getattr(begun, name):
            raise ConfigError(
                f"{flag_of(name)}: differs from the run in {path}; "
                "leave it out to go on as begun, or start a new run"
            )
    _check_inputs(path, manifest)
    taken = {name: value for name, value in given.items() if name in free}
    options = dataclasses.replace(begun, **taken, path=path, resume=path).validated()
    if isinstance(options, MultiOptions | RefineOptions):
        _check_further(path, begun, options, manifest.searched_since)
    return options


def _command(manifest: Manifest) -> str:
    """Return the command that began a run."""
    single = manifest.options.get("independent_halves", False)
    return str(manifest.options.get("command", "refine" if single else "multi"))


def _check_inputs(path: Path, manifest: Manifest) -> None:
    """Refuse to go on when an input is gone or has changed, naming it."""
    changes = changed_inputs(relocated(manifest, path))
    if changes:
        more = f" (and {len(changes) - 1} more)" if len(changes) > 1 else ""
        raise FormatError(f"{path}: cannot be resumed: {changes[0]}{more}")


def _check_further(
    path: Path, begun: Options, options: MultiOptions | RefineOptions, since: int
) -> None:
    """Refuse what leaves a run nothing to do, or nothing to begin from."""
    entries = read_convergence(RunDirectory(path).convergence)
    start = getattr(options, "startiter", None)
    if start is not None and start > len(entries) + 1:
        raise ConfigError(
            f"--startiter={start}: {path} has finished {counted(len(entries), 'iteration')}; "
            f"takes 1 to {len(entries) + 1}"
        )
    entries = entries[: None if start is None else start - 1]
    n_done = len(entries)
    changed = [name for name in FURTHER if getattr(options, name) != getattr(begun, name)]
    if not (changed or start) or not n_done:
        return
    finer = [name for name in SEARCH if name in changed]
    since = n_done if finer else since
    if options.iter is not None and options.iter <= n_done:
        what = flag_of(finer[0]) if finer else f"--iter={options.iter}"
        raise ConfigError(
            f"{what}: {path} has finished {counted(n_done, 'iteration')}; give --iter a larger "
            "number"
        )
    reason = stops(options, entries, since)
    if reason is None and not (RunDirectory(path).checkpoint / f"state_{n_done:02d}.npz").exists():
        raise ConfigError(
            f"--resume={path}: its last state, {RunDirectory(path).checkpoint}, is not there any "
            "more; start a new run from its maps"
        )


def record_going_on(
    directory: RunDirectory,
    record: Mapping[str, Any],
    asked: Mapping[str, Any],
    *,
    n_done: int,
) -> bool:
    """Add a record to the run directory if the run goes on otherwise than it was begun.

    Parameters
    ----------
    record, asked : mapping
        Options as resolved and as given (JSON values), now.
    n_done : int
        Number of finished iterations.

    Returns
    -------
    bool
        Whether it searches otherwise.
    """
    before = read_manifest(directory.parms)
    now = relocated(before, directory.path)
    changed = {name for name in FURTHER if before.options.get(name) != record.get(name)}
    if now is before and not changed:
        return False
    finer = not changed.isdisjoint(SEARCH)
    further = {name: asked[name] for name in FURTHER if name in asked}
    # What follows from the search is resolved anew; where the run is, is known already.
    resolved = dict(record) | {"path": now.options["path"], "resume": before.options.get("resume")}
    now = dataclasses.replace(
        now,
        options=json.loads(json.dumps(resolved if changed else now.options, default=str)),
        asked=now.asked | further if now.asked else {},
        command=tuple(sys.argv),
        searched_since=n_done if finer else before.searched_since,
    )
    write_manifest(directory.next_parms, now)
    return finer
