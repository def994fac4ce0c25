"""How far two classifications of the same particles agree, whatever they call their classes."""

from __future__ import annotations

import numpy as np
from scipy.optimize import linear_sum_assignment

from mapsort.array_types import Float64, Int64

Labels = Int64


def relabelled(run: Labels, reference: Labels, count: int) -> Labels:
    """Return a run's labels, renumbered so that most particles agree with a reference."""
    together = np.zeros((count + 1, count + 1), np.int64)
    np.add.at(together, (run, reference), 1)
    rows, columns = linear_sum_assignment(-together[1:, 1:])
    numbers = np.zeros(count + 1, np.int64)
    numbers[1 + rows] = 1 + columns
    return np.asarray(numbers[run])


def rand_index(a: Labels, b: Labels) -> float:
    """Return the adjusted Rand index of two classifications of the same particles.

    1 for the same one, 0 on average for two by chance (Hubert & Arabie, J. Classif. 2 (1985) 193).
    """
    (_, first), (_, second) = (np.unique(labels, return_inverse=True) for labels in (a, b))
    table = np.zeros((first.max() + 1, second.max() + 1))
    np.add.at(table, (first, second), 1.0)

    def pairs(counts: Float64) -> float:
        return float((counts * (counts - 1.0) / 2.0).sum())

    rows, columns = pairs(table.sum(axis=1)), pairs(table.sum(axis=0))
    expected = rows * columns / max(pairs(np.array([len(a)], float)), 1.0)
    best = 0.5 * (rows + columns)
    return 1.0 if best == expected else (pairs(table) - expected) / (best - expected)
