"""Guinier plot and local resolution in the report."""

from __future__ import annotations

import json
import re
import shutil

import numpy as np
import pytest

from mapsort.io.mrc import write_map
from mapsort.physics.filters import guinier_line, signal_amplitudes
from mapsort.report import spectra
from mapsort.report.file_cache import FileCache
from mapsort.rundir.run_record import read_run

BOX, APIX = 48, 1.5


@pytest.fixture
def halved(reported, tmp_path):
    """A copy of the run with half maps of a known decay, resolved to 4 A, and local resolution."""
    run = tmp_path / "multi_00"
    shutil.copytree(reported, run)
    rng = np.random.default_rng(7)
    frequency = np.fft.fftfreq(BOX, APIX)
    square = sum(axis**2 for axis in np.meshgrid(*3 * [frequency], indexing="ij"))
    for number in (1, 2):
        white = np.fft.fftn(rng.normal(size=(BOX, BOX, BOX)))
        density = np.fft.ifftn(white * np.exp(-100.0 * number * square / 4)).real
        for parity in ("even", "odd"):
            write_map(
                run / f"threed_{parity}_03_{number:02d}.mrc", density.astype(np.float32), APIX
            )
        mask = np.zeros((BOX, BOX, BOX), np.float32)
        mask[12:36, 12:36, 12:36] = 1
        local = np.where(mask > 0, 5.0 + number, 40.0).astype(np.float32)
        local[12:24] += mask[12:24]
        write_map(run / f"threed_mask_03_{number:02d}.mrc", np.ones_like(mask), APIX)
        write_map(run / f"locres_03_{number:02d}.mrc", local, APIX)
    path = run / "convergence.json"
    content = json.loads(path.read_text())
    for item in content["iterations"][-1]["maps"]:
        item["resolution_fsc_0143_ang"] = 4.0
        item["half_fsc"] = [1.0] * (BOX // 2 + 1)
    path.write_text(json.dumps(content))
    return read_run(run)


def test_the_line_is_the_decay_that_a_map_was_given():
    frequency = np.arange(BOX // 2 + 1) / (BOX * APIX)
    slope, height = guinier_line(3 * np.exp(-120 * frequency**2 / 4), APIX, resolution_ang=3.5)
    assert (slope, height) == (pytest.approx(-30.0), pytest.approx(np.log(3)))


def test_amplitudes_count_by_what_the_halves_share():
    volume = np.random.default_rng(1).normal(size=(16, 16, 16)).astype(np.float32)
    whole = signal_amplitudes(volume, np.ones(9))
    np.testing.assert_allclose(signal_amplitudes(volume, np.full(9, 0.5)), whole * (2 / 3) ** 0.5)
    assert not signal_amplitudes(volume, np.full(9, -0.1)).any()


def test_half_maps_tell_their_b_factors(halved):
    chart = spectra.guinier_chart(halved, FileCache())
    # A shell of white noise has hundreds of coefficients: its mean power is known to a few percent,
    # and the slope over thirteen shells to a few A^2.
    first, second = (int(value) for value in re.findall(r"map \d (\d+) Å²", chart.note))
    assert first == pytest.approx(100, abs=10)
    assert second == pytest.approx(200, abs=10)


def test_maps_without_halves_have_a_plot_without_lines(reported):
    chart = spectra.guinier_chart(read_run(reported), FileCache())
    assert "B factor" not in chart.note
    assert "each filtered by its resolution" in chart.note


def test_local_resolution_is_shown_where_it_is_there(reported, halved):
    assert spectra.local_charts(read_run(reported), FileCache()) == []
    charts = spectra.local_charts(halved, FileCache())
    assert [chart.title for chart in charts] == [
        "Local resolution of map 1",
        "Local resolution of map 2",
    ]
    assert all(chart.png.startswith("data:image/jpeg") for chart in charts)
