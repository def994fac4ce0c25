"""Types of the compiled kernels, and of the module that chooses among them.

Arrays must be C-contiguous and of exactly the stated type; else ValueError names the argument.
``scale`` is grid points per Fourier pixel of the box (padded / box), ``oversampling`` the one that
the interpolation kernel is made for, ``apix`` the pixel size in A.
"""

from types import ModuleType
from typing import TypedDict, final

import numpy as np
import numpy.typing as npt

_Complex64 = npt.NDArray[np.complex64]
_Float32 = npt.NDArray[np.float32]
_Float64 = npt.NDArray[np.float64]
_Int32 = npt.NDArray[np.int32]

class _Build(TypedDict):
    compiler: str
    cxx_standard: int
    flags: str
    simd_lanes: int
    kernel_width: int
    insertion_width: int
    openmp: int | None
    processors: int

isa: str
_module: ModuleType

def _load() -> ModuleType: ...
def instruction_sets() -> list[str]: ...
def compiled_isas() -> list[str]: ...
def available_isas() -> list[str]: ...
def build() -> _Build: ...
def kernel_transform(oversampling: float, frequency: float, *, width: int = 6) -> float: ...
def good_fft_size(n: int) -> int: ...
def window_shape(max_frequency: float, *, width: int = 6) -> tuple[int, int, int]: ...
def gather_window(
    grid: _Complex64,  # (n, n, n/2+1), n even; columns that are not needed may be missing
    max_frequency: float,
    *,
    width: int = 6,
    n_threads: int = 1,
) -> _Complex64: ...

@final
class Window:
    """A map's Fourier window and how it is read."""

    def __init__(
        self,
        data: _Complex64,
        *,
        scale: float,
        oversampling: float,
        width: int = 6,
    ) -> None: ...

@final
class LinearSlices:
    """Central slices of several maps at once, by linear interpolation."""

    def __init__(
        self,
        points: _Float32,  # (m, 2): kx and ky in grid points
        side: int,  # edge of the grid; odd
    ) -> None: ...
    def set_views(
        self,
        rotations: _Float64,  # (n, 3, 3): object to view
    ) -> None: ...
    def read(
        self,
        maps: _Complex64,  # (voxels, q)
        *,
        n_threads: int = 1,
    ) -> _Complex64: ...  # (n, m, q)
    def insert(
        self,
        *,
        data: _Complex64,  # (n, m)
        data_weights: _Float32,  # (n, a)
        density: _Float32,  # (n, m)
        density_weights: _Float32,  # (n, b)
        numerator: _Complex64,  # (voxels, a), to which slices are added
        denominator: _Float32,  # (voxels, b)
        n_threads: int = 1,
    ) -> None: ...

def mix_poses(
    *,
    chances: _Float32,  # (n, shifts, angles, views)
    sums: _Float32,  # over angles, (n, shifts, views)
    orders: _Complex64,  # of the shifted particles, (angles / 2 + 1, n, shifts, rings)
    seen: _Int32,  # numbers of the views that are wanted
    each: bool = False,  # sums of each particle alone
) -> _Complex64: ...  # (orders, 1 or n, seen, rings)
def pose_chances(
    scores: _Float32,  # (n, shifts, angles, views): become chances, 1 for a particle's best
    *,
    least: float,  # scores count as no less than this below the best; above -87
) -> tuple[_Float64, _Float32]: ...  # top scores (n,), sums over angles (n, shifts, views)
def score_poses(
    *,
    orders: _Complex64,  # of the shifted particles, (orders, n, shifts, rings)
    views: _Complex64,  # of the slices, with what they count, (orders, 1 or n, rings, views)
    same: _Float32,  # added at all angles, (n, shifts, views)
) -> _Float32: ...  # (n, shifts, angles, views); twice as many angles as the last order
def project_cartesian(
    window: Window,
    *,
    rotations: _Float64,  # (n, 3, 3)
    max_radius: float,
    box: int,
    n_threads: int = 1,
) -> _Complex64: ...  # (n, box, box/2+1)
def project_polar(
    window: Window,
    *,
    rotations: _Float64,  # (n, 3, 3)
    first_ring: int,
    n_rings: int,
    n_angles: int,
    n_threads: int = 1,
) -> _Complex64: ...  # (n, n_rings, n_angles/2)
def project_rays(
    volume: _Float32,  # (box, box, box)
    *,
    rotations: _Float64,  # (n, 3, 3)
    shifts: _Float64,  # (n, 2)
    radius: float,
    maximum: bool = False,
    n_threads: int = 1,
) -> _Float32: ...  # (n, box, box)
def project_voxels(
    volume: _Float32,  # (box, box, box)
    *,
    rotations: _Float64,  # (n, 3, 3)
    shifts: _Float64,  # (n, 2)
    radius: float,
    n_threads: int = 1,
) -> _Float32: ...  # (n, box, box)
def insert_slices(
    slices: _Complex64,  # (n, box, box/2+1)
    weights: _Float32,  # (n, box, box/2+1)
    window: _Float32,  # (..., 3), in place
    *,
    rotations: _Float64,  # (n, 3, 3)
    symmetry: _Float64,  # (g, 3, 3)
    scale: float,
    max_radius: float,
    n_threads: int = 1,
) -> None: ...

@final
class ReferenceBank:
    def __init__(
        self,
        *,
        first_ring: int,
        n_rings: int,
        n_angles: int,
        box: int,
        support_radius: float,
        normalisation: str = "none",  # none, rings, phases
    ) -> None: ...
    def add(
        self,
        window: Window,
        *,
        rotations: _Float64,  # (n, 3, 3)
        n_threads: int = 1,
    ) -> None: ...
    def add_images(
        self,
        spectra: _Complex64,  # (n, padded, padded/2+1)
        *,
        scale: float,
        oversampling: float,
        n_threads: int = 1,
    ) -> None: ...
    def part(
        self,
        ring_ranges: _Int32,  # (orders, 2)
        *,
        n_rings: int,
        n_angles: int,
        n_rotations: int,
        n_threads: int = 1,
    ) -> ReferenceBank: ...
    def statistics(self) -> tuple[_Float64, _Float64]: ...  # (orders, n_rings), (n_rings,)
    def __len__(self) -> int: ...
    @property
    def n_rings(self) -> int: ...
    @property
    def n_rotations(self) -> int: ...
    @property
    def n_angles(self) -> int: ...
    @property
    def max_order(self) -> int: ...
    @property
    def n_entries(self) -> int: ...

@final
class ParticleBatch:
    """Particles as the kernels take them."""

    def __init__(
        self,
        spectra: _Complex64,  # (n, padded, padded/2+1)
        ctf: _Float32,  # (n, 7)
        *,
        scale: float,
        oversampling: float,
        apix: float,
    ) -> None: ...
    def __len__(self) -> int: ...

@final
class Candidates:
    """References of each particle, and alignments, which the kernels change in place."""

    def __init__(
        self,
        reference: _Int32,  # (n, K); below 0: none
        origin: _Float32,  # (n, K, 2)
        alpha: _Float32,  # (n, K); radians
        mirror: _Int32,  # (n, K)
        cross: _Float32,  # (n, K)
        norm: _Float32,  # (n, K)
    ) -> None: ...

@final
class ShiftLattice:
    """The origins that candidates are searched at."""

    def __init__(self, *, step: float, reach: int, shared: int, max_origin: float) -> None: ...

@final
class Alignment:
    """What particles are compared with, and how."""

    def __init__(
        self,
        bank: ReferenceBank,
        ring_weight: _Float32,  # (n_rings,)
        *,
        rotate: bool = True,
        translate: bool = True,
        mirror: bool = True,
    ) -> None: ...
    def search_pairs(
        self,
        particles: ParticleBatch,
        origins: _Float32,  # (n_shifts, 2)
        *,
        n_threads: int = 1,
    ) -> tuple[_Float32, _Float32, _Int32]: ...  # cross, norm, code: each (n, references)
    def search_candidates(
        self,
        particles: ParticleBatch,
        candidates: Candidates,
        lattice: ShiftLattice,
        *,
        n_threads: int = 1,
    ) -> None: ...
    def refine_candidates(
        self,
        particles: ParticleBatch,
        candidates: Candidates,
        *,
        iterations: int,
        max_origin: float,
        n_threads: int = 1,
    ) -> None: ...

@final
class PoseCandidates:
    """Poses of each particle, which a search changes in place."""

    def __init__(
        self,
        rotation: _Float64,  # (n, K, 3, 3)
        origin: _Float64,  # (n, K, 2)
        cross: _Float64,  # (n, K)
        norm: _Float64,  # (n, K)
    ) -> None: ...

@final
class PoseSearch:
    """Continuous search for poses in one map."""

    def __init__(
        self,
        window: Window,
        ring_weight: _Float32,  # (n_rings,)
        *,
        apix: float,
        max_turn: float,  # radians
        max_origin: float,
        stiffness: float,
    ) -> None: ...
    def climb(
        self,
        transforms: _Complex64,  # (n, box, box/2+1)
        ctf: _Float32,  # (n, 7)
        candidates: PoseCandidates,
        *,
        chosen: _Int32,  # (n, K); 0: left alone
        max_steps: int,
        n_threads: int = 1,
    ) -> None: ...

@final
class Placement:
    """How each particle goes into its class."""

    def __init__(
        self,
        *,
        order: _Int32,  # (n_used,)
        slot_start: _Int32,  # (n_slots + 1,)
        slot: _Int32,  # (n_slots,)
        alpha: _Float32,  # (n_used,), radians
        origin: _Float32,  # (n_used, 2)
        mirror: _Int32,  # (n_used,)
        weight: _Float32,  # (n_used,)
    ) -> None: ...

@final
class ClassSums:
    """Sums of particles per class, in place."""

    def __init__(
        self,
        numerator: _Complex64,  # (rows, box, box/2+1)
        density: _Float32,  # (rows, box, box/2+1)
        references: _Complex64,  # (r, box, box/2+1)
        *,
        max_radius: float,
    ) -> None: ...
    def add(
        self,
        particles: ParticleBatch,
        placement: Placement,
        *,
        n_threads: int = 1,
    ) -> tuple[_Float32, _Float32, _Float32]: ...
    # sums over shells of |X|^2, Re conj(X) C P and C^2 |P|^2: each (n_used, box/2+1)
