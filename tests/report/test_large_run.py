"""The report of a large run is small and quick."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
def test_a_run_of_25_iterations_five_maps_and_a_hundred_thousand_particles():
    script = Path(__file__).resolve().parents[2] / "benchmarks" / "bench_report.py"
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True)
    figures = json.loads(done.stdout)
    assert (figures["particles"], figures["maps"], figures["iterations"]) == (100_000, 5, 25)
    assert figures["size_mb"] < 15
    # Processor time: what a machine with nothing else to do would take.
    assert figures["cpu_seconds"] < 10
