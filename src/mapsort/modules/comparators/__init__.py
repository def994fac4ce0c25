"""Comparators: how like an aligned particle and reference are, by name."""

from __future__ import annotations

from mapsort.modules.comparators import pixelwise as pixelwise
from mapsort.modules.comparators import ringwise as ringwise
from mapsort.modules.comparators.compare import compare
from mapsort.modules.registry import COMPARATORS

__all__ = ["COMPARATORS", "compare"]
