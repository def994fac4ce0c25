"""How this installation was built and what it runs on."""

from __future__ import annotations

from typing import Any

from mapsort import _core
from mapsort._version import __version__
from mapsort.engines.threads import available_threads


def build_config() -> dict[str, Any]:
    """Return how this installation was built and what it runs on.

    Returns
    -------
    dict
        ``version``, ``compiler``, ``cxx_standard``, ``flags``, ``simd_lanes``, ``openmp``,
        ``processors``, ``isa_compiled``, ``isa_available``, ``isa_active``, ``threads``: what a
        report of a problem should state.
    """
    return {
        "version": __version__,
        **_core.build(),
        "isa_compiled": _core.compiled_isas(),
        "isa_available": _core.available_isas(),
        "isa_active": _core.isa,
        "threads": available_threads(),
    }
