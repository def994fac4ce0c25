"""Find classes among particles of known poses, without starting maps: the whole of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mapsort.engines.progress import Progress
from mapsort.stages.components.band import BandParticles, Float64
from mapsort.stages.components.folds import Folds
from mapsort.stages.fourier_grid import Float32


@dataclass(frozen=True)
class ComponentSettings:
    """What can be chosen; the defaults suit particles of all sizes.

    Attributes
    ----------
    n_components : int
        Components sought; 0 for two more than there are classes.
    rings : int
        Last ring in use; 0 to choose it by where the particles' signal ends.
    radius_px : float or None
        Radius of the sphere that holds the particle [pixels]; None for 0.36 of the box.
    junk : bool
        Whether some images may hold no particle.
    correct_poses : bool
        Whether the given poses may be off by a few degrees and pixels.
    n_threads : int
    """

    n_components: int = 0
    rings: int = 0
    radius_px: float | None = None
    junk: bool = True
    correct_poses: bool = True
    n_threads: int = 1


@dataclass(frozen=True)
class PrincipalComponents:
    """How the volume varies.

    Attributes
    ----------
    mean : ndarray of shape (box, box, box), float32
        The mean map, low-passed to the band.
    maps : ndarray of shape (q, box, box, box), float32
        Principal components, the largest first: what one standard deviation of the particles'
        coordinate adds to the mean.
    latent_means : ndarray of shape (n, q), float64
        Coordinates of each particle, of standard deviation about 1.
    latent_covariances : ndarray of shape (n, q, q), float64
        Their uncertainty.
    held_out_gain : ndarray of shape (q + 1,), float64
        What 0, 1, ... components gain over the mean map, for particles that had no part in them
        [nat a particle].
    """

    mean: Float32
    maps: Float32
    latent_means: Float64
    latent_covariances: Float64
    held_out_gain: Float64

    @property
    def n_components(self) -> int:
        """Number of components."""
        return len(self.maps)


@dataclass(frozen=True)
class FoundClasses:
    """Classes of n particles.

    Attributes
    ----------
    responsibilities : ndarray of shape (n, K), float64
        Probability of each class; rows add up to 1 - junk.
    junk : ndarray of shape (n,), float64
        Probability that an image holds no particle.
    scale : ndarray of shape (n,), float64
        Brightness of each particle relative to the maps.
    rotations : ndarray of shape (n, 3, 3), float64
        Object to view, corrected.
    origins : ndarray of shape (n, 2), float64
        By how much the shifts that centre the particles grew, x before y [pixels]: to be added to
        the origins that the particles were prepared with.
    maps : ndarray of shape (K, box, box, box), float32
        Low-passed to the band.
    components : PrincipalComponents
    log_likelihoods : tuple of float
        Of each iteration of the maps [nat a particle], each particle judged by maps made without
        it.
    rings : int
        Last ring (Fourier pixel) in use.
    """

    responsibilities: Float64
    junk: Float64
    scale: Float64
    rotations: Float64
    origins: Float64
    maps: Float32
    components: PrincipalComponents
    log_likelihoods: tuple[float, ...]
    rings: int

    @property
    def labels(self) -> npt.NDArray[np.intp]:
        """The most probable class of each particle from 0, or K for junk, (n,)."""
        return np.asarray(np.column_stack([self.responsibilities, self.junk]).argmax(axis=1))


def find_classes(
    particles: BandParticles,
    rotations: Float64,
    n_classes: int,
    folds: Folds,
    settings: ComponentSettings,
    *,
    seed: int,
    progress: Progress,
) -> FoundClasses:
    """Find classes among particles whose poses are known to a few degrees.

    Parameters
    ----------
    particles : BandParticles
        Prepared, centred by the origins known so far.
    rotations : ndarray of shape (n, 3, 3), float64
        Object to view.
    n_classes : int
        K, from 1.
    folds : Folds
        Parts that are judged by maps made without them; at least 2, none of them empty.
    settings : ComponentSettings
    seed : int
        The result depends on it, and not on the number of threads.
    progress : Progress

    Returns
    -------
    FoundClasses

    Raises
    ------
    ConfigError
        More classes than particles, or fewer than two folds.
    NumericalError
        The particles hold no signal that they agree on.
    """
    raise NotImplementedError
