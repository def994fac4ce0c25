"""The Python interface: one function for each thing the program can do with arrays in memory."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mapsort.array_types import Float32, Float64, Real
from mapsort.engines.resources import available_threads
from mapsort.errors import ConfigError
from mapsort.geometry.arrays import real_array
from mapsort.geometry.symmetry import symmetry as symmetry_group
from mapsort.jobs.doctor import build_config
from mapsort.model.matches import Matches
from mapsort.model.volume import Volume
from mapsort.modules.orientgen import orientations
from mapsort.modules.projector import projector
from mapsort.modules.reconstructor import reconstructor
from mapsort.physics.ctf import ContrastTransfer, ctf_images
from mapsort.physics.fsc import fsc
from mapsort.physics.scoring import Comparator, Scoring
from mapsort.stages.prepare import ctf_coefficients
from mapsort.stages.project import project_images
from mapsort.stages.reconstruct.half_maps import solve_whole
from mapsort.stages.reconstruct.insertion_grid import InsertionGrid
from mapsort.stages.reconstruct.particle_slices import weighted_slices
from mapsort.stages.reconstruct.slice_sums import SliceSums, insert_copies
from mapsort.stages.search.match import match_images

__all__ = [
    "build_config",
    "fsc",
    "match",
    "orientations",
    "project",
    "reconstruct",
    "symmetry_group",
]

_SCORES = {
    "ccc": Scoring(float("inf"), Comparator.CCC),
    "loglik": Scoring(0.0),
    "sqeuclidean": Scoring(0.0, Comparator.SQEUCLIDEAN),
    "dot": Scoring(float("inf"), Comparator.DOT),
    "frc": Scoring(float("inf"), Comparator.FRC),
    "phase": Scoring(float("inf"), Comparator.PHASE),
}


def _shifts(shifts: npt.ArrayLike, n: int) -> Float64:
    moved = real_array(shifts, "shifts")
    if moved.shape != (n, 2):
        raise ConfigError(f"shifts: expected shape ({n}, 2), got {moved.shape}")
    return moved


def project(
    volume: Volume | Real,
    rotations: npt.ArrayLike,
    *,
    method: str = "fourier",
    shifts: npt.ArrayLike | None = None,
) -> Float32:
    """Project a map.

    Parameters
    ----------
    volume : Volume or ndarray of shape (box, box, box)
        Density, (z, y, x), centre at pixel box//2.
    rotations : array_like of shape (n, 3, 3)
        Object to view.
    method : str
        A projector: fourier, fourier_gridding, gauss_fft (slices in Fourier space), standard,
        pawel, chao, maxval (real space), with its parameters as in ``"fourier:tolerance=1e-5"``.
    shifts : array_like of shape (n, 2), optional
        By how much each projection is moved [pixels].

    Returns
    -------
    ndarray of shape (n, box, box), float32

    Raises
    ------
    ConfigError
        For shapes that do not fit and for an unknown method.

    Examples
    --------
    >>> import numpy as np
    >>> images = project(np.ones((16, 16, 16)), np.eye(3)[None])
    >>> images.shape
    (1, 16, 16)
    """
    try:
        chosen = projector(method)
    except ConfigError as error:
        raise ConfigError(f"method={method}: {error}") from error
    given = volume.data if isinstance(volume, Volume) else volume
    data = real_array(given, "volume", np.float32)
    if data.ndim != 3 or len(set(data.shape)) != 1:
        raise ConfigError(f"volume: expected shape (n, n, n), got {data.shape}")
    turns = _rotations(rotations)
    return project_images(
        data,
        turns,
        method=chosen,
        shifts=None if shifts is None else _shifts(shifts, len(turns)),
        n_threads=available_threads(),
    )


def _rotations(rotations: npt.ArrayLike) -> Float64:
    turns = real_array(rotations, "rotations")
    if turns.ndim != 3 or turns.shape[1:] != (3, 3):
        raise ConfigError(f"rotations: expected shape (n, 3, 3), got {turns.shape}")
    return turns


def match(
    particles: Real,
    references: Real,
    *,
    maxshift: float,
    top: int = 1,
    score: str = "ccc",
    ctf: ContrastTransfer | None = None,
    apix: float = 1.0,
) -> Matches:
    """Align particles with reference images over rotation, mirror and shift.

    Parameters
    ----------
    particles : ndarray of shape (n, box, box)
        Images, white density.
    references : ndarray of shape (m, box, box)
        Images without CTF.
    maxshift : float
        Largest shift searched [pixels].
    top : int
        How many matches of each particle to return.
    score : {"ccc", "loglik", "sqeuclidean", "dot", "frc", "phase"}
        ``ccc``, ``frc`` and ``phase`` rank by correlation, whatever the references' scale;
        ``loglik``, ``sqeuclidean`` and ``dot`` take the references' scale as it is.
    ctf : ContrastTransfer, optional
        Of each particle; applied to the references in the comparison.
    apix : float
        Pixel size [A]; needed with ``ctf``.

    Returns
    -------
    Matches
        ``reference, score, alpha, dx, dy, mirror``, each (n, top), best first: EMAN's transform of
        the particle onto the reference.

    Raises
    ------
    ConfigError
        For shapes, ``top`` or ``score`` that do not fit.
    """
    images = real_array(particles, "particles", np.float32)
    views = real_array(references, "references", np.float32)
    if images.ndim != 3 or len(images) == 0 or images.shape[1] != images.shape[2]:
        raise ConfigError(f"particles: expected (n, box, box), n > 0, got {images.shape}")
    if views.ndim != 3 or images.shape[1:] != views.shape[1:]:
        raise ConfigError(
            f"references: expected (m, {', '.join(map(str, images.shape[1:]))}) as the particles, "
            f"got {views.shape}"
        )
    if score not in _SCORES:
        raise ConfigError(f"score={score}: takes {', '.join(_SCORES)}")
    if not 0 <= maxshift < images.shape[1] / 2:
        raise ConfigError(f"maxshift={maxshift:g}: takes 0 to below half the box [pixels]")
    if not 1 <= top <= len(views):
        raise ConfigError(f"top={top}: takes 1 to the number of references, {len(views)}")
    if ctf is not None and len(ctf) != len(images):
        raise ConfigError(f"ctf: expected {len(images)} particles, got {len(ctf)}")
    return match_images(
        images,
        views,
        ctf_coefficients(ctf, len(images)),
        apix=apix,
        max_shift=maxshift,
        top=top,
        scoring=_SCORES[score],
        n_threads=available_threads(),
    )


def reconstruct(
    images: Real,
    rotations: npt.ArrayLike,
    *,
    shifts: npt.ArrayLike | None = None,
    ctf: ContrastTransfer | None = None,
    weights: npt.ArrayLike | None = None,
    symmetry: str = "c1",
    apix: float = 1.0,
    method: str = "fourier",
) -> Volume:
    """Reconstruct a map from images at known orientations.

    Parameters
    ----------
    images : ndarray of shape (n, box, box)
    rotations : array_like of shape (n, 3, 3)
        Object to view.
    shifts : array_like of shape (n, 2), optional
        By how much each image's content is off-centre [pixels]; undone before insertion, so that
        ``project(v, r, shifts=s)`` goes back with the same ``s``.
    ctf : ContrastTransfer, optional
        Corrected for, image by image.
    weights : array_like of shape (n,), optional
    symmetry : str
        c<n>, d<n>, tet, oct, icos, icos2 or h<copies>:<starts>:<turn>:<rise>.
    apix : float
        Pixel size [A].
    method : str
        A reconstructor by its name: ``fourier``, ``back_projection``, ``nn4:snr=10`` ... With
        ``wiener_fourier`` and ``nnSSNR`` the map is Wiener-filtered by the signal-to-noise ratio
        that its halves show, of images with even and odd numbers.

    Returns
    -------
    Volume

    Raises
    ------
    ConfigError
        For shapes, a symmetry or a method that do not fit.
    """
    views = real_array(images, "images", np.float32)
    turns = _rotations(rotations)
    chosen = reconstructor(method)
    if views.ndim != 3 or len(views) != len(turns) or views.shape[1] != views.shape[2]:
        raise ConfigError(f"images: expected ({len(turns)}, box, box), got {views.shape}")
    n, box = views.shape[:2]
    share = None if weights is None else real_array(weights, "weights")
    if share is not None and share.shape != (n,):
        raise ConfigError(f"weights: expected shape ({n},), got {share.shape}")
    threads = available_threads()
    numerator, density = weighted_slices(
        views,
        shifts=None if shifts is None else _shifts(shifts, n),
        transfer=None if ctf is None else ctf_images(ctf, box, apix),
        weights=share,
        n_threads=threads,
    )
    group = symmetry_group(symmetry)
    parts = []
    for members in [slice(0, None, 2), slice(1, None, 2)] if chosen.ssnr else [slice(None)]:
        sums = SliceSums.empty(InsertionGrid.for_box(box), float(box // 2))
        insert_copies(
            sums,
            np.ascontiguousarray(numerator[members]),
            np.ascontiguousarray(density[members]),
            turns[members],
            group,
            apix=apix,
            n_threads=threads,
        )
        parts.append(sums)
    return Volume(solve_whole(parts, chosen, n_threads=threads), apix)
