"""The run directory: file names, atomic writes, manifest, log and small text results."""

from __future__ import annotations
