"""Sort cryo-EM particle images among several 3-D maps while refining the maps."""

from __future__ import annotations

from mapsort._version import __version__

__all__ = ["__version__"]
