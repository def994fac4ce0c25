"""The kernels' threads as a process sees them: little memory, no more threads, fork."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")


def output_of(*arguments, **environment):
    done = subprocess.run(
        [sys.executable, *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@linux
@pytest.mark.parametrize("n_threads", [1, 2, 5])
def test_without_memory_every_kernel_raises_and_goes_on(n_threads):
    """No hang, no end of the process: MemoryError, or the same numbers as with all memory."""
    program = Path(__file__).with_name("little_memory.py")
    done, failed, longest = map(float, output_of(str(program), str(n_threads)).split())
    assert failed >= 3
    assert done + failed == 8 * 12
    assert longest < 10  # a second on a machine of one's own


THREADS = """
import os, sys
import numpy as np
from mapsort import _core

def call(n_threads):
    grid = np.arange(64 * 64 * 33).reshape(64, 64, 33).astype(np.complex64)
    return _core.gather_window(grid, 20.0, n_threads=n_threads)

def threads():
    return len(os.listdir("/proc/self/task"))
"""

COUNT = """
first = threads()
call(1)
assert threads() == first, "one thread is the caller"
call(4)
assert threads() == first + 3
call(2)
call(4)
assert threads() == first + 3, "threads are kept for the next call"
"""

FORK = """
one = call(1)
assert np.array_equal(call(3), one)
child = os.fork()
if child == 0:
    os._exit(0 if np.array_equal(call(3), one) else 1)
assert os.waitpid(child, 0)[1] == 0
assert np.array_equal(call(3), one)
"""

NO_MORE_THREADS = """
import re, resource
one = call(1)
held = [np.empty(2**16) for _ in range(8)]
size = int(re.search(r"VmSize:\\s+(\\d+)", open("/proc/self/status").read())[1]) * 1024
resource.setrlimit(resource.RLIMIT_AS, (size + one.nbytes + 2**21, resource.RLIM_INFINITY))
first = threads()
assert np.array_equal(call(40), one)
assert threads() == first, "no address space for a thread's stack"
"""


@linux
@pytest.mark.parametrize("program", [COUNT, FORK, NO_MORE_THREADS])
def test_threads_of_the_process(program):
    output_of("-W", "ignore", "-c", THREADS + program)


def test_importing_sets_no_environment():
    program = (
        "import os; before = dict(os.environ); import mapsort._core; print(before == os.environ)"
    )
    assert output_of("-c", program) == "True"
