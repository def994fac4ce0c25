"""What ``mapsort abinit`` writes: maps, the table, the summary."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from mapsort.array_types import Array
from mapsort.engines.chunks import chunk_ranges
from mapsort.io.star import write_particles
from mapsort.refinement.run import Run
from mapsort.refinement.table_poses import pose_columns
from mapsort.rundir.layout import RunDirectory
from mapsort.rundir.text import write_json
from mapsort.runfiles.tables import LONGEST_ROWS, image_names, without_found
from mapsort.runfiles.volumes import write_volume
from mapsort.stages.abinit.search import FoundMaps


def write_abinit(
    run: Run, directory: RunDirectory, found: FoundMaps, summary: Mapping[str, Any]
) -> None:
    """Write all results of a search for maps without a starting map.

    Parameters
    ----------
    summary : mapping
        For abinit.json, which is written last: when it is there, all is.
    """
    for number, volume in enumerate(found.maps, start=1):
        write_volume(directory.abinit_map(number), volume, run.inputs.apix)
    write_particles(directory.latent, run.inputs.particles.optics, _rows(run, found))
    write_json(directory.abinit, summary)


def _rows(run: Run, found: FoundMaps) -> Iterator[pd.DataFrame]:
    for where in chunk_ranges(len(found.number), LONGEST_ROWS):
        table = without_found(run.inputs.rows(where))
        table["rlnImageName"] = image_names(run.inputs.particles, where)
        columns: dict[str, Array] = dict(
            pose_columns(found.rotations[where], found.origins[where], run.inputs.apix)
        )
        columns["mapsortJunkProbability"] = found.junk[where]
        columns["rlnClassNumber"] = found.labels[where] + 1
        yield table.assign(**{name: np.round(values, 4) for name, values in columns.items()})
        run.execution.scratch.release()
