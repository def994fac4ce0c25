"""The registry of processors."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mapsort.modules.registry import ModuleKind, Registry

Pixels = NDArray[Any]
Float32 = NDArray[np.float32]

#: Every processor: takes one image (n, n) or map (n, n, n) and ``apix=`` [A], returns the new one.
PROCESSORS: Registry[..., Float32] = Registry(ModuleKind.PROCESSOR)
