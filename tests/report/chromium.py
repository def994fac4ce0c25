"""Where Chromium is, for the tests that open a report in it."""

from __future__ import annotations

import os
import shutil

import pytest


def chromium() -> str:
    """Return the path of Chromium; without it or Playwright, the module that asks is skipped.

    A module asks when it is imported, so that it is one skip with its reason, not one for each
    of its tests.
    """
    pytest.importorskip("playwright.sync_api", reason="needs the extra: browser (Playwright)")
    program = os.environ.get("MAPSORT_CHROMIUM") or shutil.which("chromium")
    if program is None:
        reason = "no chromium; set MAPSORT_CHROMIUM to a browser's path"
        pytest.skip(reason, allow_module_level=True)
    return program
