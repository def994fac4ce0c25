"""One test per reference value: each test module names the kinds whose entries it runs."""

from __future__ import annotations

import json
import os
from pathlib import Path

_DEFAULT = Path(__file__).resolve().parents[2] / "../shared"
_FILE = Path(os.environ.get("MAPSORT_SHARED", _DEFAULT)) / "golden" / "golden.json"


def pytest_generate_tests(metafunc):
    """Give the argument `entry` every entry of the module's KINDS and the function's statuses.

    A module may leave entries out that are not its concern, by a function `concerns`.
    """
    if "entry" not in metafunc.fixturenames:
        return
    # Without the reference material the parameter set is empty and the test is skipped.
    entries = json.loads(_FILE.read_text()) if _FILE.is_file() else []
    wanted = getattr(metafunc.function, "statuses", ("exact", "approx", "bug"))
    concerns = getattr(metafunc.module, "concerns", lambda _: True)
    chosen = [
        e
        for e in entries
        if e["kind"] in metafunc.module.KINDS and e["status"] in wanted and concerns(e)
    ]
    metafunc.parametrize("entry", chosen, ids=[e["id"] for e in chosen])
