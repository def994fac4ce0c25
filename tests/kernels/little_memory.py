"""Every kernel with less and less memory: a program of its own, for test_little_memory.py.

    python little_memory.py N_THREADS

Limits the address space to what the process has and a little more, N_THREADS wanted: each kernel
must compute the same as without a limit, or raise MemoryError. Prints how often it did which, and
the longest time that a call took.
"""

from __future__ import annotations

import re
import resource
import sys
import time
from pathlib import Path

import numpy as np

from mapsort import _core
from mapsort.geometry.euler import eman_to_matrix
from mapsort.stages.fourier_grid import FourierGrid

N_THREADS = int(sys.argv[1])
BOX, RINGS, ANGLES, N = 48, 20, 192, 24
RNG = np.random.default_rng(1)
GRID = FourierGrid.for_box(BOX)
SCALES = {"scale": GRID.scale, "oversampling": GRID.scale}
TURNS = np.ascontiguousarray(eman_to_matrix(RNG.uniform(0, 180, (N, 3))))
SPECTRUM = np.fft.rfftn(RNG.standard_normal((GRID.padded,) * 3)).astype(np.complex64)
WINDOW = _core.gather_window(SPECTRUM, GRID.padded / 2)
READABLE = _core.Window(WINDOW, **SCALES)
SLICES = _core.project_cartesian(READABLE, rotations=TURNS, max_radius=BOX // 2, box=BOX)
CTF = np.tile(np.float32([3000, 400, 0.5, -1e4, 0.1, 30, 0]), (N, 1))
BATCH = _core.ParticleBatch(
    GRID.image_spectra(RNG.standard_normal((N, BOX, BOX))), CTF, apix=3.0, **SCALES
)
WEIGHT = np.ones(RINGS, np.float32)


def bank():
    made = _core.ReferenceBank(
        first_ring=1, n_rings=RINGS, n_angles=ANGLES, box=BOX, support_radius=BOX / 2
    )
    made.add(READABLE, rotations=TURNS, n_threads=N_THREADS)
    return made


BANK = bank()
ALIGNMENT = _core.Alignment(BANK, WEIGHT)


def candidates():
    return {
        "reference": np.tile(np.arange(N, dtype=np.int32), (N, 1)),
        "origin": np.zeros((N, N, 2), np.float32),
        "alpha": np.zeros((N, N), np.float32),
        "mirror": np.zeros((N, N), np.int32),
        "cross": np.zeros((N, N), np.float32),
        "norm": np.zeros((N, N), np.float32),
    }


def searched():
    found = candidates()
    lattice = _core.ShiftLattice(step=1.0, reach=2, shared=3, max_origin=4.0)
    ALIGNMENT.search_candidates(BATCH, _core.Candidates(**found), lattice, n_threads=N_THREADS)
    return found["cross"]


def refined():
    found = candidates()
    ALIGNMENT.refine_candidates(
        BATCH, _core.Candidates(**found), iterations=1, max_origin=4.0, n_threads=N_THREADS
    )
    return found["cross"]


def insertion():
    window = np.zeros((*_core.window_shape(GRID.padded / 2, width=5), 3), np.float32)
    _core.insert_slices(
        SLICES,
        np.ones(SLICES.shape, np.float32),
        window,
        rotations=TURNS,
        symmetry=np.eye(3)[None],
        scale=GRID.scale,
        max_radius=BOX // 2,
        n_threads=N_THREADS,
    )
    return window


def class_sums():
    sums = np.zeros((2, BOX, BOX // 2 + 1), np.complex64)
    classes = _core.ClassSums(
        sums, np.zeros(sums.shape, np.float32), SLICES[:1], max_radius=BOX / 2
    )
    placement = _core.Placement(
        order=np.arange(N, dtype=np.int32),
        slot_start=np.int32([0, N // 3, N]),
        slot=np.int32([0, 1]),
        alpha=np.zeros(N, np.float32),
        origin=np.zeros((N, 2), np.float32),
        mirror=np.zeros(N, np.int32),
        weight=np.ones(N, np.float32),
    )
    classes.add(BATCH, placement, n_threads=N_THREADS)
    return sums


def poses():
    cross = np.zeros((N, 1))
    search = _core.PoseSearch(
        READABLE, WEIGHT, apix=3.0, max_turn=0.1, max_origin=4.0, stiffness=np.inf
    )
    search.climb(
        SLICES,
        CTF,
        _core.PoseCandidates(TURNS[:, None].copy(), np.zeros((N, 1, 2)), cross, np.zeros((N, 1))),
        chosen=np.ones((N, 1), np.int32),
        max_steps=2,
        n_threads=N_THREADS,
    )
    return cross


ORIGINS = RNG.uniform(-2, 2, (60, 2)).astype(np.float32)
VOLUME = RNG.standard_normal((BOX, BOX, BOX)).astype(np.float32)
REAL = {"rotations": TURNS, "shifts": np.zeros((N, 2)), "radius": BOX / 2, "n_threads": N_THREADS}
KERNELS = {
    "gather_window": lambda: _core.gather_window(SPECTRUM, GRID.padded / 2, n_threads=N_THREADS),
    "project_cartesian": lambda: _core.project_cartesian(
        READABLE, rotations=TURNS, max_radius=BOX // 2, box=BOX, n_threads=N_THREADS
    ),
    "project_rays": lambda: _core.project_rays(VOLUME, **REAL),
    "project_voxels": lambda: _core.project_voxels(VOLUME, **REAL),
    "insert_slices": insertion,
    "bank": lambda: bank().statistics()[0],
    "part": lambda: BANK.part(
        np.int32([[0, RINGS]] * 20), n_rings=RINGS, n_angles=ANGLES, n_rotations=ANGLES
    ).statistics()[0],
    "search_pairs": lambda: ALIGNMENT.search_pairs(BATCH, ORIGINS, n_threads=N_THREADS)[0],
    "search_candidates": searched,
    "refine_candidates": refined,
    "search_poses": poses,
    "accumulate_classes": class_sums,
}


def limit(extra):
    """Allow so many bytes beyond what the process has; None: as many as it likes."""
    size = resource.RLIM_INFINITY
    if extra is not None:
        status = Path("/proc/self/status").read_text(encoding="ascii")
        found = re.search(r"VmSize:\s+(\d+)", status)
        assert found is not None
        size = int(found[1]) * 1024 + extra
    resource.setrlimit(resource.RLIMIT_AS, (size, resource.RLIM_INFINITY))


def main():
    done = failed = 0
    longest = 0.0
    truth = {}
    for extra in (0, 2**16, 2**18, 2**20, 2**22, 2**24, 2**26, None):
        for name, kernel in KERNELS.items():
            limit(extra)
            start = time.perf_counter()
            try:
                result = kernel()
            except MemoryError:
                failed += 1
                continue
            finally:
                longest = max(longest, time.perf_counter() - start)
                limit(None)
            done += 1
            truth.setdefault(name, result)
            np.testing.assert_array_equal(result, truth[name], err_msg=name)
    sys.stdout.write(f"{done} {failed} {longest}\n")


main()
