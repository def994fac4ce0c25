"""3D classification and heterogeneous refinement of single-particle cryo-EM images.

Names are imported when first used, so that ``mapsort --help`` does not wait for numpy.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from mapsort._version import __version__

if TYPE_CHECKING:
    from mapsort import commands, errors
    from mapsort.api import build_config, match, project, reconstruct
    from mapsort.engines.progress import CallbackProgress, ProgressEvent
    from mapsort.geometry import euler
    from mapsort.geometry.symmetry import symmetry
    from mapsort.jobs.abinit import abinit
    from mapsort.jobs.crossval.job import crossval
    from mapsort.jobs.eotest import eotest
    from mapsort.jobs.finished_run import open_run
    from mapsort.jobs.followup import followup
    from mapsort.jobs.multi import refine_multi
    from mapsort.jobs.pca import pca
    from mapsort.jobs.refine import refine
    from mapsort.jobs.split import split
    from mapsort.model.particles import Particles
    from mapsort.model.volume import Volume
    from mapsort.modules.aligners import align
    from mapsort.modules.averagers import average
    from mapsort.modules.comparators import compare
    from mapsort.modules.extension import (
        aligner,
        averager,
        comparator,
        processor,
        projector,
        reconstructor,
    )
    from mapsort.modules.orientgen import orientations
    from mapsort.modules.processors import process
    from mapsort.physics.fsc import fsc
    from mapsort.report.page import write_report

__all__ = [
    "CallbackProgress",
    "Particles",
    "ProgressEvent",
    "Volume",
    "__version__",
    "abinit",
    "align",
    "aligner",
    "average",
    "averager",
    "build_config",
    "commands",
    "comparator",
    "compare",
    "crossval",
    "eotest",
    "errors",
    "euler",
    "followup",
    "fsc",
    "match",
    "open_run",
    "orientations",
    "pca",
    "process",
    "processor",
    "project",
    "projector",
    "reconstruct",
    "reconstructor",
    "refine",
    "refine_multi",
    "split",
    "symmetry",
    "write_report",
]

_HOME = {
    "CallbackProgress": "mapsort.engines.progress",
    "Particles": "mapsort.model.particles",
    "ProgressEvent": "mapsort.engines.progress",
    "Volume": "mapsort.model.volume",
    "abinit": "mapsort.jobs.abinit",
    "align": "mapsort.modules.aligners",
    "aligner": "mapsort.modules.extension",
    "average": "mapsort.modules.averagers",
    "averager": "mapsort.modules.extension",
    "build_config": "mapsort.api",
    "crossval": "mapsort.jobs.crossval.job",
    "followup": "mapsort.jobs.followup",
    "eotest": "mapsort.jobs.eotest",
    "comparator": "mapsort.modules.extension",
    "compare": "mapsort.modules.comparators",
    "fsc": "mapsort.physics.fsc",
    "match": "mapsort.api",
    "open_run": "mapsort.jobs.finished_run",
    "orientations": "mapsort.modules.orientgen",
    "pca": "mapsort.jobs.pca",
    "process": "mapsort.modules.processors",
    "processor": "mapsort.modules.extension",
    "project": "mapsort.api",
    "projector": "mapsort.modules.extension",
    "reconstruct": "mapsort.api",
    "reconstructor": "mapsort.modules.extension",
    "refine": "mapsort.jobs.refine",
    "refine_multi": "mapsort.jobs.multi",
    "split": "mapsort.jobs.split",
    "symmetry": "mapsort.geometry.symmetry",
    "write_report": "mapsort.report.page",
}


_MODULES = {
    "commands": "mapsort.commands",
    "errors": "mapsort.errors",
    "euler": "mapsort.geometry.euler",
}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(_MODULES[name])
    if name not in _HOME:
        raise AttributeError(f"module 'mapsort' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
