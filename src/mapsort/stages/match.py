"""Match particles with references: coarse to fine over rotation, mirror and shift.

Every particle meets every reference in a low band and on a coarse lattice of shifts; the best
references of *each* map go on to the full band and a finer lattice; the best of those are refined
continuously. No map can lose a particle before the full band has been seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypedDict

import numpy as np
import numpy.typing as npt
import scipy.fft

from mapsort import _core
from mapsort._membership import merge_top
from mapsort.model.matches import Matches
from mapsort.model.references import References
from mapsort.physics.filters import radial_power
from mapsort.stages.fourier_grid import Complex64, Float32, FourierGrid
from mapsort.stages.prepare import shell_means

#: Share of the expected signal (see signal_per_ring) in the full band and in the coarse band.
FINE_BAND = 0.99999
COARSE_BAND = 0.995
#: Shift step times highest frequency of a level: at most 0.19 periods off at the band's edge.
SHIFT_STEP = 0.38
#: References of each map that go from the coarse level to the fine one, and on to refinement.
CARRIED = 16
REFINED = 4
#: Lattice nodes of one particle at the fine level.
MAX_NODES = 36
NEWTON_STEPS = 4


@dataclass(frozen=True)
class Scoring:
    """How a cross term f and a reference norm g (both in units of the noise) become a score.

    The score is the log-likelihood [nat] of the particle under Gaussian noise relative to an empty
    image, maximised over the particle's scale s >= 0, whose prior is normal about 1:
    max_s s f - s^2 g / 2 - (s - 1)^2 / 2 spread^2.

    Attributes
    ----------
    scale_spread : float
        Standard deviation of the particles' scales; infinity makes the score blind to the scale of
        the maps (f^2 / 2g), zero takes it as it is (f - g / 2).
    """

    scale_spread: float

    def scores(self, cross: Float32, norm: Float32) -> Float32:
        """Return scores of the same shape."""
        if self.scale_spread == 0.0:
            return np.asarray(cross - 0.5 * norm, dtype=np.float32)
        stiffness = np.float32(self.scale_spread**-2 if np.isfinite(self.scale_spread) else 0.0)
        width = np.maximum(norm + stiffness, np.finfo(np.float32).tiny)
        gain = 0.5 * np.maximum(cross + stiffness, 0.0) ** 2 / width
        return np.asarray(gain - 0.5 * stiffness, dtype=np.float32)


@dataclass(frozen=True)
class Level:
    """One level of the search: a band of rings and the references' coefficients in it."""

    bank: _core.ReferenceBank
    ring_weight: Float32
    shift_step: float


@dataclass(frozen=True)
class MatchPlan:
    """What is common to all particles of an iteration."""

    references: References
    grid: FourierGrid
    apix: float
    max_shift: float
    coarse: Level
    fine: Level
    fine_radius: int
    scoring: Scoring

    @property
    def coarse_origins(self) -> Float32:
        """Shifts [pixels] searched at the coarse level: a lattice within max_shift."""
        step = self.coarse.shift_step
        reach = int(np.ceil(self.max_shift / step))
        line = np.arange(-reach, reach + 1) * step
        y, x = np.meshgrid(line, line, indexing="ij")
        # nodes up to half a step beyond the limit cover it
        inside = np.hypot(x, y) <= self.max_shift + 0.5 * step
        return np.ascontiguousarray(np.stack([x[inside], y[inside]], -1), dtype=np.float32)


def signal_per_ring(
    volumes: Sequence[Float32], noise_power: npt.NDArray[np.floating]
) -> npt.NDArray[np.float64]:
    """Return the expected squared signal-to-noise of each ring, (box//2 + 1,).

    Ring k has 2 pi k Fourier pixels; a slice's power on it is the mean power of the map's shell.
    """
    power = np.mean([radial_power(scipy.fft.rfftn(v))[: len(noise_power)] for v in volumes], axis=0)
    rings = np.arange(len(noise_power))
    return np.asarray(2 * np.pi * rings * power / noise_power)


def band_limit(signal: npt.NDArray[np.floating], share: float, *, lowest: int) -> int:
    """Return the smallest ring that holds ``share`` of the signal, within [lowest, Nyquist)."""
    cumulative = np.cumsum(signal) / np.sum(signal)
    ring = int(np.searchsorted(cumulative, share))
    return int(np.clip(ring, lowest, len(signal) - 2))


def _level(
    volumes: Sequence[Float32],
    references: References,
    grid: FourierGrid,
    noise_power: npt.NDArray[np.floating],
    radius: int,
    support_radius: float,
    n_threads: int,
) -> Level:
    level = _empty_level(grid, noise_power, radius, support_radius)
    rotations = references.rotations
    for model, volume in enumerate(volumes):
        window = grid.volume_window(volume, max_radius=float(radius), n_threads=n_threads)
        level.bank.add(
            window,
            scale=grid.scale,
            oversampling=grid.scale,
            rotations=rotations[references.block(model)],
            n_threads=n_threads,
        )
    return level


def _empty_level(
    grid: FourierGrid,
    noise_power: npt.NDArray[np.floating],
    radius: int,
    support_radius: float,
) -> Level:
    # Angles enough that orders of the reference are free of aliases from the particle, whose
    # content reaches the edge of the box (order pi k at ring k).
    orders = 2 * np.pi * radius * support_radius / grid.box
    orders += 2 * np.cbrt(orders) + 3
    n_angles = _core.good_fft_size(int(np.ceil(orders + max(orders, np.pi * radius))) + 2)
    bank = _core.ReferenceBank(
        first_ring=1,
        n_rings=radius,
        n_angles=n_angles,
        box=grid.box,
        support_radius=support_radius,
    )
    weight = (1.0 / noise_power[1 : radius + 1]).astype(np.float32)
    return Level(bank, np.ascontiguousarray(weight), SHIFT_STEP * grid.box / radius)


def plan_match(
    volumes: Sequence[Float32],
    references: References,
    noise_power: npt.NDArray[np.floating],
    *,
    grid: FourierGrid,
    apix: float,
    max_shift: float,
    support_radius: float,
    scoring: Scoring,
    max_radius: int | None = None,
    n_threads: int,
) -> MatchPlan:
    """Project all maps and choose the levels of the search.

    Parameters
    ----------
    volumes : sequence of ndarray (box, box, box)
        Maps, white density, zero outside ``support_radius``.
    references : References
    noise_power : ndarray of shape (box//2 + 1,)
        Mean |N|^2 of the noise's transform in each shell of a particle image.
    grid : FourierGrid
    apix : float
        Pixel size [A].
    max_shift : float
        Largest shift searched [pixels].
    support_radius : float
        Radius [pixels] that holds the maps.
    scoring : Scoring
    max_radius : int, optional
        Highest ring compared, whatever the maps hold.
    n_threads : int
    """
    signal = signal_per_ring(volumes, noise_power)
    fine_radius = min(band_limit(signal, FINE_BAND, lowest=6), max_radius or grid.box)
    coarse_radius = min(band_limit(signal, COARSE_BAND, lowest=4), fine_radius)
    levels = [
        _level(volumes, references, grid, noise_power, radius, support_radius, n_threads)
        for radius in (coarse_radius, fine_radius)
    ]
    return MatchPlan(references, grid, apix, max_shift, levels[0], levels[1], fine_radius, scoring)


class _Batch(TypedDict):
    """Arguments that the search kernels share."""

    spectra: Complex64
    ctf: Float32
    ring_weight: Float32
    scale: float
    oversampling: float
    apix: float


class _CandidateArrays(TypedDict):
    """The candidates as arguments of the kernels."""

    reference: npt.NDArray[np.int32]
    origin: Float32
    alpha: Float32
    mirror: npt.NDArray[np.int32]
    cross: Float32
    norm: Float32


@dataclass
class _Candidates:
    """Arrays (n, K) that the kernels fill in place."""

    reference: npt.NDArray[np.int32]
    origin: Float32
    alpha: Float32
    mirror: npt.NDArray[np.int32]
    cross: Float32
    norm: Float32

    @classmethod
    def at(cls, reference: npt.NDArray[np.int32], origin: Float32) -> _Candidates:
        shape = reference.shape
        return cls(
            np.ascontiguousarray(reference),
            np.ascontiguousarray(origin),
            np.zeros(shape, np.float32),
            np.zeros(shape, np.int32),
            np.zeros(shape, np.float32),
            np.zeros(shape, np.float32),
        )

    def arrays(self) -> _CandidateArrays:
        return {
            "reference": self.reference,
            "origin": self.origin,
            "alpha": self.alpha,
            "mirror": self.mirror,
            "cross": self.cross,
            "norm": self.norm,
        }

    def scores(self, scoring: Scoring) -> Float32:
        scores = scoring.scores(self.cross, self.norm)
        scores[self.reference < 0] = -np.inf
        return scores

    def taken(self, columns: npt.NDArray[np.intp]) -> _Candidates:
        """Return these columns of each row, (n, k)."""
        rows = np.arange(len(self.reference))[:, None]
        return _Candidates(
            **{name: np.ascontiguousarray(a[rows, columns]) for name, a in vars(self).items()}
        )


@dataclass(frozen=True)
class Similarity:
    """Every particle against every reference; all arrays are (n, n_references).

    ``score`` is a log-likelihood as in Matches; alpha [degrees], dx, dy [pixels] and mirror are the
    transform of the particle onto the reference. Refined matches have their final values, the others
    those of the coarse level, bounded so that none beats a refined one of its particle.
    """

    score: Float32
    alpha: Float32
    dx: Float32
    dy: Float32
    mirror: npt.NDArray[np.int32]

    @classmethod
    def joined(cls, parts: Sequence[Similarity]) -> Similarity:
        """Return the matrix of consecutive chunks of particles."""
        names = ("score", "alpha", "dx", "dy", "mirror")
        return cls(**{name: np.concatenate([getattr(p, name) for p in parts]) for name in names})


@dataclass(frozen=True)
class _CoarseScores:
    """Scores of all pairs at the coarse level, and the kernel's codes of their alignments."""

    score: Float32
    code: npt.NDArray[np.int32]
    origins: Float32
    n_angles: int

    def similarity(self, matches: Matches) -> Similarity:
        """Return the whole matrix with the refined matches in their places."""
        shift, rest = np.divmod(self.code, 2 * self.n_angles)
        alpha = (rest // 2 * (2 * np.pi / self.n_angles)).astype(np.float32)
        x, y = self.origins[shift, 0], self.origins[shift, 1]
        cos, sin = np.cos(alpha), np.sin(alpha)
        worst = np.min(np.where(matches.reference >= 0, matches.score, np.inf), axis=1)
        limit = (worst - np.maximum(1e-4, 1e-6 * np.abs(worst)))[:, None]
        whole = Similarity(
            np.minimum(self.score, limit).astype(np.float32),
            np.rad2deg(alpha),
            cos * x + sin * y,
            -sin * x + cos * y,
            np.asarray(rest % 2, dtype=np.int32),
        )
        row, column = np.nonzero(matches.reference >= 0)
        reference = matches.reference[row, column]
        for name in ("score", "alpha", "dx", "dy", "mirror"):
            getattr(whole, name)[row, reference] = getattr(matches, name)[row, column]
        return whole


def _coarse(
    plan: MatchPlan, spectra: Complex64, ctf: Float32, carried: int, n_threads: int
) -> tuple[_Candidates, _CoarseScores]:
    """Search everything in the low band; keep the best references of each map."""
    level, references = plan.coarse, plan.references
    origins = plan.coarse_origins
    cross, norm, code = _core.search_pairs(
        level.bank,
        origins=origins,
        n_threads=n_threads,
        **_batch(plan, level, spectra, ctf),
    )
    scores = plan.scoring.scores(cross, norm)
    n = len(spectra)
    kept, codes = [], []
    for model in range(references.n_models):
        block = references.block(model)
        k = min(carried, block.stop - block.start)
        top_score = np.full((n, k), -np.inf, dtype=np.float32)
        top_reference = np.full((n, k), -1, dtype=np.int32)
        top_code = np.zeros((n, k), dtype=np.int32)
        merge_top(
            np.ascontiguousarray(scores[:, block]),
            np.ascontiguousarray(code[:, block]),
            block.start,
            top_score,
            top_reference,
            top_code,
        )
        kept.append(top_reference)
        codes.append(top_code)
    reference = np.concatenate(kept, axis=1)
    shift = np.concatenate(codes, axis=1) // (2 * level.bank.n_angles)
    # the best first: their surroundings are searched before the nodes run out
    order = np.argsort(-np.take_along_axis(scores, reference, axis=1), axis=1, kind="stable")
    reference = np.take_along_axis(reference, order, axis=1)
    shift = np.take_along_axis(shift, order, axis=1)
    every = _CoarseScores(scores, code, origins, level.bank.n_angles)
    return _Candidates.at(reference, origins[shift]), every


def _batch(plan: MatchPlan, level: Level, spectra: Complex64, ctf: Float32) -> _Batch:
    return {
        "spectra": spectra,
        "ctf": ctf,
        "ring_weight": level.ring_weight,
        "scale": plan.grid.scale,
        "oversampling": plan.grid.scale,
        "apix": plan.apix,
    }


def _best_of_each_map(
    candidates: _Candidates, scores: Float32, references: References, count: int
) -> npt.NDArray[np.intp]:
    """Return the columns of the ``count`` best candidates of each map, (n, n_models * count)."""
    model = np.where(candidates.reference >= 0, references.model[candidates.reference], -1)
    columns = []
    for m in range(references.n_models):
        own = np.where(model == m, scores, -np.inf)
        n_own = min(count, int((model == m).sum(axis=1).min()))
        columns.append(np.argsort(-own, axis=1, kind="stable")[:, :n_own])
    return np.concatenate(columns, axis=1)


def match_chunk(
    plan: MatchPlan,
    spectra: Complex64,
    ctf: Float32,
    *,
    refined: int = REFINED,
    with_similarity: bool = False,
    n_threads: int = 1,
) -> tuple[Matches, Similarity | None]:
    """Match one chunk of particles with all references.

    Parameters
    ----------
    plan : MatchPlan
    spectra : ndarray of shape (n, padded, padded//2+1), complex64
        Padded transforms of the particles (``ParticleTreatment.spectra``).
    ctf : ndarray of shape (n, 7), float32
        CTF coefficients (``ctf_coefficients``).
    refined : int
        Matches of each map that are refined and returned.
    with_similarity : bool
        Whether to return all pairs, too.

    Returns
    -------
    Matches
        ``refined`` matches of each map, best first.
    Similarity or None
    """
    fine = plan.fine
    candidates, every = _coarse(plan, spectra, ctf, max(CARRIED, refined), n_threads)
    batch = _batch(plan, fine, spectra, ctf)
    step = min(fine.shift_step, 0.5 * plan.coarse.shift_step)
    limit = plan.max_shift + 0.5 * plan.coarse.shift_step
    _core.search_candidates(
        fine.bank,
        step=step,
        reach=int(np.ceil(0.5 * plan.coarse.shift_step / step)),
        max_nodes=MAX_NODES,
        max_origin=limit,
        n_threads=n_threads,
        **batch,
        **candidates.arrays(),
    )
    scores = candidates.scores(plan.scoring)
    best = candidates.taken(_best_of_each_map(candidates, scores, plan.references, refined))
    _core.refine_candidates(
        fine.bank,
        iterations=NEWTON_STEPS,
        max_origin=limit,
        n_threads=n_threads,
        **batch,
        **best.arrays(),
    )
    matches = _matches(best, plan.scoring)
    return matches, every.similarity(matches) if with_similarity else None


def _matches(candidates: _Candidates, scoring: Scoring) -> Matches:
    """Sort candidates by score and turn their origins into EMAN's translations."""
    scores = candidates.scores(scoring)
    ranked = candidates.taken(np.argsort(-scores, axis=1, kind="stable"))
    scores = -np.sort(-scores, axis=1, kind="stable")
    cos, sin = np.cos(ranked.alpha), np.sin(ranked.alpha)
    x, y = ranked.origin[..., 0], ranked.origin[..., 1]
    tiny = np.finfo(np.float32).tiny
    return Matches(
        reference=ranked.reference,
        score=scores,
        quality=np.asarray(ranked.cross / np.sqrt(np.maximum(ranked.norm, tiny)), np.float32),
        alpha=np.rad2deg(ranked.alpha % np.float32(2 * np.pi)).astype(np.float32),
        dx=np.asarray(cos * x + sin * y, np.float32),
        dy=np.asarray(-sin * x + cos * y, np.float32),
        mirror=ranked.mirror,
    )


def match_images(
    images: Float32,
    references: Float32,
    ctf: Float32,
    *,
    apix: float,
    max_shift: float,
    top: int,
    scoring: Scoring,
    n_threads: int = 1,
) -> Matches:
    """Match images with reference images, both (n, box, box), in white noise of unit variance.

    Parameters are those of ``plan_match`` and ``match_chunk``; every reference counts as a view of
    one map.
    """
    grid = FourierGrid.for_box(images.shape[1])
    noise = np.full(grid.box // 2 + 1, float(grid.box) ** 2)
    power = shell_means(np.abs(scipy.fft.rfft2(references)) ** 2, grid.box).mean(axis=0)
    signal = 2 * np.pi * np.arange(len(power)) * power
    fine_radius = band_limit(signal, FINE_BAND, lowest=6)
    coarse_radius = min(band_limit(signal, COARSE_BAND, lowest=4), fine_radius)
    spectra = grid.image_spectra(references, n_threads=n_threads)
    levels = []
    for radius in (coarse_radius, fine_radius):
        level = _empty_level(grid, noise, radius, grid.box / 2)
        level.bank.add_images(
            spectra, scale=grid.scale, oversampling=grid.scale, n_threads=n_threads
        )
        levels.append(level)
    listed = References.of_models([np.zeros((len(references), 3))])
    plan = MatchPlan(listed, grid, apix, max_shift, levels[0], levels[1], fine_radius, scoring)
    particles = grid.image_spectra(images, n_threads=n_threads)
    matches, _ = match_chunk(plan, particles, ctf, refined=top, n_threads=n_threads)
    return matches
