"""Running aligners on a pair of images or maps."""

from __future__ import annotations

from typing import Any

import numpy as np

from mapsort.array_types import Array
from mapsort.errors import ConfigError
from mapsort.geometry.arrays import real_array
from mapsort.modules.comparators import COMPARATORS
from mapsort.modules.modopt import ModuleCall
from mapsort.modules.registry import ALIGNERS, Transform
from mapsort.physics.ctf import ContrastTransfer


def align(
    spec: ModuleCall | str,
    moving: Array,
    fixed: Array,
    *,
    score: ModuleCall | str = "ccc",
    start: Transform | None = None,
    apix: float = 1.0,
    ctf: ContrastTransfer | None = None,
    **parameters: Any,
) -> Transform:
    """Align one image or map with another.

    Parameters
    ----------
    spec : ModuleCall or str
        Aligner and parameters, for example ``"rotate_translate_flip:maxshift=5"``.
    moving, fixed : ndarray of shape (n, n) or (n, n, n)
    score : ModuleCall or str
        Comparator that chooses among poses (``refine`` and ``refine_3d``: that is optimised).
    start : Transform2D or Transform3D, optional
        Pose to start from, for aligners that refine.
    apix : float
        Pixel size, Angstrom.
    ctf : ContrastTransfer, optional
        For the comparator.
    **parameters
        More parameters of the aligner; arrays where the specification would name a file.

    Returns
    -------
    Transform2D or Transform3D
        Of the moving onto the fixed image, in EMAN's sense.

    Raises
    ------
    ConfigError
        Unknown name or parameter, a wrong value, or shapes that differ or do not suit.

    Examples
    --------
    >>> import numpy as np
    >>> image = np.zeros((16, 16))
    >>> image[6:9, 5:12] = 1.0
    >>> align("translational:intonly=1", image, np.roll(image, (2, -1), (0, 1)))
    Transform2D(alpha=0.0, tx=-1.0, ty=2.0, mirror=False)
    """
    bound = ALIGNERS.bind(spec, parameters)
    compared = COMPARATORS.bind(score)
    a = real_array(moving, "moving", np.float32)
    b = real_array(fixed, "fixed", np.float32)
    if a.shape != b.shape or a.ndim not in (2, 3) or len(set(a.shape)) != 1:
        raise ConfigError(
            f"align: expected two images (n, n) or two maps (n, n, n), got {a.shape}, {b.shape}"
        )

    def compare(moved: Array, other: Array) -> float:
        return compared(moved, other, apix=apix, ctf=ctf)

    return bound(a, b, score=compare, start=start, apix=apix)
