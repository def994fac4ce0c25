"""Speed and exactness of the alignment; see benchmarks/README.md and docs/performance.md."""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

from alignment_measures import FULL, QUICK, measure
from alignment_report import plot, print_tables, write_markdown

from mapsort import _core


def main(arguments: list[str] | None = None) -> None:
    """Measure, print, and write what was asked for."""
    options = _parser().parse_args(arguments)
    effort = QUICK if options.quick else FULL
    results = {
        "conditions": conditions(quick=options.quick),
        **measure(effort, lambda what: print(f"... {what}", file=sys.stderr, flush=True)),
    }
    results["conditions"]["load_after"] = os.getloadavg()[0]
    print_tables(results)
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    if options.markdown:
        write_markdown(results, options.markdown)
    if options.plot:
        plot(results, options.plot)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few and small: does it run?")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the tables as text")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw them (.svg or .png)")
    return parser


def conditions(*, quick: bool) -> dict[str, Any]:
    """Return what the figures depend on: code, machine, date, and how busy it was."""
    return {
        "quick": quick,
        "commit": _commit(),
        "date": datetime.datetime.now(tz=datetime.UTC).date().isoformat(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "isa": _core.isa,
        "compiler": _core.build()["compiler"],
        "load_before": os.getloadavg()[0],
    }


def _commit() -> str:
    """Return the commit measured, marked if files differ from it; empty outside a repository."""
    here = Path(__file__).parent
    done = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--abbrev=9"],
        cwd=here,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip()


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        fields: dict[str, str] = {}
        for line in cpuinfo.read_text(encoding="ascii", errors="replace").splitlines():
            name, _, value = line.partition(":")
            fields.setdefault(name.strip(), value.strip())
        family, model = fields.get("cpu family", "?"), fields.get("model", "?")
        return f"{fields.get('model name', platform.machine())} (family {family}, model {model})"
    return platform.processor() or platform.machine()


if __name__ == "__main__":
    main()
