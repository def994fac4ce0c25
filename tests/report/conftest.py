"""A small finished run with its report, and copies of it that stopped earlier."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.report.chromium import chromium

from mapsort.jobs.multi import refine_multi_run
from mapsort.jobs.simulate import simulate
from mapsort.options.fields import typed_options
from mapsort.options.multi import MultiOptions
from mapsort.options.simulate import SimulateOptions
from mapsort.report.page import report_keeper


@pytest.fixture(scope="session")
def reported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Directory of a run of three iterations whose report was written while it went on."""
    out = tmp_path_factory.mktemp("reported")
    made = simulate(
        SimulateOptions(
            phantom=2, out=out, n=120, box=32, apix=4.0, snr=0.3, shift=2.0, seed=3, seedres=24.0
        )
    )
    options = typed_options(
        MultiOptions,
        {
            "input": made.particles,
            "models": made.seeds,
            "iter": 3,
            "orientgen": "eman:delta=20",
            "sep": 2,
            "randomseed": 5,
            "parallel": "thread:1",
            "path": out / "multi_00",
        },
    )
    return refine_multi_run(options.validated(), watcher=report_keeper()).path


@pytest.fixture
def stopped(reported: Path, tmp_path: Path) -> Callable[..., Path]:
    """Make a copy of the run as it was after some iterations, with further lines in its log."""

    def make(n_iterations: int, *lines: str) -> Path:
        copy = tmp_path / f"multi_{n_iterations:02d}"
        shutil.copytree(reported, copy)
        convergence = copy / "convergence.json"
        content = json.loads(convergence.read_text())
        content["iterations"] = content["iterations"][:n_iterations]
        convergence.write_text(json.dumps(content))
        if n_iterations == 0:
            convergence.unlink()
        log = (copy / "run.log").read_text().splitlines()
        last = next(i for i, s in enumerate(log) if f"iteration={n_iterations + 1} " in s)
        (copy / "run.log").write_text("\n".join([*log[:last], *lines]) + "\n")
        for path in copy.iterdir():
            number = path.stem.split("_")[1:2] or ["0"]
            if path.is_file() and number[0].isdigit() and int(number[0]) > n_iterations:
                path.unlink()
        return copy

    return make


@pytest.fixture(scope="package")
def browser() -> Iterator[Any]:
    """Chromium, for the modules that can have it."""
    from playwright.sync_api import sync_playwright

    # Not longer than this package: Playwright keeps an event loop running in this thread.
    with sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        yield opened
        opened.close()
