"""Freed memory is used again, and only so much of it stays with the process."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

CODE = """
import ctypes, re, resource, sys
import numpy as np
from mapsort.engines.resources import reuse_freed_memory

def resident():
    return int(re.search(r"VmRSS:\\s+(\\d+)", open("/proc/self/status").read())[1]) / 1024

# Faults count memory in pages of one size: how many huge ones there are depends on the machine.
PR_SET_THP_DISABLE = 41
assert ctypes.CDLL(None).prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0) == 0
assert reuse_freed_memory()
kept, before = [], resident()
faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(int(sys.argv[1])):
    # what a chunk of particles does: large arrays that go, small ones that stay
    large = [np.ones(int(sys.argv[2]), np.float32) for _ in range(6)]
    kept.append(np.ones(8_000, np.float32))
    del large
print(resident() - before, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - faults)
"""

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="a setting of glibc")


def left_and_faults(rounds, size):
    command = [sys.executable, "-c", CODE, str(rounds), str(size)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    left, faults = map(float, done.stdout.split())
    return left, faults


def test_large_arrays_go_back():
    left, _ = left_and_faults(8, 5_000_000)
    assert left < 16


def test_what_others_leave_is_used_again():
    """So that eight rounds leave no more than one took, and memory is cleared once.

    What a round frees is less than what may stay free at the end of the memory: where small arrays
    happen to lie, beyond it or in a gap before it, must not matter.
    """
    _, once = left_and_faults(1, 2_500_000)
    left, often = left_and_faults(8, 2_500_000)
    assert left < 6 * 10 + 16
    assert often < 2 * once
