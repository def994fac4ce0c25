"""The search: particles against references, coarse to fine."""

from __future__ import annotations
