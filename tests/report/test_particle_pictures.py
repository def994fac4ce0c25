"""Images of particles in the report: which ones, and in which order."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from mapsort.report.file_cache import FileCache
from mapsort.report.particle_pictures import _by_score, _spread, pictures_section
from mapsort.rundir.run_record import read_run


def scored(values):
    return pd.DataFrame({"rlnLogLikeliContribution": values})


def test_best_middling_and_worst_each_once():
    scores = np.random.default_rng(3).permutation(101).astype(float)
    chosen = scores[_by_score(scored(scores))]
    assert chosen[:8].tolist() == list(range(100, 92, -1))
    assert chosen[8:16].mean() == pytest.approx(50, abs=1)
    assert chosen[16:].tolist() == list(range(7, -1, -1))
    assert len(set(chosen)) == 24


def test_few_particles_are_all_shown():
    assert _by_score(scored([1.0, 3.0, 2.0])).tolist() == [1, 2, 0]


def test_junk_is_shown_evenly_spread():
    assert _spread(0, 24).tolist() == []
    assert _spread(3, 24).tolist() == [0, 1, 2]
    assert _spread(240, 24)[[0, -1]].tolist() == [0, 239]


def test_every_map_of_a_run_has_pictures(reported):
    section = pictures_section(read_run(reported), FileCache())
    counts = read_run(reported).counts[-1]
    assert [chart.title for chart in section.charts] == [
        f"{name.capitalize()}: {n} particles"
        for name, n in zip(counts.names, counts.all, strict=True)
    ]
    assert all(chart.png.startswith("data:image/png;base64,") for chart in section.charts)


def test_images_that_have_moved_are_told(stopped):
    run = stopped(2)
    table = run / "particles_02.star"
    table.write_text(table.read_text().replace("particles.mrcs", "elsewhere.mrcs"))
    section = pictures_section(read_run(run), FileCache())
    assert section.charts == ()
    assert section.words[-1].startswith("The images cannot be shown: ")
