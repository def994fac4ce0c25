"""The registry of aligners."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numpy.typing import NDArray

from mapsort.geometry.transform2d import Transform2D
from mapsort.geometry.transform3d import Transform3D
from mapsort.modules.registry import ModuleKind, Registry

Pixels = NDArray[Any]
Transform = Transform2D | Transform3D
Score = Callable[[Pixels, Pixels], float]

#: Every aligner: takes the moving and the fixed image or map, ``score=`` (compares a moved image
#: with the fixed one, smaller is better), ``start=`` (or None) and ``apix=`` [A], returns the
#: transform of the moving onto the fixed one.
ALIGNERS: Registry[..., Transform] = Registry(ModuleKind.ALIGNER)
