"""From slices to maps."""

from __future__ import annotations
