from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest

from mapsort import __version__
from mapsort.errors import FormatError
from mapsort.rundir import manifest as module
from mapsort.rundir.manifest import (
    changed_inputs,
    make_manifest,
    read_manifest,
    record_input,
    write_manifest,
)


def test_round_trip(tmp_path: Path) -> None:
    data = tmp_path / "particles.star"
    data.write_text("data")
    options = {"iter": 3, "input": data, "models": ("a.mrc", "b.mrc"), "sep": None, "x": 0.5}
    made = make_manifest(options, seed=42, inputs=[data, data], command=["mapsort", "multi"])
    path = tmp_path / "0_refine_parms.json"
    write_manifest(path, made)
    assert read_manifest(path) == made
    content = json.loads(path.read_text())
    assert content["options"]["models"] == ["a.mrc", "b.mrc"]
    assert content["options"]["input"] == str(data)
    assert content["seed"] == 42
    assert content["program"] == f"mapsort {__version__}"
    assert content["machine"]["cores"] >= 1
    assert len(content["inputs"]) == 1
    assert content["inputs"][0]["sha256"] == hashlib.sha256(b"data").hexdigest()
    assert content["inputs"][0]["size_bytes"] == 4
    assert content["inputs"][0]["hashed"] == "whole file"


def test_large_files_are_hashed_at_both_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "WHOLE_HASH_LIMIT_BYTES", 3 << 20)
    monkeypatch.setattr(module, "END_HASH_BYTES", 1 << 20)
    path = tmp_path / "large.mrcs"
    path.write_bytes(b"a" * (3 << 20))
    assert record_input(path).hashed == "whole file"
    with path.open("ab") as file:
        file.write(b"b")
    record = record_input(path)
    assert record.hashed == "first 1 MiB, last 1 MiB, size"
    ends = b"a" * (1 << 20) + b"a" * ((1 << 20) - 1) + b"b" + str((3 << 20) + 1).encode()
    assert record.sha256 == hashlib.sha256(ends).hexdigest()
    with path.open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"c")
    assert record_input(path).sha256 != record.sha256


def test_changed_inputs(tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("same", "touched", "edited", "gone")]
    for file in files:
        file.write_text("one")
    made = make_manifest({}, seed=0, inputs=files)
    assert changed_inputs(made) == []
    os.utime(files[1], (1, 1))
    files[2].write_text("two")
    files[3].unlink()
    assert changed_inputs(made) == [f"{files[2]} has changed", f"{files[3]} is gone"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not a JSON file"),
        ("[]", "not a parameter file of mapsort"),
        ('{"iter": 3, "last_map": "threed_03.hdf"}', "not a parameter file of mapsort"),
        ('{"format": 1, "inputs": []}', "damaged parameter file"),
        ('{"format": 1, "inputs": [], "command": [], "strange": 1}', "damaged parameter file"),
    ],
)
def test_files_that_are_no_manifest(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "0_refine_parms.json"
    path.write_text(content)
    with pytest.raises(FormatError, match=rf"0_refine_parms\.json: .*{message}"):
        read_manifest(path)


def test_missing(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="parms"):
        read_manifest(tmp_path / "parms.json")
    with pytest.raises(FormatError, match="nothing: cannot be read"):
        make_manifest({}, seed=0, inputs=[tmp_path / "nothing"])
