"""3D classification and heterogeneous refinement of single-particle cryo-EM images.

Names are imported when first used, so that ``mapsort --help`` does not wait for numpy. Type
checkers and editors read ``__init__.pyi``, which ci/write_stubs.py writes.
"""

from __future__ import annotations

import importlib
from typing import Any

from mapsort._version import __version__

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
