"""progress.json: whole at every moment, and what a monitor wants to know."""

from __future__ import annotations

import json

from mapsort.engines.progress import SilentProgress
from mapsort.runfiles import progress_file
from mapsort.runfiles.progress_file import ProgressFile


class Shown(SilentProgress):
    def __init__(self):
        self.units, self.lines = 0, []

    def advance(self, amount):
        self.units += amount

    def message(self, text):
        self.lines.append(text)


def test_it_follows_the_run_and_passes_everything_on(tmp_path, monkeypatch):
    monkeypatch.setattr(progress_file, "WRITE_SECONDS", 0.0)
    path, shown = tmp_path / "progress.json", Shown()
    progress = ProgressFile(shown, path)

    def read():
        assert [entry.name for entry in tmp_path.iterdir()] == ["progress.json"]
        return json.loads(path.read_text())

    progress.start("match", 100, iteration=2, n_iterations=5)
    begun = read()
    assert (begun["state"], begun["stage"], begun["done"], begun["total"]) == (
        "running",
        "match",
        0,
        100,
    )
    assert (begun["iteration"], begun["n_iterations"], begun["seconds_left"]) == (2, 5, None)
    progress.advance(25)
    now = read()
    assert now["done"] == shown.units == 25
    assert now["seconds_left"] >= 0
    progress.message("a line")
    assert shown.lines == ["a line"]
    progress.finish("done")
    assert read()["done"] == 100
    progress.end("interrupted", "by SIGTERM")
    last = read()
    assert (last["state"], last["message"]) == ("interrupted", "by SIGTERM")


def test_it_is_not_written_for_every_chunk(tmp_path):
    path = tmp_path / "progress.json"
    progress = ProgressFile(SilentProgress(), path)
    progress.start("match", 100, iteration=1, n_iterations=1)
    before = path.stat().st_ino
    for _ in range(100):
        progress.advance(1)
    assert path.stat().st_ino == before
