"""The kernels, from the extension module of the best instruction set this processor has.

`MAPSORT_ISA` in the environment (baseline, v3 or v4) overrides the choice.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType

from mapsort.errors import ConfigError

# Where other work shares the processors, threads that spin while they wait take its time and, a
# share being a share, their own: matching ran at a third of its speed beside one busy process.
# OpenMP reads this once, when the first extension that uses it is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

#: Processor features that each instruction set needs, as Linux names them; best one first.
_REQUIRED_FEATURES: dict[str, frozenset[str]] = {
    "v4": frozenset({"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl", "avx2", "fma"}),
    "v3": frozenset({"avx2", "bmi1", "bmi2", "f16c", "fma", "movbe"}),
    "baseline": frozenset(),
}


def compiled_isas() -> list[str]:
    """Return the instruction sets this installation was compiled for, best first."""
    return [isa for isa in _REQUIRED_FEATURES if importlib.util.find_spec(f"mapsort._core_{isa}")]


def _processor_features() -> frozenset[str]:
    """Return this processor's feature flags; empty where the system does not tell."""
    cpuinfo = Path("/proc/cpuinfo")
    if not sys.platform.startswith("linux") or not cpuinfo.exists():
        return frozenset()
    for line in cpuinfo.read_text(encoding="ascii", errors="replace").splitlines():
        if line.startswith("flags"):
            return frozenset(line.split(":", 1)[1].split())
    return frozenset()


def available_isas() -> list[str]:
    """Return the compiled instruction sets that this processor can run, best first."""
    features = _processor_features()
    return [isa for isa in compiled_isas() if _REQUIRED_FEATURES[isa] <= features]


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

ReferenceBank = _module.ReferenceBank
accumulate_classes = _module.accumulate_classes
build = _module.build
fma_peak = _module.fma_peak
gather_window = _module.gather_window
good_fft_size = _module.good_fft_size
insert_slices = _module.insert_slices
isa = _module.isa
kernel_transform = _module.kernel_transform
product_rate = _module.product_rate
project_cartesian = _module.project_cartesian
project_polar = _module.project_polar
project_rays = _module.project_rays
project_voxels = _module.project_voxels
refine_candidates = _module.refine_candidates
search_candidates = _module.search_candidates
search_pairs = _module.search_pairs
search_poses = _module.search_poses
window_shape = _module.window_shape
