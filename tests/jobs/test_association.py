"""Tests of association are those of SciPy, which takes longer to load than they take."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from scipy import stats

from mapsort.jobs.association import chi_squared, contingency_table, cramers_v, kruskal_wallis


@pytest.mark.parametrize("seed", range(10))
def test_they_are_those_of_scipy(seed):
    rng = np.random.default_rng(seed)
    n = rng.integers(30, 500)
    a, b = 3 * rng.integers(0, rng.integers(2, 6), n), rng.integers(3, 8, n) - 5
    table = contingency_table(a, b)
    np.testing.assert_array_equal(table, stats.contingency.crosstab(a, b).count)
    expected = stats.chi2_contingency(table, correction=False)
    np.testing.assert_allclose(chi_squared(table), expected[:2], rtol=1e-12)
    np.testing.assert_allclose(cramers_v(table), stats.contingency.association(table), rtol=1e-12)
    values = np.round(rng.standard_normal(n), 1)  # many are equal
    height = stats.kruskal(*(values[b == each] for each in np.unique(b)))
    np.testing.assert_allclose(kruskal_wallis(values, b), tuple(height), rtol=1e-9)


def test_one_value_of_a_property_goes_with_nothing():
    one, other = np.zeros(7, int), np.arange(7) % 2
    assert cramers_v(contingency_table(one, other)) == 0.0
    assert chi_squared(contingency_table(one, other)) == (0.0, 1.0)


def test_a_verdict_does_not_load_all_of_scipys_statistics():
    code = "import sys, mapsort.jobs.verdict; sys.exit('scipy.stats' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
