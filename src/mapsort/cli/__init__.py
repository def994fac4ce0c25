"""Commands and their option tables; no numerics."""

from __future__ import annotations
