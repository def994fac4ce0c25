"""A run directory as the directory of a job of RELION or of CCP-EM's pipeliner.

Both tell by empty files how a job ended, and ask it to stop by one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import Enum
from pathlib import Path

import pandas as pd

from mapsort.io.star_tables import read_tables, write_tables

#: What asks a job to stop: RELION's name for it, and the pipeliner's.
ABORT_FILES = ("RELION_JOB_ABORT_NOW", "PIPELINER_JOB_ABORT_NOW")
NODES = "RELION_OUTPUT_NODES.star"
JOB = "job.star"
#: What RELION and the pipeliner put into the directory of a job before they start it.
_OF_MANAGER = re.compile(
    r"\..*|(RELION|PIPELINER)_.*|.*job.*\.(star|job|json)|run\.(out|err|job)|note\.txt"
    r"|InputFiles|run_submit\.script|default_pipeline\.star|.*_pipeline\.star"
)


class JobEnd(Enum):
    """How a job ended; the value is the end of the name of the file that says so."""

    SUCCESS = "SUCCESS"
    FAILURE = "FAILURE"
    ABORTED = "ABORTED"


class NodeKind(Enum):
    """Kinds of files that other jobs take: RELION 5's label and the number of earlier ones."""

    PARTICLES = "ParticleGroupMetadata.star.relion.class3d", 3
    REFINED_PARTICLES = "ParticleGroupMetadata.star.relion.refine3d", 3
    OPTIMISER = "OptimiserData.star.relion.class3d", 9
    MAP = "DensityMap.mrc.relion.class3d", 6
    REFINED_MAP = "DensityMap.mrc.relion.refine3d", 6
    HALF_MAP = "DensityMap.mrc.halfmap", 10
    MASK = "Mask3D.mrc", 7


def is_of_manager(path: Path) -> bool:
    """Whether a file is one that a manager of jobs puts into the directory of a job."""
    return _OF_MANAGER.fullmatch(path.name) is not None


def clear_ends(directory: Path) -> None:
    """Remove what said how a job ended that now goes on."""
    for end in JobEnd:
        _end_file(directory, end).unlink(missing_ok=True)


def mark_end(directory: Path, end: JobEnd) -> None:
    """Say how a job ended."""
    clear_ends(directory)
    _end_file(directory, end).touch()


def abort_asked(directory: Path) -> str | None:
    """Return the name of the file that asks a job to stop, and forget it; None without one."""
    for name in ABORT_FILES:
        file = directory / name
        if file.exists():
            file.unlink(missing_ok=True)
            return name
    return None


def write_nodes(directory: Path, nodes: list[tuple[str, NodeKind]]) -> None:
    """Write what other jobs may take, by name as seen from the project's directory."""
    table = pd.DataFrame(
        {
            "rlnPipeLineNodeName": [name for name, _ in nodes],
            "rlnPipeLineNodeTypeLabel": [kind.value[0] for _, kind in nodes],
            "rlnPipeLineNodeType": [kind.value[1] for _, kind in nodes],
        }
    )
    write_tables(directory / NODES, {"output_nodes": table})


def _end_file(directory: Path, end: JobEnd) -> Path:
    return directory / f"RELION_JOB_EXIT_{end.value}"


def offer_nodes_of(directory: Path, parts: Sequence[Path]) -> None:
    """Let other jobs take what the runs inside a job's directory made, too."""
    files = [path / NODES for path in (directory, *parts)]
    found = [read_tables(file)["output_nodes"] for file in files if file.exists()]
    if found:
        every = pd.concat(found, ignore_index=True).drop_duplicates()
        write_tables(directory / NODES, {"output_nodes": every})
