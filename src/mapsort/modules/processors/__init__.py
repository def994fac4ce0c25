"""Processors: what can be done with one image or map by name."""

from __future__ import annotations

from mapsort.modules.processors import arithmetic as arithmetic
from mapsort.modules.processors import filters as filters
from mapsort.modules.processors import masks as masks
from mapsort.modules.processors import moves as moves
from mapsort.modules.processors import normalisation as normalisation
from mapsort.modules.processors import thresholds as thresholds
from mapsort.modules.processors.process import apply_chain, process, processor_chain
from mapsort.modules.registry import PROCESSORS

__all__ = ["PROCESSORS", "apply_chain", "process", "processor_chain"]
