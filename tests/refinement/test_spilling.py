"""What lies in scratch files is what lay in memory: the same results, bit for bit."""

from __future__ import annotations

import pytest

from mapsort.refinement import memory_plan
from mapsort.rundir import scratch


@pytest.mark.parametrize(
    "options",
    [{"iter": 2, "speed": 7}, {"halves": True, "assign": "soft"}, {"inputmode": "particles"}],
    ids=str,
)
def test_classes_and_particles_in_files(run_tiny, results, monkeypatch, options):
    in_memory = run_tiny(**options)
    monkeypatch.setattr(scratch, "_LEAST_BYTES", 1)
    monkeypatch.setattr(memory_plan, "_SPILLED_FROM", 0)
    monkeypatch.setattr(memory_plan, "PIECE_BYTES", 0)
    monkeypatch.setattr("mapsort.refinement.class_sums.PIECE_BYTES", 0)
    assert results(run_tiny(**options).path) == results(in_memory.path)
