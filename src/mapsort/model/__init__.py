"""The nouns of the domain: particles, volumes, references, matches, class membership."""

from __future__ import annotations
