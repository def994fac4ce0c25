"""Where a run's files are now: its directory, its inputs, the directory that names are seen from.

Names in a run's options and tables are as seen from the working directory that it was begun in. A
run goes on with that as its working directory, wherever the command is given. If the project was
moved, it is the directory that lies to the run directory as the old one did; if only the run
directory was moved, it is the old one; or it is the present one. The first of these in which every
input is found with the checksum that was noted is taken, by all commands alike.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from mapsort.errors import FormatError
from mapsort.rundir.layout import RunDirectory
from mapsort.rundir.manifest import InputRecord, Manifest, changed_inputs, read_manifest


@contextlib.contextmanager
def at_home(run: Path | None) -> Iterator[Path | None]:
    """Work in the directory that a run's names are seen from, while the block lasts.

    Parameters
    ----------
    run : Path or None
        The run directory to go on in; with None, or where no run has begun, nothing changes.

    Yields
    ------
    Path or None
        The run directory as seen from there.

    Raises
    ------
    FormatError
        An input is not found, or differs; naming it.
    """
    if run is None or not RunDirectory(run).parms.exists():
        yield run
        return
    home = _home(run, read_manifest(RunDirectory(run).parms))
    if home.samefile(Path.cwd()):
        yield run
        return
    seen = run.resolve()
    with contextlib.chdir(home):
        yield seen


def relocated(manifest: Manifest, run: Path) -> Manifest:
    """Return a run's record with its files where they are as seen from the working directory.

    Parameters
    ----------
    manifest : Manifest
        As read from the run directory.
    run : Path
        The run directory.
    """
    home = Path.cwd()
    if Path(manifest.directory) == home:
        return manifest
    path = run.resolve()
    inside = path.is_relative_to(home)
    options = manifest.options | {"path": str(path.relative_to(home) if inside else path)}
    return _moved(replace(manifest, options=options), home)


def _home(run: Path, manifest: Manifest) -> Path:
    begun = Path(manifest.directory)
    was = os.path.normpath(begun / str(manifest.options.get("path", run.name)))
    beside = Path(os.path.normpath(run.resolve() / os.path.relpath(begun, was)))
    candidates = [path for path in dict.fromkeys((beside, begun, Path.cwd())) if path.is_dir()]
    found = [(home, changed_inputs(_moved(manifest, home))) for home in candidates]
    for home, changes in found:
        if not changes:
            return home
    changes = found[0][1]
    more = f" (and {len(changes) - 1} more)" if len(changes) > 1 else ""
    raise FormatError(f"{run}: cannot be resumed: {changes[0]}{more}")


def _moved(manifest: Manifest, home: Path) -> Manifest:
    begun = Path(manifest.directory)
    if home == begun:
        return manifest
    inputs = tuple(_moved_input(record, begun, home) for record in manifest.inputs)
    return replace(manifest, inputs=inputs, directory=str(home))


def _moved_input(record: InputRecord, begun: Path, home: Path) -> InputRecord:
    """Return where an input is that lay so to the directory in which the run was begun."""
    along = Path(os.path.normpath(home / os.path.relpath(record.path, begun)))
    outside = not Path(record.path).is_relative_to(begun)
    stays = outside and Path(record.path).exists()
    return record if stays else replace(record, path=str(along))
