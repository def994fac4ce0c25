"""The report of a run: one HTML file, made from what the run wrote and nothing else.

A file of the run that is missing or damaged is a `FormatError` that names it.
"""

from __future__ import annotations
