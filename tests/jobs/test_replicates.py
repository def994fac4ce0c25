"""Replicates: labels are matched, the vote is the consensus, unstable classes show."""

from __future__ import annotations

import json

import numpy as np
import pytest

from mapsort.errors import ConfigError
from mapsort.io.star import read_particles
from mapsort.jobs.multi import refine_multi
from mapsort.jobs.replicates import PART, consensus, drawn
from mapsort.rundir.result_record import read_results
from mapsort.stages.classify.agreement import rand_index, relabelled

N = 600


def runs_of(rng, truth, wrong=0.1, count=5, left_out=0.2):
    """Runs that are wrong of some, number classes as they like and have not seen all."""
    made = []
    for number in range(count):
        labels = np.where(rng.random(N) < wrong, rng.integers(1, 4, N), truth)
        labels = rng.permutation(3)[labels - 1] + 1
        made.append(np.where(rng.random(N) < (left_out if number else 0.0), 0, labels))
    return np.stack(made)


def test_the_vote_is_better_than_a_run_and_knows_where_it_is_not_sure():
    rng = np.random.default_rng(1)
    truth = rng.integers(1, 4, N)
    runs = runs_of(rng, truth, wrong=0.3)
    made = consensus(runs)
    right = relabelled(made.labels, truth, 3) == truth
    alone = relabelled(runs[0], truth, 3) == truth
    assert right.mean() > alone.mean() + 0.1
    assert made.stability[right].mean() > made.stability[~right].mean() + 0.2
    assert made.stability.min() >= 1 / 5
    assert made.stability.max() == 1.0


def test_two_votes_from_other_runs_agree():
    rng = np.random.default_rng(2)
    truth = rng.integers(1, 4, N)
    first, second = (consensus(runs_of(rng, truth)).labels for _ in range(2))
    assert np.mean(relabelled(second, first, 3) == first) >= 0.95


def test_a_class_that_dissolves_shows():
    rng = np.random.default_rng(3)
    truth = rng.integers(1, 4, N)
    runs = np.stack([np.where(truth > 1, rng.integers(2, 4, N), 1) for _ in range(5)])
    made = consensus(runs)
    assert made.jaccard[0] == 1.0
    assert made.jaccard[1:].max() < 0.6
    assert 0.3 < made.agreement < 0.8


def test_the_rand_index_is_that_of_pairs():
    rng = np.random.default_rng(4)
    a, b = rng.integers(0, 3, 60), rng.integers(0, 2, 60)
    same_a, same_b = (labels[:, None] == labels for labels in (a, b))
    above = np.triu_indices(60, 1)
    x, y = same_a[above], same_b[above]
    expected = x.sum() * y.sum() / len(x)
    direct = ((x & y).sum() - expected) / (0.5 * (x.sum() + y.sum()) - expected)
    assert rand_index(a, b) == pytest.approx(direct)
    assert rand_index(a, 2 - a) == 1.0


def test_copies_are_drawn_together():
    images = np.repeat(np.arange(50), 2)
    chosen = drawn(images, 7, 2)
    assert len(chosen) == 2 * round(PART * 50)
    assert set(np.bincount(images[chosen])) == {0, 2}
    assert not np.array_equal(chosen, drawn(images, 7, 3))


def test_a_run_with_replicates(tiny, tmp_path):
    run = refine_multi(
        tiny.particles,
        tiny.seeds,
        path=tmp_path / "run",
        iter=1,
        replicates=3,
        control=True,
        randomseed=1,
        orientgen="eman:delta=30",
        parallel="thread:1",
    )
    table = read_particles(run.path / "consensus.star")[1]
    own = run.assignments
    assert table["rlnImageName"].tolist() == own["rlnImageName"].tolist()
    assert table["mapsortStability"].between(1 / 3 - 1e-3, 1).all()
    assert len(read_particles(run.path / "replicate_03/particles_01.star")[1]) == round(PART * 40)
    # of the run itself, and of no replicate
    assert list(run.path.glob("**/control_*")) == [run.path / "control_01"]
    kept = json.loads((run.path / "replicates.json").read_text())
    assert kept["replicates"] == 3
    assert sum(kept["particles"]) == 40
    assert "Replicates" in [record.title for record in read_results(run.path)]


def test_a_filtered_copy_is_refused(tiny):
    with pytest.raises(ConfigError, match="--replicates=2"):
        refine_multi(tiny.particles, tiny.seeds, replicates=2, usefilt=tiny.particles, iter=1)
