"""The single place where the version number is written."""

from __future__ import annotations

__version__ = "0.1.0"
