"""The benchmark suite runs, and what it compares agrees; nothing is timed here."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SUITE = Path(__file__).resolve().parents[1] / "benchmarks" / "suite"


def test_every_comparison_finds_the_same():
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--quick"]
    asked = [*words, "--benchmark-disable", str(SUITE)]
    finished = subprocess.run(asked, capture_output=True, text=True)
    assert finished.returncode == 0, finished.stdout[-3000:]
    assert " passed" in finished.stdout
