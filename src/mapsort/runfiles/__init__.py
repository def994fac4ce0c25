"""The only writers of a run directory."""

from __future__ import annotations
