"""Running comparators on a pair of images or maps."""

from __future__ import annotations

from typing import Any

import numpy as np

from mapsort.array_types import Array
from mapsort.errors import ConfigError
from mapsort.geometry.arrays import real_array
from mapsort.modules.modopt import ModuleCall
from mapsort.modules.registry import COMPARATORS
from mapsort.physics.ctf import ContrastTransfer


def compare(
    spec: ModuleCall | str,
    this: Array,
    with_: Array,
    *,
    apix: float = 1.0,
    ctf: ContrastTransfer | None = None,
    **parameters: Any,
) -> float:
    """Compare two aligned images or maps.

    Parameters
    ----------
    spec : ModuleCall or str
        Comparator and parameters, for example ``"frc:maxres=10"``.
    this, with_ : ndarray of shape (n, n) or (n, n, n)
        Particle and reference.
    apix : float
        Pixel size, Angstrom.
    ctf : ContrastTransfer, optional
        Of the particle; used by ``loglik`` and for ``snrweight`` without a curve.
    **parameters
        More parameters of the comparator; arrays where the specification would name a file.

    Returns
    -------
    float
        Smaller is better.

    Raises
    ------
    ConfigError
        Unknown name or parameter, a wrong value, or shapes that differ or are not square or cubic.

    Examples
    --------
    >>> import numpy as np
    >>> round(compare("ccc", np.eye(8), 2 * np.eye(8) + 1), 6)
    -1.0
    """
    bound = COMPARATORS.bind(spec, parameters)
    a, b = real_array(this, "this", None), real_array(with_, "with_", None)
    if a.shape != b.shape or a.ndim not in (2, 3) or len(set(a.shape)) != 1:
        raise ConfigError(
            f"compare: expected two images (n, n) or two maps (n, n, n), got {a.shape}, {b.shape}"
        )
    if not (np.isfinite(apix) and apix > 0):
        raise ConfigError(f"apix={apix}: expected a pixel size above 0 A")
    return bound(a, b, apix=apix, ctf=ctf)
