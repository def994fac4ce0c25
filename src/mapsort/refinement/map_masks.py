"""The masks that maps get after reconstruction."""

from __future__ import annotations

import logging

import numpy as np

from mapsort.array_types import Float32
from mapsort.engines.progress import warn
from mapsort.physics.auto_mask import auto_mask
from mapsort.physics.masks import envelope_core, soft_edged
from mapsort.physics.normalization import normalize_by_mass
from mapsort.refinement.run import Run

LOGGER = logging.getLogger(__name__)

#: Margin and soft edge of the automatic mask about the density, and its smoothing (of the box).
MASK_MARGIN, MASK_EDGE, MASK_SMOOTHING = 0.047, 0.08, 0.094
#: A mask smaller than this part of the envelope about all maps leaves no molecule.
SMALLEST_PART = 0.05


def masks_of(run: Run, volumes: list[Float32], sphere: Float32) -> list[Float32]:
    """Return the mask of each map.

    By default one for all, so that no map gains by a mask of its own: the union of soft
    envelopes about their densities. With ``--automask3d``, each map's own, as the original; where
    that leaves next to nothing, the union in its place, which is told.
    """
    wanted = run.options.automask3d
    if wanted is None:
        return [_envelope(run, volumes, sphere)] * len(volumes)
    scaled = [scaled_to_mass(run, volume, model) for model, volume in enumerate(volumes)]
    own = [auto_mask(volume, **wanted._asdict()) * sphere for volume in scaled]
    # the envelope lies inside the sphere: it is made only where a mask may be too small for it
    if min(float(mask.sum()) for mask in own) >= SMALLEST_PART * float(sphere.sum()):
        return own
    union = _envelope(run, volumes, sphere)
    empty = [float(mask.sum()) < SMALLEST_PART * float(union.sum()) for mask in own]
    for model in np.flatnonzero(empty).tolist():
        _tell_empty(run, wanted.threshold, float(scaled[model].max()), model)
    return [union if left else mask for mask, left in zip(own, empty, strict=True)]


def scaled_to_mass(run: Run, volume: Float32, model: int) -> Float32:
    """Return the map scaled so that density 1 encloses its mass, if ``--mass`` is given."""
    if run.options.masses is None:
        return volume
    return normalize_by_mass(volume, run.inputs.apix, run.options.masses[model])


def _envelope(run: Run, volumes: list[Float32], sphere: Float32) -> Float32:
    box = run.plan.grid.box
    smoothing = max(6.0, MASK_SMOOTHING * box)
    cores = [envelope_core(volume * sphere, smoothing_px=smoothing) for volume in volumes]
    # about all of them at once: the edge is one of the distance to the nearest
    return sphere * soft_edged(
        np.any(cores, axis=0), margin_px=MASK_MARGIN * box, edge_px=MASK_EDGE * box
    )


def _tell_empty(run: Run, threshold: float, highest: float, model: int) -> None:
    text = (
        f"--automask3d: a threshold of {threshold:g} leaves next to nothing of map {model + 1}, "
        f"whose densities reach {highest:.3g}; the envelope about all maps is used in its place. "
        "Densities are in units of the images, unless --mass makes 1 the surface"
    )
    LOGGER.warning("%s", text)
    warn(run.execution.progress, text)
