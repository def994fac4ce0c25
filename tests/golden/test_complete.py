"""The reference values are all there: tests of many entries do not miss those that went."""

from __future__ import annotations

import re
from collections import Counter


def test_no_entry_is_missing(golden):
    statuses = Counter(entry["status"] for entry in golden.entries)
    assert statuses == {"exact": 820, "approx": 163, "bug": 49}


def test_every_array_is_there(golden):
    values = [entry["value"] for entry in golden.entries]
    named = {value["array"] for value in values if isinstance(value, dict) and "array" in value}
    assert named == set(golden.outputs.files)


def test_every_input_is_there(golden, golden_dir):
    assert set(golden.inputs.files) <= golden.facts.keys()
    for entry in golden.entries:
        for name in [*entry["inputs"], *re.findall(r"@(\w+)", entry["module"])]:
            known = golden.outputs if name.startswith("outputs:") else golden.facts
            found = name.removeprefix("outputs:") in known or (golden_dir / name).exists()
            assert found, (entry["id"], name)
