"""Execute a page: its bash and python blocks, in order, in one directory; keep what they print.

python docs/execute_tutorial.py PAGE DIRECTORY

What block N prints is left in DIRECTORY/output_N.txt, which the page includes.
"""

from __future__ import annotations

import hashlib
import re
import resource
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from mapsort import __version__, build_config

_BLOCK = re.compile(r"^```(bash|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Block(NamedTuple):
    """A block of code of a page."""

    language: str
    code: str


def blocks(page: str) -> list[Block]:
    """Return the bash and python blocks of a page, in order."""
    return [Block(*match.groups()) for match in _BLOCK.finditer(page)]


def execute_if_stale(page: Path, directory: Path) -> None:
    """Execute a page unless this very page was executed there by this very program."""
    stamp = directory / "executed.txt"
    if not stamp.is_file() or stamp.read_text() != _fingerprint(page):
        execute(page, directory)


def execute(page: Path, directory: Path) -> None:
    """Execute a page in an empty directory.

    Raises
    ------
    RuntimeError
        A block ended with an error; the message holds what it printed.
    """
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    started = _children_cpu_seconds()
    for number, block in enumerate(blocks(page.read_text(encoding="utf-8")), start=1):
        command = (
            ["bash", "-euo", "pipefail"] if block.language == "bash" else [sys.executable, "-"]
        )
        done = subprocess.run(
            command,
            input=block.code,
            cwd=directory,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise RuntimeError(f"{page.name}: block {number} failed:\n{block.code}\n{done.stdout}")
        (directory / f"output_{number}.txt").write_text(done.stdout, encoding="utf-8")
    seconds = _children_cpu_seconds() - started
    (directory / "seconds.txt").write_text(
        f"{seconds:.0f} seconds of processor time\n", encoding="utf-8"
    )
    (directory / "executed.txt").write_text(_fingerprint(page))


def _children_cpu_seconds() -> float:
    """Return the processor time of all programs that were started: it stands a busy machine."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _fingerprint(page: Path) -> str:
    digest = hashlib.sha256(page.read_bytes()).hexdigest()
    return f"{digest} mapsort {__version__} {build_config()['isa_active']}\n"


if __name__ == "__main__":
    execute(Path(sys.argv[1]), Path(sys.argv[2]))
