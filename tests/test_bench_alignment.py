"""That the alignment benchmark runs and reports what it should; nothing here is timed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARK = Path(__file__).resolve().parents[1] / "benchmarks" / "bench_alignment.py"


@pytest.fixture(scope="module")
def quick_results(tmp_path_factory):
    path = tmp_path_factory.mktemp("benchmark") / "results.json"
    text = path.with_suffix(".md")
    done = subprocess.run(
        [sys.executable, str(BENCHMARK), "--quick", "--json", str(path), "--markdown", str(text)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "kernel of each level" in done.stdout
    assert "### Default search, one core" in text.read_text()
    return json.loads(path.read_text())


KEYS = {
    "kernels": {"box", "level", "gflops", "share_of_sgemm", "ns_per_shift_pair"},
    "search": {"box", "pairs_per_second", "pairs_per_second_with_image_fft"},
    "agreement": {"box", "same_or_neighbour", "map_changed", "worse_score"},
    "accuracy": {"box", "median_in_plane_error_deg", "median_shift_error_px"},
    "threads": {"threads", "wall_seconds", "speed_up", "identical"},
}


def test_the_benchmark_reports_what_it_should(quick_results):
    assert {"conditions", "sgemm_gflops", "growth", *KEYS} <= set(quick_results)
    assert {"commit", "date", "processor", "isa", "quick"} <= set(quick_results["conditions"])
    for name, keys in KEYS.items():
        for row in quick_results[name]:
            assert keys <= set(row), name
    for name in ("particles", "step_deg", "max_shift_px"):
        rows = quick_results["growth"][name]
        assert len(rows) >= 2
        assert all(row["us_per_pair"] > 0 for row in rows)


def test_what_it_found_does_not_depend_on_the_machine(quick_results):
    """Forty particles: threads change no bit, and noise-free poses are found to a fraction."""
    assert all(row["identical"] for row in quick_results["threads"])
    for row in quick_results["accuracy"]:
        assert row["right_reference"] == 1.0
        assert row["median_in_plane_error_deg"] <= 0.2
        assert row["median_shift_error_px"] <= 0.05
    for row in quick_results["agreement"]:
        assert row["better_score"] == 0.0  # than the oracle's
