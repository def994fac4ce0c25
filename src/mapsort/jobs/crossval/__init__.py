"""Cross-validation of a split."""

from __future__ import annotations
