"""Bring the generated list in docs/compatibility.md up to date.

python docs/write_compatibility.py GOLDEN.json

GOLDEN.json holds reference values of the original; what it calls a bug is listed with its reason.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

BEGIN = "<!-- generated list: begin -->"
END = "<!-- generated list: end -->"

#: Modules are this room's; projectors and reconstructors tell their own differences.
KINDS = {"processor": "processors", "cmp": "comparators", "aligner": "aligners"}

#: What notes for implementers say, in the words of this page.
WORDS = {
    "EMAN2 defect: ": "",
    "; mapsort must not reproduce it": "",
    "; amplitude replacement": "",
    " apix parameter overrides the header": "",
    ": mapsort must use": "; here",
    ": mapsort should honour it": "; honoured here",
    "EMAN2": "the original",
}


def reason(note: str) -> str:
    """Return the part of a note that says what is wrong."""
    words = note.split("agreement with the truth entry at least as good;")[-1]
    for written, meant in WORDS.items():
        words = words.replace(written, meant)
    return words.strip(" ;")


def generated_list(entries: list[dict[str, object]]) -> str:
    """Return the tables of entries that are not reproduced, one line per module and setting."""
    lines: list[str] = []
    for kind, title in KINDS.items():
        found: dict[str, tuple[str, set[str]]] = {}
        for entry in entries:
            if entry["kind"] == kind and entry["status"] == "bug":
                setting = re.sub(r"_o\b", "_e", str(entry["module"]))
                inputs = found.setdefault(setting, (reason(str(entry["note"])), set()))[1]
                inputs.add(", ".join(entry["inputs"]))  # type: ignore[arg-type]
        lines += [
            "",
            f"### {title.capitalize()}",
            "",
            "| setting | inputs | reason |",
            "|---|---|---|",
        ]
        for setting, (words, inputs) in found.items():
            shown = setting.replace("|", "with")
            lines.append(f"| `{shown}` | {'; '.join(sorted(inputs))} | {words} |")
    return "\n".join([*lines, ""])


def main(golden: str) -> None:
    """Rewrite the list."""
    page = Path(__file__).with_name("compatibility.md")
    before, rest = page.read_text(encoding="utf-8").split(BEGIN)
    after = rest.split(END)[1]
    entries = json.loads(Path(golden).read_text(encoding="utf-8"))
    page.write_text(f"{before}{BEGIN}{generated_list(entries)}{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
