"""Averagers: how aligned images become one, by name."""

from __future__ import annotations

from mapsort.modules.averagers.average import average, averaged
from mapsort.modules.registry import AVERAGERS

__all__ = ["AVERAGERS", "average", "averaged"]
