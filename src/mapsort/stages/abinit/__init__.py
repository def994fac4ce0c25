"""Maps from particles alone: random starts, soft assignment, stochastic batches."""

from __future__ import annotations

__all__: list[str] = []
