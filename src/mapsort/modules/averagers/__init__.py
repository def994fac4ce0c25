"""Averagers: how aligned images become one, by name."""

from __future__ import annotations

from mapsort.modules.averagers import declare as declare
from mapsort.modules.averagers.average import average, averaged
from mapsort.modules.registries import AVERAGERS

__all__ = ["AVERAGERS", "average", "averaged"]
