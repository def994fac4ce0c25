from __future__ import annotations

import json
import logging
import re
from pathlib import Path

import pytest

from mapsort.errors import Interrupted
from mapsort.rundir.log import LOGGER, run_log, stage


def test_one_line_for_each_stage(tmp_path: Path) -> None:
    path, lines_path = tmp_path / "run.log", tmp_path / "run.log.json"
    with run_log(path, json_path=lines_path):
        with stage("match", iteration=1) as facts:
            facts["particles"] = 5000
        with stage("reconstruct", iteration=1, model=2):
            pass
    assert facts["seconds"] >= 0
    lines = path.read_text().splitlines()
    stamp = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d INFO"
    assert re.fullmatch(rf"{stamp} match iteration=1 particles=5000 done \d+\.\d\d s", lines[0])
    assert re.fullmatch(rf"{stamp} reconstruct iteration=1 map=2 done \d+\.\d\d s", lines[1])
    first = json.loads(lines_path.read_text().splitlines()[0])
    assert first["stage"] == "match"
    assert first["facts"] == {"iteration": 1, "particles": 5000}


def test_failed_stage_is_logged_and_raised(tmp_path: Path) -> None:
    path = tmp_path / "run.log"
    with pytest.raises(ZeroDivisionError), run_log(path), stage("average"):
        _ = 1 / 0
    assert " ERROR average failed " in path.read_text()


@pytest.mark.parametrize("error", [Interrupted("interrupted by SIGTERM"), KeyboardInterrupt()])
def test_an_interrupted_stage_is_no_error(tmp_path: Path, error: BaseException) -> None:
    path = tmp_path / "run.log"
    with pytest.raises(type(error)), run_log(path), stage("match", iteration=2):
        raise error
    assert re.search(r" INFO match iteration=2 interrupted \d+\.\d\d s$", path.read_text().strip())
    assert "ERROR" not in path.read_text()


def test_log_only_grows_and_stops_with_the_block(tmp_path: Path) -> None:
    path = tmp_path / "run.log"
    level, handlers = LOGGER.level, list(LOGGER.handlers)
    for word in ("first", "second"):
        with run_log(path):
            logging.getLogger("mapsort.jobs").info("%s run\nsecond line", word)
            logging.getLogger("mapsort.jobs").debug("not wanted")
    logging.getLogger("mapsort").warning("after the end")
    assert [line.split(" INFO ")[1] for line in path.read_text().splitlines()] == [
        "first run | second line",
        "second run | second line",
    ]
    assert (LOGGER.level, LOGGER.handlers) == (level, handlers)
