"""The rates that the benchmark reports, and that the benchmark runs; nothing here is timed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mapsort import _core

BENCHMARK = Path(__file__).resolve().parents[2] / "benchmarks" / "bench_alignment.py"
SECONDS = 0.005
#: Two pipes of multiply-adds on these vectors at 8 GHz: no core does more.
HIGHEST_GFLOPS = 2 * 2 * _core.build()["simd_lanes"] * 8.0


def bank(n_references, *, n_rings=6):
    """Slices of an empty map: the rates do not depend on the values."""
    made = _core.ReferenceBank(
        first_ring=1, n_rings=n_rings, n_angles=60, box=16, support_radius=6.0
    )
    window = np.zeros(_core.window_shape(2.0 * n_rings), np.complex64)
    turns = np.broadcast_to(np.eye(3), (n_references, 3, 3)).copy()
    made.add(_core.Window(window, scale=2.0, oversampling=2.0), rotations=turns)
    return made


def test_the_peak_is_what_a_processor_can_do():
    # the best of some: a core may be shared with others
    peak = max(_core.fma_peak(seconds=SECONDS) for _ in range(20))
    assert 1.0 < peak < HIGHEST_GFLOPS


@pytest.mark.parametrize(("n_references", "n_shifts"), [(1, 1), (37, 21), (64, 48)])
def test_the_product_part_is_measured_and_its_waste_counted(n_references, n_shifts):
    gflops, product, fft, used = _core.product_rate(
        bank(n_references), n_shifts=n_shifts, seconds=SECONDS
    )
    assert 0 < gflops < HIGHEST_GFLOPS
    assert product > 0
    assert np.isfinite(fft)
    lanes = _core.build()["simd_lanes"]
    blocks = -(-n_references // lanes)
    rows = 6 if lanes == 16 else 3
    assert used == pytest.approx(
        n_references * n_shifts / (blocks * lanes * -(-n_shifts // rows) * rows)
    )


def test_rate_and_time_belong_together():
    """8 flop per entry, row and lane; rows and lanes without a pair count as work, not as pairs."""
    references = bank(37)
    gflops, product, _, used = _core.product_rate(references, n_shifts=21, seconds=SECONDS)
    flops_per_pair = 8 * references.n_entries / used
    assert gflops * 1e9 * product == pytest.approx(flops_per_pair, rel=1e-9)


def test_there_must_be_references_and_shifts():
    empty = _core.ReferenceBank(first_ring=1, n_rings=4, n_angles=40, box=16, support_radius=6.0)
    with pytest.raises(ValueError, match="bank: expected at least one reference"):
        _core.product_rate(empty, n_shifts=3, seconds=SECONDS)
    with pytest.raises(ValueError, match="n_shifts: expected at least 1"):
        _core.product_rate(bank(3), n_shifts=0, seconds=SECONDS)


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
    assert "product part" in done.stdout
    assert "### Default search, one core" in text.read_text()
    return json.loads(path.read_text())


KEYS = {
    "kernels": {"box", "level", "gflops", "share_of_peak", "fft_ns_per_shift_pair"},
    "search": {"box", "pairs_per_second", "pairs_per_second_with_image_fft"},
    "agreement": {"box", "same_or_neighbour", "map_changed", "worse_score"},
    "accuracy": {"box", "median_in_plane_error_deg", "median_shift_error_px"},
    "threads": {"threads", "wall_seconds", "speed_up", "identical"},
}


def test_the_benchmark_reports_what_it_should(quick_results):
    assert {"conditions", "fma_peak_gflops", "growth", *KEYS} <= set(quick_results)
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
