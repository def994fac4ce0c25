"""The README's quick start is what the CI runs."""

from __future__ import annotations

import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def block(number):
    script = ROOT / "ci" / "readme_block.sh"
    done = subprocess.run(["bash", script, str(number)], check=True, capture_output=True, text=True)
    return done.stdout


def test_there_are_exactly_two_blocks():
    assert block(1).rstrip().endswith("pip install . && mapsort demo")
    assert block(2).rstrip().endswith('pip install ".[test]" && pytest -n 2')
    assert block(3) == ""


def test_each_block_starts_from_nothing():
    for number in (1, 2):
        assert block(number).startswith("python3 -m venv .venv && . .venv/bin/activate && ")
