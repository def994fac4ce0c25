"""Where work runs: one interface, threads here."""

from __future__ import annotations
