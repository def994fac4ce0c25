"""The run directory: file names, atomic writes, manifest, log and small text results.

A file that is missing, damaged or of another kind is a `FormatError` that names it; a place that
cannot be written to, found before anything is, a `ConfigError`; a disk that becomes full an
OSError.
"""

from __future__ import annotations
