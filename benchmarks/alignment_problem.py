"""Particles with known truth and maps of the quality that such particles give, at any box."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import scipy.fft
from scipy.spatial.transform import Rotation

from mapsort.geometry.orientations import eman_orientations
from mapsort.geometry.pose import match_to_pose
from mapsort.model.references import References
from mapsort.modules.search_aligner import search_aligner
from mapsort.physics.ctf import ContrastTransfer, ctf_images
from mapsort.physics.filters import apply_radial_curve, radial_power
from mapsort.physics.masks import soft_sphere
from mapsort.physics.phantom import RADIUS_ANG, phantom_map, phantom_slice
from mapsort.physics.scoring import Scoring
from mapsort.stages.fourier_grid import Complex64, Float32, FourierGrid, centred_images
from mapsort.stages.prepare import EDGE, ctf_coefficients
from mapsort.stages.search.search_plan import MatchPlan, plan_match
from mapsort.stages.search.settings import SearchContext, SearchSettings

#: Edge of the box in Angstrom: the same object at every box, in finer pixels.
WIDTH_ANG = 128.0
STATES = (0, 1)
SNR = 0.05
STEP_DEG = 7.5
MAX_SHIFT = 5.0
#: Particles lie off the centre by up to this along x and y [pixels].
DRAWN_SHIFT = 3.0
#: The maps are as good as this many particles each make them.
PARTICLES_PER_MAP = 5000
#: They end where the correlation of their halves would fall below this.
LAST_FSC = 0.143


@dataclass(frozen=True)
class Problem:
    """Maps and particles, both in units of the noise's standard deviation.

    Attributes
    ----------
    box : int
    apix : float
        Pixel size [A].
    maps : tuple of ndarray (box, box, box)
    references : References
    noise_power : ndarray of shape (box//2 + 1,)
        Mean power of the particles' noise.
    images : ndarray of shape (n, box, box), float32
    ctf : ndarray of shape (n, 7), float32
    rotations : ndarray of shape (n, 3, 3)
        True orientations.
    origins : ndarray of shape (n, 2)
        True shifts that centre the particles [pixels].
    model : ndarray of shape (n,)
        True map, from 0.
    """

    box: int
    apix: float
    maps: tuple[Float32, ...]
    references: References
    noise_power: npt.NDArray[np.float64]
    images: Float32
    ctf: Float32
    rotations: npt.NDArray[np.float64]
    origins: npt.NDArray[np.float64]
    model: npt.NDArray[np.intp]

    def __len__(self) -> int:
        return len(self.images)

    @property
    def grid(self) -> FourierGrid:
        """Padded grid of the particles."""
        return FourierGrid.for_box(self.box)

    def spectra(self) -> Complex64:
        """Padded transforms of the particles."""
        return self.grid.image_spectra(self.images)

    def with_step(self, step_deg: float) -> Problem:
        """Return the same with references at another angular step."""
        return replace(self, references=references_at(step_deg))

    def repeated(self, n: int) -> Problem:
        """Return the same with n particles, taken in turn."""
        rows = np.arange(n) % len(self)
        names = ("images", "ctf", "rotations", "origins", "model")
        return replace(self, **{name: getattr(self, name)[rows] for name in names})

    def plan(self, *, max_shift: float = MAX_SHIFT, exhaustive: bool = False) -> MatchPlan:
        """Plan the search as the first iteration of a run would: the maps' scale is unknown."""
        aligner = search_aligner("rtf_exhaustive" if exhaustive else "rotate_translate_flip")
        return plan_match(
            self.maps,
            self.references,
            SearchContext(self.grid, self.apix, self.noise_power, max_shift),
            SearchSettings(Scoring(float("inf")), aligner),
            support_radius=RADIUS_ANG / self.apix + 0.1 * self.box,
        )


def references_at(step_deg: float) -> References:
    """Return the views of the maps, both without symmetry."""
    return References.of_models([eman_orientations("c1", delta=step_deg) for _ in STATES])


def noisy_problem(box: int, n: int) -> Problem:
    """Particles in random orientations at the benchmark's signal-to-noise ratio."""
    rng = np.random.default_rng([box, 1])
    rotations = Rotation.random(n, rng=rng).as_matrix()
    origins = rng.uniform(-DRAWN_SHIFT, DRAWN_SHIFT, (n, 2))
    return _problem(box, rng.integers(0, len(STATES), n), rotations, origins, rng, noise=1.0)


def noise_free_problem(box: int, n: int) -> tuple[Problem, npt.NDArray[np.intp]]:
    """Particles without noise that are exact views of references; return which, too.

    The search is told the noise of the noisy problem, so that it works as on real data.
    """
    rng = np.random.default_rng([box, 2])
    references = references_at(STEP_DEG)
    chosen = rng.integers(0, len(references), n)
    alpha_deg, mirror = rng.uniform(0, 360, n), rng.integers(0, 2, n)
    dx, dy = rng.uniform(-DRAWN_SHIFT, DRAWN_SHIFT, (2, n))
    rotations, origins = match_to_pose(references.rotations[chosen], alpha_deg, dx, dy, mirror)
    model = references.model[chosen].astype(np.intp)
    return _problem(box, model, rotations, origins, rng, noise=0.0), chosen


def _problem(
    box: int,
    model: npt.NDArray[np.intp],
    rotations: npt.NDArray[np.float64],
    origins: npt.NDArray[np.float64],
    rng: np.random.Generator,
    *,
    noise: float,
) -> Problem:
    apix = WIDTH_ANG / box
    contrast = _contrast(len(model), rng)
    images = _signal(box, apix, model, rotations, origins, contrast)
    scale = 1.0 / np.sqrt(images.var() / SNR)
    images *= scale
    images += noise * rng.standard_normal(images.shape, dtype=np.float32)
    edge = EDGE * box
    mask = soft_sphere(box, box / 2 - edge, edge, ndim=2)
    noise_power = np.full(box // 2 + 1, box**2 * float(np.mean(mask**2)))
    return Problem(
        box=box,
        apix=apix,
        maps=tuple(
            _as_reconstructed(phantom_map(state, box, apix) * np.float32(scale), noise_power)
            for state in STATES
        ),
        references=references_at(STEP_DEG),
        noise_power=noise_power,
        images=np.asarray(images * mask, np.float32),
        ctf=ctf_coefficients(contrast, len(model)),
        rotations=rotations,
        origins=origins,
        model=model,
    )


def _contrast(n: int, rng: np.random.Generator) -> ContrastTransfer:
    defocus = rng.uniform(8000.0, 25000.0, n)
    return ContrastTransfer(
        defocus_u_ang=defocus + 250.0,
        defocus_v_ang=defocus - 250.0,
        defocus_angle_deg=rng.uniform(0.0, 180.0, n),
        phase_shift_deg=np.zeros(n),
        voltage_kv=np.full(n, 300.0),
        cs_mm=np.full(n, 2.7),
        amplitude_contrast=np.full(n, 0.1),
        bfactor_ang2=np.zeros(n),
    )


def _signal(
    box: int,
    apix: float,
    model: npt.NDArray[np.intp],
    rotations: npt.NDArray[np.float64],
    origins: npt.NDArray[np.float64],
    contrast: ContrastTransfer,
) -> Float32:
    """Projections with CTF, displaced so that ``origins`` centre them."""
    slices = np.empty((len(model), box, box // 2 + 1), np.complex64)
    for number, state in enumerate(STATES):
        own = model == number
        slices[own] = phantom_slice(state, box, apix, rotations[own])
    kx, ky = scipy.fft.rfftfreq(box), scipy.fft.fftfreq(box)[:, None]
    slices *= ctf_images(contrast, box, apix)
    for one, (x, y) in zip(slices, origins, strict=True):
        one *= np.exp(2j * np.pi * (kx * x + ky * y))
    return centred_images(slices, box)


def _as_reconstructed(volume: Float32, noise_power: npt.NDArray[np.float64]) -> Float32:
    """Filter a true map as a reconstruction from ``PARTICLES_PER_MAP`` particles would be.

    n slices meet a term on shell k about n / 2k times, each with a mean squared CTF of 1/2: its
    signal-to-noise ratio is S = n / 4k times that of a particle, its Wiener filter S / (1 + S), and
    the correlation of half maps S / (2 + S).
    """
    power = radial_power(scipy.fft.rfftn(volume))
    shells = np.maximum(np.arange(len(power)), 1)
    ratio = PARTICLES_PER_MAP / (4.0 * shells) * power / noise_power
    alive = np.logical_and.accumulate(ratio / (2.0 + ratio) >= LAST_FSC)
    curve = np.where(alive, ratio / (1.0 + ratio), 0.0)
    curve[-1] = 0.0  # stays constant into the corners
    return apply_radial_curve(volume, curve)
