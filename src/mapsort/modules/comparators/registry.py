"""The registry of comparators."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from mapsort.modules.registry import ModuleKind, Registry

Pixels = NDArray[Any]

#: Every comparator: takes two aligned images or maps (particle, reference), ``apix=`` [A] and
#: ``ctf=`` (or None), returns a number, smaller is better.
COMPARATORS: Registry[..., float] = Registry(ModuleKind.COMPARATOR)
