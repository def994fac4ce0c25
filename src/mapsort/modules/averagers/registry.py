"""The registry of averagers."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from mapsort.modules.registry import ModuleKind, Registry
from mapsort.physics.averaging import Average

Pixels = NDArray[Any]

#: Every averager: takes aligned images (n, box, box), ``weights=`` (n,), ``ctf=``, ``snr=`` (both
#: may be None) and ``apix=`` [A], returns an `Average` (one of a user: its image alone will do).
AVERAGERS: Registry[..., Average] = Registry(ModuleKind.AVERAGER)
