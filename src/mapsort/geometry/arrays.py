"""Arrays that a caller hands in: real numbers, or an error that names the argument."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from mapsort.array_types import Array
from mapsort.errors import ConfigError


def real_array(
    values: ArrayLike, name: str, dtype: DTypeLike | None = np.float64, *, finite: bool = True
) -> Array:
    """Return numbers as an array of the type that is computed with.

    Parameters
    ----------
    values : array_like
        Of any shape; integers and booleans are numbers, too.
    name : str
        What to call it in the error message.
    dtype : dtype, optional
        Of the result; None: that of `values`.
    finite : bool
        Whether NaN and infinity are refused.

    Returns
    -------
    ndarray of the shape of `values`
        The array itself if it is of that type already.

    Raises
    ------
    ConfigError
        For complex numbers, whose imaginary part would be lost, for what are no numbers, and, with
        `finite`, for NaN and infinity.
    """
    given = np.asarray(values)
    if given.dtype.kind not in "biuf":
        raise ConfigError(f"{name}: expected real numbers, got {given.dtype}")
    converted = given if dtype is None else given.astype(dtype, copy=False)
    if finite and not np.isfinite(converted).all():
        raise ConfigError(f"{name}: holds NaN or infinity")
    return converted
