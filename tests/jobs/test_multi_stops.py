"""Runs that go wrong or are stopped: what they leave."""

from __future__ import annotations

import logging
import re

import mrcfile
import numpy as np
import pytest

import mapsort
from mapsort.engines.progress import SilentProgress
from mapsort.errors import Interrupted, NumericalError
from mapsort.io.hdf import HdfReader
from mapsort.io.star import read_particles
from mapsort.rundir.text import read_convergence, read_fsc


class Messages(SilentProgress):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def message(self, text: str) -> None:
        self.lines.append(text)


class StopsAt(SilentProgress):
    """Raises Interrupted as a signal would: at the first unit of a stage of an iteration."""

    def __init__(self, stage: str, iteration: int) -> None:
        self._where = (stage, iteration)
        self._now: tuple[str, int] | None = None

    def start(self, stage: str, _total: int, *, iteration: int, **_of: int) -> None:
        self._now = (stage, iteration)

    def advance(self, _amount: int) -> None:
        if self._now == self._where:
            raise Interrupted("interrupted by SIGTERM; finished files are kept")


@pytest.fixture
def seeds(tiny):
    return [mapsort.Volume.open(path) for path in tiny.seeds]


@pytest.fixture
def four_seeds(seeds):
    """The two true maps, a black one and a blob of noise, which starve."""
    radius2 = ((np.indices((16,) * 3) - 8) ** 2).sum(axis=0)
    noise = np.random.default_rng(0).standard_normal((16,) * 3) * np.exp(-radius2 / 10)
    return [*seeds, mapsort.Volume(-seeds[0].data, 8.0), mapsort.Volume(noise, 8.0)]


def test_a_map_without_particles_in_the_last_iteration_stays_as_it_was(
    run_tiny, four_seeds, caplog
):
    told = Messages()
    with caplog.at_level(logging.WARNING, logger="mapsort"):
        run = run_tiny(models=four_seeds, iter=1, progress=told)
    (only,) = run.convergence
    assert 3 in only["empty_maps"]
    assert only["reseeded_maps"] == []
    assert only["occupancy"][2] == 0
    warning = "map 3 received no particles; it stays as it was"
    assert any(warning in record.getMessage() for record in caplog.records)
    assert f"WARNING iteration 1: {warning}" in (run.path / "run.log").read_text()
    assert warning in told.lines
    before, after = (
        mapsort.Volume.open(run.path / f"threed_{i}_03.mrc").data for i in ("00", "01")
    )
    np.testing.assert_array_equal(before, after)


def test_before_that_it_starts_again(run_tiny, four_seeds):
    told = Messages()
    run = run_tiny(models=four_seeds, iter=3, progress=told)
    assert 3 in run.convergence[0]["reseeded_maps"]
    assert 3 not in run.convergence[0]["empty_maps"]
    warning = "class 3 was nearly empty and has been re-seeded from the worst-fitting particles"
    assert f"WARNING iteration 1: {warning}" in (run.path / "run.log").read_text()
    assert warning in told.lines


@pytest.mark.parametrize(
    ("stage", "iteration"),
    [("match", 0), ("match", 1), ("average", 2), ("reconstruct", 2)],
)
def test_an_interrupted_run_leaves_whole_files_only(run_tiny, tmp_path, stage, iteration):
    with pytest.raises(Interrupted):
        run_tiny(iter=3, progress=StopsAt(stage, iteration))
    path = tmp_path / "run_00"
    names = {entry.name for entry in path.iterdir()}
    assert not [name for name in names if name.startswith(".") or "tmp" in name]
    assert {"0_refine_parms.json", "run.log"} <= names
    assert ("threed_00_02.mrc" in names) == (iteration > 0)
    finished = max(0, iteration - 1)
    assert len(read_convergence(path / "convergence.json")) == finished
    assert ("particles_01.star" in names) == (finished == 1)
    assert not [
        name
        for name in names
        if "_02" in name and not name.endswith("_02.mrc") and name != "fsc_01_02.txt"
    ]
    for name in sorted(path.iterdir()):
        if name.suffix == ".mrc":
            assert mrcfile.validate(name)
        elif name.suffix == ".hdf":
            with HdfReader(name) as reader:
                assert len(reader.images()) == reader.n_images > 0
        elif name.name.startswith("particles_"):
            assert len(read_particles(name)[1]) == 40
        elif name.suffix == ".txt":
            read_fsc(name)
    assert "interrupted by SIGTERM" in (path / "run.log").read_text()


def test_interrupted_before_the_run_directory_is_made(run_tiny, tmp_path):
    with pytest.raises(Interrupted):
        run_tiny(progress=StopsAt("read particles", 0))
    assert list(tmp_path.iterdir()) == []


def test_a_numerical_failure_is_in_the_log(run_tiny, tmp_path, monkeypatch):
    """A failure says what it is, ends the run, and no map is written."""

    def empty(_sums, **_options):
        return np.zeros((16,) * 3, np.float32)

    monkeypatch.setattr("mapsort.refinement.solving.solve", empty)
    with pytest.raises(NumericalError, match="no density"):
        run_tiny()
    path = tmp_path / "run_00"
    assert not (path / "threed_01_01.mrc").exists()
    assert re.search(r"ERROR .*no density", (path / "run.log").read_text())
