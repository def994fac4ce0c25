"""FSC as a sum over sectors of directions, so that its uncertainty can be found by drawing them.

Fourier terms of a masked map are correlated with their neighbours, and shells differ by nature: the
FSC falls with frequency. What can be exchanged are directions. The half sphere is divided into
sectors, and a curve is drawn anew from as many sectors, some taken twice and some not at all.
"""

from __future__ import annotations

import numpy as np
import scipy.fft

from mapsort.array_types import Array, Float32, Float64, Indices, Int64
from mapsort.physics.shells import box_of, friedel_weight, shell_index

#: Sectors of the half sphere: enough to draw from, each wider than a mask correlates terms.
N_SECTORS = 24


def sector_terms(a: Array, b: Array, *, n_sectors: int = N_SECTORS) -> Float64:
    """Return the sums that an FSC of two maps is made of, (3, n_sectors, n//2 + 1) float64.

    Re(A B*), |A|^2 and |B|^2 of the terms of each sector and rounded shell.
    """
    box = box_of(a, "a")
    place, weight = _places(box, n_sectors)
    fa, fb = scipy.fft.rfftn(a), scipy.fft.rfftn(b)
    n_shells = box // 2 + 1
    inside = place >= 0
    sums = [
        np.bincount(place[inside], (weight * values)[inside], n_sectors * n_shells)
        for values in ((fa * fb.conj()).real, np.abs(fa) ** 2, np.abs(fb) ** 2)
    ]
    return np.asarray(np.stack(sums).reshape(3, n_sectors, n_shells), dtype=np.float64)


def curve_of(terms: Float64, counts: Array) -> Float64:
    """Return the FSC (n//2 + 1,) with every sector taken ``counts`` (n_sectors,) times."""
    cross, power_a, power_b = np.einsum("s,tsk->tk", counts.astype(np.float64), terms)
    norm = np.sqrt(power_a * power_b)
    curve = np.zeros(len(cross))
    np.divide(cross, norm, out=curve, where=norm > 0)
    return curve


def drawn_counts(draws: int, *, n_sectors: int = N_SECTORS) -> Int64:
    """Return how often each sector is taken in every draw, (draws, n_sectors)."""
    rng = np.random.default_rng(0)
    return rng.multinomial(n_sectors, np.full(n_sectors, 1.0 / n_sectors), size=draws)


def _places(box: int, n_sectors: int) -> tuple[Indices, Float32]:
    """Return sector x shell of each term of a half transform (-1: none), and its weight."""
    k = scipy.fft.fftfreq(box, 1.0 / box)
    z, y, x = np.meshgrid(k, k, np.arange(box // 2 + 1), indexing="ij")
    directions = np.stack([x, y, z], axis=-1)
    nearest = np.argmax(np.abs(directions @ _axes(n_sectors).T), axis=-1)
    shells = shell_index(box, ndim=3)
    place = np.where(shells <= box // 2, nearest * (box // 2 + 1) + shells, -1)
    weight = np.broadcast_to(friedel_weight(box, ndim=3), shells.shape)
    return place, np.asarray(weight)


def _axes(n: int) -> Float64:
    """Return axes that share the half sphere evenly, (n, 3): a spiral of equal areas."""
    z = (np.arange(n) + 0.5) / n
    turn = np.pi * (3.0 - np.sqrt(5.0)) * np.arange(n)
    radius = np.sqrt(1.0 - z**2)
    return np.stack([radius * np.cos(turn), radius * np.sin(turn), z], axis=1)
