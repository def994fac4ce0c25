"""Writing of maps, whole or not at all, without what makes them: loaded in no time."""

from __future__ import annotations

from pathlib import Path

from mapsort.array_types import Float32
from mapsort.model.volume import Volume
from mapsort.rundir.atomic import atomic_path


def write_volume(path: Path, volume: Float32, apix: float) -> None:
    """Write one map, as MRC2014 or, where the name ends so, as EMAN2 HDF."""
    with atomic_path(path) as part:
        Volume(volume, apix).write(part)
