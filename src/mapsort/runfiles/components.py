"""What ``mapsort pca`` writes: maps, movies along the components, the table, the summary."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from mapsort.array_types import Array, Float32, Float64
from mapsort.engines.chunks import chunk_ranges
from mapsort.io.star import write_particles
from mapsort.refinement.run import Run
from mapsort.refinement.table_poses import pose_columns
from mapsort.rundir.layout import RunDirectory
from mapsort.rundir.text import write_json
from mapsort.runfiles.tables import LATENT, LONGEST_ROWS, image_names, without_found
from mapsort.runfiles.volumes import write_volume
from mapsort.stages.classify.junk import JUNK_FROM

#: Frames of a movie: standard deviations of the coordinate.
FRAMES = (-2, -1, 0, 1, 2)


@dataclass(frozen=True)
class Latent:
    """What was found of n particles."""

    #: (n, 3, 3).
    rotations: Float64
    #: [pixels], (n, 2).
    origins: Float64
    #: Along the components, of standard deviation about 1, (n, q).
    coordinates: Float64
    #: (n,).
    scale: Float64
    #: Probability that an image holds no particle, (n,).
    junk: Float64

    def columns(self, where: slice, apix: float) -> dict[str, Array]:
        """Return the columns of the table for a range of particles."""
        found: dict[str, Float64] = pose_columns(self.rotations[where], self.origins[where], apix)
        found["mapsortScale"] = self.scale[where]
        for number, values in enumerate(self.coordinates[where].T, start=1):
            found[f"{LATENT}{number}"] = values
        columns = {name: np.round(values, 4) for name, values in found.items()}
        columns["mapsortJunkProbability"] = np.round(self.junk[where], 6)
        return columns | {"rlnClassNumber": np.where(self.junk[where] > JUNK_FROM, 2, 1)}


def variance_shares(components: Float32) -> list[float]:
    """Return each component's part of the variance of all that are given, (q, box, box, box)."""
    power = np.sum(components.astype(np.float64) ** 2, axis=(1, 2, 3))
    return [float(share) for share in power / power.sum()] if len(power) else []


def write_components(
    run: Run,
    directory: RunDirectory,
    maps: Float32,
    latent: Latent,
    summary: Mapping[str, Any],
) -> None:
    """Write all results of a search for components.

    Parameters
    ----------
    maps : ndarray of shape (q + 1, box, box, box), float32
        The mean and the components.
    summary : mapping
        For pca.json, which is written last: when it is there, all is.
    """
    apix = run.inputs.apix
    write_volume(directory.mean, maps[0], apix)
    for number, component in enumerate(maps[1:], start=1):
        write_volume(directory.component(number), component, apix)
        for frame, deviations in enumerate(FRAMES, start=1):
            path = directory.movie_frame(number, frame)
            path.parent.mkdir(exist_ok=True)
            write_volume(path, maps[0] + np.float32(deviations) * component, apix)
    write_particles(directory.latent, run.inputs.particles.optics, _rows(run, latent))
    write_json(directory.pca, summary)


def _rows(run: Run, latent: Latent) -> Iterator[pd.DataFrame]:
    for where in chunk_ranges(len(latent.junk), LONGEST_ROWS):
        table = without_found(run.inputs.rows(where))
        table["rlnImageName"] = image_names(run.inputs.particles, where)
        yield table.assign(**latent.columns(where, run.inputs.apix))
        run.execution.scratch.release()
