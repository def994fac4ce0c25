"""Frozen option tables, one per command; nothing else declares an option.

A `ConfigError` names the option, its value and the values it takes.
"""

from __future__ import annotations
