"""The engine of every refinement: typed state in and out; it knows no file name, no display."""

from __future__ import annotations
