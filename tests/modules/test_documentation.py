"""The pages of docs/ say what the code does."""

from __future__ import annotations

import re
from pathlib import Path

from mapsort.modules.listing import find_kind, kind_names, listing, markdown_page, registry_of
from mapsort.modules.registry import ModuleKind

DOCS = Path(__file__).resolve().parents[2] / "docs"


def test_the_page_of_modules_is_up_to_date():
    """If not: python docs/write_modules.py."""
    assert (DOCS / "modules.md").read_text(encoding="utf-8") == markdown_page()


def test_every_difference_is_listed(golden):
    """If not: python docs/write_compatibility.py with the reference values."""
    page = (DOCS / "compatibility.md").read_text(encoding="utf-8")
    wanted = golden.select(
        lambda e: e["status"] == "bug" and e["kind"] in ("processor", "cmp", "aligner")
    )
    for entry in wanted:
        setting = re.sub(r"_o\b", "_e", entry["module"]).replace("|", "with")
        assert f"`{setting}`" in page, entry["id"]


def test_every_module_and_parameter_has_help():
    for kind in ModuleKind:
        for module in registry_of(kind).modules():
            assert len(module.help) > 3, module.name
            for parameter in module.parameters:
                assert len(parameter.help) > 3, (module.name, parameter.name)


def test_kinds_have_several_spellings():
    for word in ("orientgen", "orientation-generators", "Orientation generator"):
        assert find_kind(word) == "orientation generator"
    for name in kind_names():
        assert listing(find_kind(name), parameters=True)
