"""Going on with a stopped run: its options again, its inputs verified, where it stood."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mapsort.errors import ConfigError, FormatError
from mapsort.rundir.layout import RunDirectory
from mapsort.rundir.manifest import Manifest, changed_inputs, read_manifest
from mapsort.workflows.multi_state import ParticleSpectra, State
from mapsort.workflows.option_fields import flag_of, typed_options
from mapsort.workflows.options import MultiOptions

#: Options that may differ from those the run was begun with: results do not depend on them.
FREE = frozenset({"parallel", "verbose", "quiet", "no_report", "log_json", "check"})


@dataclass(frozen=True)
class Standing:
    """Where a run stands between two iterations.

    Attributes
    ----------
    state : State
        What the next iteration begins with.
    entries : list of dict
        Records of the finished iterations, as in convergence.json.
    spectra : ParticleSpectra
        Of the images, which have all been read.
    """

    state: State
    entries: list[dict[str, Any]]
    spectra: ParticleSpectra


def resumed_options(given: Mapping[str, Any]) -> MultiOptions:
    """Return the options of the run to go on with.

    Parameters
    ----------
    given : mapping
        Options given now, typed: ``resume``, and others only as they were, but for those of `FREE`.

    Raises
    ------
    FormatError
        It is no run directory, or an input file is gone or has changed.
    ConfigError
        An option differs from the run's, or it cannot be resumed from here.
    """
    path = Path(given["resume"])
    if not path.is_dir():
        raise ConfigError(f"--resume={path}: no such run directory")
    if not RunDirectory(path).parms.exists():
        raise ConfigError(
            f"--resume={path}: no run has begun there; give the command that begins it again"
        )
    manifest = read_manifest(RunDirectory(path).parms)
    _check_resumable(path, manifest)
    begun = typed_options(
        MultiOptions, {name: value for name, value in manifest.asked.items() if value is not None}
    )
    for name, value in given.items():
        if name in FREE or name in ("resume", "path"):
            continue
        if value != getattr(begun, name):
            raise ConfigError(
                f"{flag_of(name)}: differs from the run in {path}; "
                "leave it out to go on as begun, or start a new run"
            )
    changes = changed_inputs(manifest)
    if changes:
        raise FormatError(
            f"{path}: cannot be resumed: {changes[0]}"
            + (f" (and {len(changes) - 1} more)" if len(changes) > 1 else "")
        )
    free = {name: value for name, value in given.items() if name in FREE}
    return dataclasses.replace(begun, **free, path=path, resume=path).validated()


def _check_resumable(path: Path, manifest: Manifest) -> None:
    if not manifest.asked:
        raise ConfigError(
            f"--resume={path}: was begun from Python with particles or maps that are in no file, "
            "or by a version that could not resume; start it again"
        )
    here = Path.cwd()
    if Path(manifest.directory) != here:
        # Paths in the options, and those written into tables, are as seen from there.
        raise ConfigError(
            f"--resume={path}: was begun in another working directory; go there first:\n"
            f"cd {manifest.directory}"
        )
