"""Simplex search (Nelder & Mead (1965), Computer J. 7, 308, doi:10.1093/comjnl/7.4.308)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import scipy.optimize

from mapsort.array_types import Float64


def lowest(
    cost: Callable[[Float64], float], towards: Float64, *, precision: float, maxiter: int
) -> Float64:
    """Return where a function (n,) -> number is lowest near the origin.

    The first simplex has its corners at the origin and at ``towards`` (n,) along each axis; the
    search ends when it is smaller than ``precision`` or after so many iterations.
    """
    found = scipy.optimize.minimize(
        cost,
        np.zeros(len(towards)),
        method="Nelder-Mead",
        options={
            "initial_simplex": np.vstack([np.zeros(len(towards)), np.diag(towards)]),
            "xatol": precision,
            "fatol": np.inf,  # the size of the simplex alone decides
            "maxiter": maxiter,
            "maxfev": 10 * maxiter,
        },
    )
    return np.asarray(found.x)
