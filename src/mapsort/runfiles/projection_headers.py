"""Headers of projections in EMAN2's HDF5 files, without what makes them: loaded in no time."""

from __future__ import annotations

import numpy as np

from mapsort.array_types import Integer, Real
from mapsort.io.hdf_header import EmanTransform, HeaderValue


def projection_headers(
    model: Integer, rotations: Real, shifts: Real | None = None
) -> list[dict[str, HeaderValue]]:
    """Return the headers of projections of maps, numbered from 0; shifts (n, 2) are in pixels."""
    moves = np.zeros((len(rotations), 3, 1))
    if shifts is not None:
        moves[:, :2, 0] = shifts
    transforms = np.concatenate([rotations, moves], axis=2)
    return [
        {"model_id": int(map_) + 1, "xform.projection": EmanTransform(matrix), "ptcl_repr": 0}
        for map_, matrix in zip(model, transforms, strict=True)
    ]
