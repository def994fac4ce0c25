"""The kernels, from the extension module of the best instruction set this processor has.

`MAPSORT_ISA` in the environment (baseline, v3 or v4) overrides the choice.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
from types import ModuleType

from mapsort._processor import instruction_sets
from mapsort.errors import ConfigError

#: What there may be, best one first.
_ISAS = ("v4", "v3", "baseline")


def compiled_isas() -> list[str]:
    """Return the instruction sets this installation was compiled for, best first."""
    return [isa for isa in _ISAS if importlib.util.find_spec(f"mapsort._core_{isa}")]


def available_isas() -> list[str]:
    """Return the compiled instruction sets that this processor can run, best first."""
    compiled = compiled_isas()
    return [isa for isa in instruction_sets() if isa in compiled]


def _load() -> ModuleType:
    wanted = os.environ.get("MAPSORT_ISA", "")
    available = available_isas()
    if not available:
        raise ImportError("mapsort was installed without its compiled kernels; install it again")
    if wanted and wanted not in available:
        choices = ", ".join(available)
        raise ConfigError(f"MAPSORT_ISA={wanted}: this processor and installation have {choices}")
    return importlib.import_module(f"mapsort._core_{wanted or available[0]}")


_module = _load()

Alignment = _module.Alignment
Candidates = _module.Candidates
ClassSums = _module.ClassSums
LinearSlices = _module.LinearSlices
ParticleBatch = _module.ParticleBatch
Placement = _module.Placement
PoseCandidates = _module.PoseCandidates
PoseSearch = _module.PoseSearch
ReferenceBank = _module.ReferenceBank
ShiftLattice = _module.ShiftLattice
Window = _module.Window
build = _module.build
gather_window = _module.gather_window
good_fft_size = _module.good_fft_size
insert_slices = _module.insert_slices
isa = _module.isa
kernel_transform = _module.kernel_transform
mix_poses = _module.mix_poses
pose_chances = _module.pose_chances
project_cartesian = _module.project_cartesian
project_polar = _module.project_polar
project_rays = _module.project_rays
project_voxels = _module.project_voxels
score_poses = _module.score_poses
window_shape = _module.window_shape
