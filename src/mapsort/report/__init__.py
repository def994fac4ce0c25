"""The report of a run: one HTML file, made from what the run wrote and nothing else."""

from __future__ import annotations

from mapsort.report.page import report_keeper, write_report

__all__ = ["report_keeper", "write_report"]
