"""docs/compatibility.md tells of every option what it is in the code."""

from __future__ import annotations

import dataclasses
import runpy
from pathlib import Path

import pytest

from mapsort.options.multi import MultiOptions

DOCS = Path(__file__).resolve().parents[1] / "docs"

#: The original's own options (its command line of 2011).
ORIGINAL = {
    *("check", "verbose", "iter", "models", "input", "usefilt", "path", "mass", "apix", "sym"),
    *("lowmem", "parallel", "projector", "orientgen", "twostage", "shrink", "simcmp", "simalign"),
    *("simaligncmp", "simralign", "simraligncmp", "simmask", "prefilt", "sep", "classiter"),
    *("classcmp", "classalign", "classaligncmp", "classralign", "classraligncmp", "classaverager"),
    *("classkeep", "classkeepsig", "classnormproc", "classrefsf", "classautomask", "pad", "recon"),
    *("m3dkeep", "m3dkeepsig", "m3dsetsf", "m3diter", "m3dpreprocess", "m3dpostprocess"),
    "automask3d",
}


@pytest.fixture
def generator():
    return runpy.run_path(str(DOCS / "write_compatibility.py"))


def test_every_option_of_the_original_is_there():
    assert {item.name for item in dataclasses.fields(MultiOptions)} >= ORIGINAL


def test_the_page_lists_every_option(generator):
    """If not: python docs/write_compatibility.py with the reference values."""
    assert set(generator["differences"]()) == ORIGINAL | {"nomirror", "ppid"}
    page = (DOCS / "compatibility.md").read_text(encoding="utf-8")
    assert generator["OPTIONS_BEGIN"] + generator["option_list"]() in page
