"""The jobs as a reader would tell them: multi, simulate, demo."""

from __future__ import annotations
