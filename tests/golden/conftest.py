"""One test per reference value: each test module names the kinds whose entries it runs."""

from __future__ import annotations

import json
import lzma
from pathlib import Path

_FILE = Path(__file__).resolve().parents[1] / "data" / "golden" / "golden.json.xz"


def pytest_generate_tests(metafunc):
    """Give the argument `entry` every entry of the module's KINDS and the function's statuses.

    A module may leave entries out that are not its concern, by a function `concerns`.
    """
    if "entry" not in metafunc.fixturenames:
        return
    entries = json.loads(lzma.decompress(_FILE.read_bytes()))
    wanted = getattr(metafunc.function, "statuses", ("exact", "approx", "bug"))
    concerns = getattr(metafunc.module, "concerns", lambda _: True)
    chosen = [
        e
        for e in entries
        if e["kind"] in metafunc.module.KINDS and e["status"] in wanted and concerns(e)
    ]
    metafunc.parametrize("entry", chosen, ids=[e["id"] for e in chosen])
