"""Speed and exactness of projection; see benchmarks/README.md and docs/performance.md."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

from bench_alignment import conditions
from projection_measures import FULL, QUICK, measure


def main(arguments: list[str] | None = None) -> None:
    """Measure, print the tables, and write what was asked for."""
    options = _parser().parse_args(arguments)
    before = conditions(quick=options.quick)
    results = measure(
        QUICK if options.quick else FULL,
        lambda what: print(f"... {what}", file=sys.stderr, flush=True),
    )
    before["load_after"] = os.getloadavg()[0]
    lines = [", ".join(f"{name} {value}" for name, value in before.items())]
    for title, rows in results.items():
        lines += ["", f"### {title[0].upper()}{title[1:]}", ""]
        lines += [_row([name.replace("_", " ") for name in rows[0]]), _row(["---:"] * len(rows[0]))]
        lines += [_row([_text(value) for value in row.values()]) for row in rows]
    print("\n".join(lines))
    if options.json:
        figures = {"conditions": before, **results}
        options.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    if options.markdown:
        options.markdown.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few and small: does it run?")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the tables as text")
    return parser


def _row(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _text(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    main()
