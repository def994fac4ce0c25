"""Whether classifications go together: chi-squared, Cramer's V, Kruskal and Wallis's ranks.

A run needs these few of SciPy's statistics only, whose import takes half a second.
"""

from __future__ import annotations

import numpy as np
import scipy.special

from mapsort.array_types import Int64, Integer, Real


def crosstab(a: Integer, b: Integer) -> Int64:
    """Return how often each kind in ``a`` (n,) goes with each kind in ``b`` (n,)."""
    rows, row = np.unique(a, return_inverse=True)
    columns, column = np.unique(b, return_inverse=True)
    table = np.zeros((len(rows), len(columns)), np.int64)
    np.add.at(table, (row, column), 1)
    return table


def chi_squared(table: Integer) -> tuple[float, float]:
    """Return Pearson's statistic of a contingency table, and the chance of as much or more."""
    expected = np.outer(table.sum(axis=1), table.sum(axis=0)) / table.sum()
    squared = float(np.sum((table - expected) ** 2 / expected))
    freedom = (table.shape[0] - 1) * (table.shape[1] - 1)
    return squared, float(scipy.special.chdtrc(freedom, squared))


def cramers_v(table: Integer) -> float:
    """Return Cramer's V; 0 where all are of one kind."""
    fewest = min(table.shape) - 1
    return float(np.sqrt(chi_squared(table)[0] / (table.sum() * fewest))) if fewest else 0.0


def kruskal_wallis(values: Real, classes: Integer) -> tuple[float, float]:
    """Return H of the ranks of values in several classes, both (n,), corrected for ties; and p.

    Values are not all the same.
    """
    _, place, ties = np.unique(values, return_inverse=True, return_counts=True)
    rank = (np.cumsum(ties) - 0.5 * (ties - 1))[place]
    n = len(rank)
    _, number, count = np.unique(classes, return_inverse=True, return_counts=True)
    sums = np.asarray(np.bincount(number, rank), np.float64)
    height = 12.0 / (n * (n + 1.0)) * float(np.sum(sums**2 / count)) - 3.0 * (n + 1.0)
    height /= 1.0 - float(np.sum(ties.astype(np.float64) ** 3 - ties)) / (float(n) ** 3 - n)
    return height, float(scipy.special.chdtrc(len(count) - 1, height))


def median_chi_squared(freedom: int) -> float:
    """Return the median of the chi-squared distribution."""
    return 2.0 * float(scipy.special.gammaincinv(0.5 * freedom, 0.5))
