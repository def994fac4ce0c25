"""Freed arrays do not stay with the process."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

CODE = """
import re, sys
import numpy as np
from mapsort.engines.allocation import give_back_freed_memory

def resident():
    return int(re.search(r"VmRSS:\\s+(\\d+)", open("/proc/self/status").read())[1]) / 1024

if sys.argv[1] == "yes":
    assert give_back_freed_memory()
kept, before = [], resident()
for _ in range(8):
    # what a chunk of particles does: large arrays that go, small ones that stay
    large = [np.ones(3_500_000, np.float32) for _ in range(6)]
    kept.append(np.ones(8_000, np.float32))
    del large
print(resident() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="a setting of glibc")
def test_what_is_freed_goes_back():
    left = subprocess.run(
        [sys.executable, "-c", CODE, "yes"], check=True, capture_output=True, text=True
    )
    assert float(left.stdout) < 16
