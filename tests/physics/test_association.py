"""Statistics of classifications against SciPy's."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from mapsort.physics.association import (
    chi_squared,
    cramers_v,
    crosstab,
    kruskal_wallis,
    median_chi_squared,
)

KINDS = st.lists(st.tuples(st.integers(0, 3), st.integers(2, 5)), min_size=3, max_size=60)


@given(KINDS)
def test_tables_and_what_they_say_are_scipys(pairs: list[tuple[int, int]]) -> None:
    a, b = np.array(pairs).T
    table = crosstab(a, b)
    np.testing.assert_array_equal(table, scipy.stats.contingency.crosstab(a, b).count)
    if min(table.shape) < 2:
        assert cramers_v(table) == 0.0
        return
    found = scipy.stats.chi2_contingency(table, correction=False)
    assert chi_squared(table) == pytest.approx((found.statistic, found.pvalue), abs=1e-12)
    expected = scipy.stats.contingency.association(table, method="cramer")
    assert cramers_v(table) == pytest.approx(expected, abs=1e-12)


@given(KINDS)
def test_ranks_are_kruskals(pairs: list[tuple[int, int]]) -> None:
    values, classes = np.array(pairs).T
    groups = [values[classes == each] for each in np.unique(classes)]
    if len(groups) < 2 or np.ptp(values) == 0:
        return
    expected = scipy.stats.kruskal(*groups)
    assert kruskal_wallis(values, classes) == pytest.approx(tuple(expected), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("freedom", [1, 2, 7])
def test_the_median_of_chi_squared(freedom: int) -> None:
    assert median_chi_squared(freedom) == pytest.approx(scipy.stats.chi2.median(freedom))
