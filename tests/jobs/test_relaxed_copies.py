"""Copies of a relaxed symmetry, judged by maps that are made without the particle."""

from __future__ import annotations

import numpy as np
import pytest
from tests.jobs.test_relax import APIX, QUICK, assembly, copies_found, mixed_up, particles

import mapsort
from mapsort.io.star import read_particles
from mapsort.refinement.table_poses import table_poses


@pytest.fixture(scope="module", params=[((1,), 240), ((), 120)], ids=["marked", "equal"])
def run(request, tmp_path_factory):
    """Of equal copies half as many: a map of fewer holds more of each of them.

    The last digits of a processor's sums decide where particles of equal copies go: what a particle
    is surer of by a map that holds it is .085 to .15 with 240, and .26 to .30 with 120.
    """
    marked, n = request.param
    path = tmp_path_factory.mktemp("copies")
    truth, starts = particles(path, [assembly("c4", marked=marked)], n=n, snr=0.1)
    asked = {"relax": "c4", "skipalign": True, "iter": 3} | QUICK
    source = mixed_up(truth, "c4")
    made = mapsort.refine_multi(source, starts, path=path / "run", **asked)
    return made, truth, marked


def test_copies_are_right_where_one_is_marked_and_doubted_where_all_are_equal(run):
    """Of 240 particles a share of 0.95 deviates by 0.014; of equal copies none is right."""
    made, truth, marked = run
    table = read_particles(made.path / "relaxed.star")[1]
    found = table_poses(truth, table, APIX, purpose="a test")[0]
    right = (copies_found(found, truth, "c4") == 0).mean()
    sure = table["mapsortCopyProbability"].mean()
    (told,) = (line for line in made.verdict.doubts if "symmetry copy" in line)
    if marked:
        assert right > 0.9
        assert abs(sure - right) < 0.07
        assert "of noise" not in told
    else:
        # the iterations' own probability is that of a map that holds the particle
        assert sure < made.assignments["mapsortCopyProbability"].mean() - 0.1
        assert "the map's asymmetry is of noise" in told


def test_only_the_copies_change(run):
    """About the axis of c4, which is z, a copy leaves each view's height as it was."""
    made, _, _ = run
    table = read_particles(made.path / "relaxed.star")[1]
    before, after = (
        table_poses(made.path, each, APIX, purpose="a test") for each in (made.assignments, table)
    )
    np.testing.assert_allclose(before[1], after[1], atol=1e-3)
    np.testing.assert_allclose(before[0][:, :, 2], after[0][:, :, 2], atol=1e-4)
