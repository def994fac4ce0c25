"""Options of ``mapsort deposit``: what EMDB asks of the maps of a run."""

from __future__ import annotations

from pathlib import Path

from mapsort.options.fields import option
from mapsort.options.kinds import file_path, whole_number
from mapsort.options.shared import FinishedRun


class DepositOptions(FinishedRun, group="deposition"):
    """Options of ``mapsort deposit``."""

    map: int | None = option(
        whole_number(1), "N", "which map of a run of several; by default each in a directory"
    )
    out: Path | None = option(
        file_path("a directory"),
        "DIR",
        "where it goes; by default RUN/deposit",
        group="output",
    )
