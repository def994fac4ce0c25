"""The report of a run: one HTML file, made from what the run wrote and nothing else."""

from __future__ import annotations
