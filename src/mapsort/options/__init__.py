"""Frozen option tables, one per command; nothing else declares an option."""

from __future__ import annotations
