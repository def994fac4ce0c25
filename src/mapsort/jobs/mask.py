"""A soft mask made from a map."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mapsort.errors import ConfigError
from mapsort.model.volume import Volume
from mapsort.options.fields import refuse_to_overwrite
from mapsort.options.focus import MaskOptions
from mapsort.physics.masks import density_threshold, heavy_pieces, lowpassed, soft_edged
from mapsort.physics.normalization import PROTEIN_DENSITY_DA_PER_ANG3
from mapsort.rundir.atomic import atomic_path
from mapsort.rundir.outputs import check_output


@dataclass(frozen=True)
class MadeMask:
    """What was found in the map.

    Attributes
    ----------
    threshold : float
        Density above which a voxel belongs to the region.
    n_kept, n_pieces : int
        Connected pieces that count, of how many.
    mass_kda : float
        Of protein that fills the region, before it is extended [kDa].
    part : float
        Mean of the mask: its part of the box.
    """

    threshold: float
    n_kept: int
    n_pieces: int
    mass_kda: float
    part: float


def make_mask(options: MaskOptions) -> MadeMask:
    """Write a mask of the region where a map is dense: low-pass, threshold, extension, soft edge.

    Raises
    ------
    ConfigError
        The request is wrong, or no voxel lies above the threshold.
    """
    options.validated()
    (path,) = options.maps
    check_output(options.output, path)
    refuse_to_overwrite(options.output, overwrite=options.overwrite)
    volume = Volume.open(path, apix=options.apix)
    data = volume.data
    if options.lowpass:
        data = lowpassed(data, volume.apix / options.lowpass)
    limit = density_threshold(data) if options.threshold is None else options.threshold
    if data.max() <= limit:
        raise ConfigError(
            f"{path}: no density above {limit:.4g}; the highest is {data.max():.4g}"
            + (f" after the low-pass to {options.lowpass:g} A" if options.lowpass else "")
            + ": give a lower --threshold"
        )
    region, n_kept, n_pieces = heavy_pieces(data > limit, data - limit, part=options.piece)
    mask = soft_edged(region, margin_px=options.extend, edge_px=options.edge)
    mask = np.float32(1.0) - mask if options.invert else mask
    with atomic_path(options.output) as part:
        Volume(mask, volume.apix).write(part)
    mass = np.count_nonzero(region) * volume.apix**3 * PROTEIN_DENSITY_DA_PER_ANG3 / 1000.0
    return MadeMask(limit, n_kept, n_pieces, float(mass), float(mask.mean()))
