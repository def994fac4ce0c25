"""Whether two properties of particles go together: the few tests that the verdict asks for.

`scipy.stats` has them, too, but its import takes longer than all of a verdict's tests.
"""

from __future__ import annotations

import numpy as np
import scipy.special

from mapsort.array_types import Float64, Indices, Integer


def contingency_table(a: Integer, b: Integer) -> Indices:
    """Return how many particles have each pair of values of two properties (n,)."""
    (rows, row), (columns, column) = (np.unique(each, return_inverse=True) for each in (a, b))
    shape = len(rows), len(columns)
    return np.bincount(row * len(columns) + column, minlength=shape[0] * shape[1]).reshape(shape)


def chi_squared(table: Indices) -> tuple[float, float]:
    """Return Pearson's chi-squared of a contingency table, and its p-value."""
    expected = np.outer(table.sum(axis=1), table.sum(axis=0)) / table.sum()
    squared = float(((table - expected) ** 2 / expected).sum())
    return squared, _chance(squared, (table.shape[0] - 1) * (table.shape[1] - 1))


def cramers_v(table: Indices) -> float:
    """Return Cramer's V of a contingency table; 0 where a property has a single value."""
    fewer = min(table.shape) - 1
    return float(np.sqrt(chi_squared(table)[0] / table.sum() / fewer)) if fewer else 0.0


def kruskal_wallis(values: Float64, groups: Integer) -> tuple[float, float]:
    """Return Kruskal and Wallis' H of values (n,), not all equal, in groups (n,), and its p-value.

    Kruskal & Wallis, J. Am. Stat. Assoc. 47 (1952) 583; equal values share their mean rank.
    """
    n = len(values)
    _, place, ties = np.unique(values, return_inverse=True, return_counts=True)
    rank = (np.cumsum(ties) - 0.5 * (ties - 1))[place]
    _, group, size = np.unique(groups, return_inverse=True, return_counts=True)
    spread = float((np.bincount(group, rank) ** 2 / size).sum())
    height = 12.0 / (n * (n + 1)) * spread - 3.0 * (n + 1)
    height /= 1.0 - float((ties.astype(np.float64) ** 3 - ties).sum()) / (float(n) ** 3 - n)
    return height, _chance(height, len(size) - 1)


def _chance(squared: float, freedom: int) -> float:
    """Return how probable it is that chi-squared is as large; 1 without any freedom."""
    return float(scipy.special.chdtrc(freedom, max(squared, 0.0))) if freedom else 1.0
