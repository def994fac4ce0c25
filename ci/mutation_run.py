"""Run a room's tests on every fault of a cosmic-ray session: SESSION.sqlite TESTS [SECONDS].

A process that has imported the libraries, and nothing of mapsort, is forked for each fault: tests
start at once. Those that are named as the faulty module go first. A fault is killed by the first
test that fails, or by taking more than SECONDS (120) of processor time.
"""

from __future__ import annotations

import importlib
import os
import resource
import sys
import tempfile
import time
import traceback
from pathlib import Path

import cosmic_ray.plugins
import pytest
from cosmic_ray.mutating import use_mutation
from cosmic_ray.work_db import WorkDB, use_db
from cosmic_ray.work_item import MutationSpec, TestOutcome, WorkerOutcome, WorkResult

LIBRARIES = (
    "h5py",
    "hypothesis.extra.numpy",
    "mrcfile",
    "numpy.testing",
    "pandas",
    "scipy.fft",
    "scipy.ndimage",
    "scipy.optimize",
    "scipy.spatial.transform",
    "scipy.stats",
    "starfile",
)
# pytest would rewrite hypothesis if it came later; and that it comes earlier is no error.
OPTIONS = ("-q", "-x", "-p", "no:cacheprovider", "--rootdir=.")
OPTIONS += ("-W", "ignore::pytest.PytestAssertRewriteWarning")


def main(session: str, tests: Path, seconds: int) -> None:
    """Try all faults of a session that have no result yet."""
    for name in LIBRARIES:
        importlib.import_module(name)
    assert not any(name.split(".")[0] == "mapsort" for name in sys.modules)
    # Without a fault all must pass: else every fault would seem to be noticed.
    passed, output = _pass(_in_order(tests, ""), 10 * seconds)
    if not passed:
        raise SystemExit(f"the tests fail without a fault:\n{output}")
    with use_db(session, WorkDB.Mode.open) as database:
        items = sorted(database.pending_work_items, key=lambda item: item.job_id)
        for number, item in enumerate(items, start=1):
            (fault,) = item.mutations
            started = time.monotonic()
            result = _tried(fault, tests, seconds)
            database.set_result(item.job_id, result)
            outcome = "no fault" if result.test_outcome is None else result.test_outcome.value
            print(
                f"{number}/{len(items)} {outcome} {fault.module_path.name}:{fault.start_pos[0]} "
                f"{fault.operator_name} ({time.monotonic() - started:.0f} s)",
                flush=True,
            )


def _tried(fault: MutationSpec, tests: Path, seconds: int) -> WorkResult:
    operator = cosmic_ray.plugins.get_operator(fault.operator_name)(**fault.operator_args)
    with use_mutation(fault.module_path, operator, fault.occurrence) as (before, after):
        if after is None:
            return WorkResult(worker_outcome=WorkerOutcome.NO_TEST)
        passed, output = _pass(_in_order(tests, fault.module_path.stem), seconds)
    return WorkResult(
        worker_outcome=WorkerOutcome.NORMAL,
        test_outcome=TestOutcome.SURVIVED if passed else TestOutcome.KILLED,
        output=output,
        diff=_changed_lines(before, after, fault.start_pos[0]),
    )


def _in_order(tests: Path, module: str) -> list[str]:
    own = sorted(tests.glob(f"test_{module}*.py"))
    return [str(path) for path in (*own, *sorted(set(tests.rglob("test_*.py")) - set(own)))]


def _pass(files: list[str], seconds: int) -> tuple[bool, str]:
    """Whether all tests pass in a process of their own, and what they print."""
    with tempfile.TemporaryFile() as output:
        child = os.fork()
        if child == 0:
            _test(files, seconds, output.fileno())
        _, status = os.waitpid(child, 0)
        output.seek(0)
        return status == 0, output.read().decode(errors="replace")


def _test(files: list[str], seconds: int, output: int) -> None:
    os.dup2(output, 1)
    os.dup2(output, 2)
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    code = 1
    try:
        code = int(pytest.main([*OPTIONS, *files]))
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        # Not sys.exit: the parent's clean-up is the parent's.
        os._exit(code)


def _changed_lines(before: str, after: str, line: int) -> str:
    old, new = before.splitlines(), after.splitlines()
    return f"-{old[line - 1].strip()}\n+{new[line - 1].strip()}\n"


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 120)
