"""Aligners: how one image or map is brought onto another, by name."""

from __future__ import annotations

from mapsort.modules.aligners import images as images
from mapsort.modules.aligners import maps as maps
from mapsort.modules.aligners.align import align
from mapsort.modules.registry import ALIGNERS, Transform

__all__ = ["ALIGNERS", "Transform", "align"]
