"""Bring the generated list in docs/compatibility.md up to date.

python docs/write_compatibility.py GOLDEN.json

GOLDEN.json holds reference values of the original; what it calls a bug is listed with its reason.
"""

from __future__ import annotations

import dataclasses
import json
import re
import sys
from pathlib import Path

from mapsort.options.fields import flag_of
from mapsort.options.multi import MultiOptions

BEGIN = "<!-- generated list: begin -->"
END = "<!-- generated list: end -->"
OPTIONS_BEGIN = "<!-- generated options: begin -->"
OPTIONS_END = "<!-- generated options: end -->"

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


def differences() -> dict[str, tuple[str, str]]:
    """Return each option's default in the original and what differs here."""
    table = Path(__file__).with_name("option_differences.tsv").read_text(encoding="utf-8")
    rows = [line.split("\t") for line in table.splitlines() if not line.startswith("#")]
    return {name: (default, words) for name, default, words in rows}


def option_list() -> str:
    """Return the table of the original's options: what each does here, and what is different."""
    header = "| option | what it does | default | there | differences |"
    lines = ["", header, "|---|---|---|---|---|"]
    fields = {item.name: item for item in dataclasses.fields(MultiOptions)}
    for name, (default, words) in differences().items():
        cells = [f"`{flag_of(name)}`", "refused", "", "", words]
        if name in fields:
            item = fields[name]
            required = item.default is dataclasses.MISSING
            own = "required" if required else _shown(item.default)
            cells[1:4] = [item.metadata["help"], own, default]
        plain = (cell.replace("|", "or").replace("<", "\\<") for cell in cells)
        lines.append("| " + " | ".join(plain) + " |")
    return "\n".join([*lines, ""])


def _shown(value: object) -> str:
    if value is None or value == () or value == "":
        return ""
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return str(value)


def replaced(text: str, begin: str, end: str, between: str) -> str:
    """Return the text with what stands between two marks replaced."""
    before, rest = text.split(begin)
    return f"{before}{begin}{between}{end}{rest.split(end)[1]}"


def main(golden: str) -> None:
    """Rewrite the lists."""
    page = Path(__file__).with_name("compatibility.md")
    entries = json.loads(Path(golden).read_text(encoding="utf-8"))
    text = replaced(page.read_text(encoding="utf-8"), BEGIN, END, generated_list(entries))
    text = replaced(text, OPTIONS_BEGIN, OPTIONS_END, option_list())
    page.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
