"""The registries of modules that work on pixels: what each of their functions takes and returns."""

from __future__ import annotations

from collections.abc import Callable

from mapsort.array_types import Array, Float32
from mapsort.geometry.transform2d import Transform2D
from mapsort.geometry.transform3d import Transform3D
from mapsort.modules.registry import ModuleKind, Registry
from mapsort.physics.averaging import Average

Pixels = Array
Transform = Transform2D | Transform3D
Score = Callable[[Pixels, Pixels], float]

#: The moving and the fixed image or map, ``score=`` (compares a moved image with the fixed one,
#: smaller is better), ``start=`` (or None) and ``apix=`` [A] -> transform of moving onto fixed.
ALIGNERS: Registry[..., Transform] = Registry(ModuleKind.ALIGNER)
#: Aligned images (n, box, box) or maps (n, box, box, box), and the `Members` -> their average.
AVERAGERS: Registry[..., Average] = Registry(ModuleKind.AVERAGER)
#: Two aligned images or maps (particle, reference), ``apix=`` [A] and ``ctf=`` (or None) -> a
#: number, smaller is better.
COMPARATORS: Registry[..., float] = Registry(ModuleKind.COMPARATOR)
#: One image (n, n) or map (n, n, n) and ``apix=`` [A] -> the new one.
PROCESSORS: Registry[..., Float32] = Registry(ModuleKind.PROCESSOR)
