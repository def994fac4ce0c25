"""How well each slice agrees with the map of all others, and which slices to leave out for it.

The map at the sample q of a slice (its numerator n, density d, value s = n / d) is nearly the
quotient (N + n) / (D + d + t) of the sums of this slice and of all others over their densities and
the Wiener term t; the map of all others is therefore

    v = (V - h s) / (1 - h),    h = d / (D + d + t),

h being the slice's leverage on itself (the leave-one-out residual of a linear smoother: Allen,
Technometrics 16 (1974) 125; Craven & Wahba, Numerische Mathematik 31 (1979) 377). The density D + d
is the transform of the point spread function within the sphere that the box holds: the line through
its centre along any view is one box long, so that a slice's own part in it is just d. What the
quotient leaves out is that neighbouring samples of one slice share a little of their leverage,
about a hundredth of the correlation (against solving again without the slice).

The original compared each slice with a map that contained it (or, by an error, contained it twice),
which favours odd slices where no other slice has a say.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.fft

from mapsort.array_types import Bool, Complex64, Float32, Float64, Real
from mapsort.engines.chunks import chunk_ranges
from mapsort.physics.shells import fourier_radius, friedel_weight
from mapsort.stages.project import project_slices
from mapsort.stages.reconstruct.normal_equations import NormalEquations
from mapsort.stages.reconstruct.reconstruct import wiener_term

#: Slices compared at a time take about this many bytes.
_BLOCK_BYTES = 256 * 2**20
#: Slices of nearest weight, before and behind, that a slice's agreement is measured against.
NEIGHBOURS = 10
#: Neighbours that agree less than this on average are no measure.
LEAST_AGREEMENT = 0.01
#: Where a slice is all but alone (1 - h below this) nothing is known of the others.
_LEAST_OTHERS = 0.02


@dataclass(frozen=True)
class SliceAgreement:
    """Agreement of each of n slices with the map of all others."""

    #: sum n Re(v s*) / sqrt(sum n |v|^2 sum n |s|^2), -1 to 1, (n,); 0 for empty slices. The weight
    #: of a frequency is its share of the slice's density that the others' map can judge, n = d D /
    #: (D + t).
    absqual: Float64
    #: How many times brighter the slice is than the others have it, (n,): sum n Re(v s*) / sum n
    #: |v|^2. Its inverse is the original's norm factor, but by least squares and not as a ratio of
    #: amplitudes, which noise in s would raise. 1 for empty slices.
    scale: Float64


def slice_agreement(
    equations: NormalEquations,
    volume: Float32,
    numerator: Complex64,
    density: Float32,
    rotations: Float64,
    *,
    contained: Bool | None = None,
    noise_to_signal: Real | None = None,
    n_threads: int = 1,
) -> SliceAgreement:
    """Compare each slice with the map of all others.

    Parameters
    ----------
    equations : NormalEquations
        Of all slices, or of those that are ``contained``.
    volume : ndarray of shape (box, box, box)
        Their solution with the same ``noise_to_signal``, not masked.
    numerator, density : ndarray of shape (n, box, box//2+1)
        The slices as inserted: sums of C X and of C^2.
    rotations : ndarray of shape (n, 3, 3)
        Object to view.
    contained : ndarray of shape (n,), optional
        Which slices are in the equations; by default all.
    noise_to_signal : ndarray of shape (box//2 + 1,), optional
        As for `solve`.
    """
    box = equations.box
    term = _on_plane(wiener_term(equations, noise_to_signal) / box**3, box)
    kernel = _point_spread_in_sphere(equations, n_threads)
    counted = _terms_counted(box, equations.max_radius)
    absqual, scale = np.zeros(len(rotations)), np.ones(len(rotations))
    for block in chunk_ranges(len(rotations), max(1, _BLOCK_BYTES // (40 * box * box))):
        own, turns = density[block], rotations[block]
        member = np.ones(len(turns)) if contained is None else contained[block]
        inside = np.asarray(member, dtype=np.float32)[:, None, None]
        whole = project_slices(kernel, turns, n_threads=n_threads).real / np.float32(box**3)
        predicted = project_slices(volume, turns, n_threads=n_threads)
        others = np.maximum(whole - inside * own, 0.0) + term
        known = others > _LEAST_OTHERS * (others + own)
        left_out = predicted + inside * (predicted * own - numerator[block]) / others
        share: Real = counted * known * (1.0 - term / others)
        power = np.abs(numerator[block]) ** 2 / np.where(own > 0, own, 1.0)
        cross = _sums(share * (left_out * np.conj(numerator[block])).real)
        expected = _sums(share * own * np.abs(left_out) ** 2)
        product = np.sqrt(expected * _sums(share * power))
        np.divide(cross, product, out=absqual[block], where=product > 0)
        np.divide(cross, expected, out=scale[block], where=product > 0)
    return SliceAgreement(absqual, scale)


def relative_quality(absqual: Real, weight: npt.NDArray[np.number]) -> Float64:
    """Return each slice's agreement (n,) relative to slices of like weight.

    The agreement of an average of many particles is better than that of few: each is divided by the
    mean of the (up to) 20 others that are nearest in the order of their weights. 1 is as good as
    the neighbours; -1 where the weight is 0.
    """
    quality = np.full(len(absqual), -1.0)
    used = np.flatnonzero(weight > 0)
    order = used[np.argsort(weight[used], kind="stable")]
    values = np.asarray(absqual, dtype=np.float64)[order]
    for place, index in enumerate(order):
        near = values[max(0, place - NEIGHBOURS) : place + NEIGHBOURS + 1]
        others = max(1, len(near) - 1)
        mean = (near.sum() - values[place]) / others if len(near) > 1 else values[place]
        quality[index] = values[place] / max(mean, LEAST_AGREEMENT)
    return quality


def kept_slices(
    quality: Real, weight: npt.NDArray[np.number], *, keep: float, keep_sigma: bool = False
) -> Bool:
    """Return which slices stay in the map, (n,); empty ones are never counted.

    The best ceil(n keep) stay; with ``keep_sigma`` those not farther than this many standard
    deviations below the mean. At least one.
    """
    kept = np.zeros(len(quality), dtype=bool)
    used = np.flatnonzero(weight > 0)
    if not len(used):
        return kept
    order = used[np.argsort(-quality[used], kind="stable")]
    if keep_sigma:
        values = quality[order]
        count = int(np.sum(values >= values.mean() - keep * values.std()))
    else:
        # 0.8 x 5 is 4.000000000000001 in some orders of rounding
        count = int(np.ceil(len(order) * keep - 1e-9))
    kept[order[: max(1, count)]] = True
    return kept


def _sums(terms: Real) -> Float64:
    return np.asarray(np.sum(terms, axis=(1, 2), dtype=np.float64))


def _point_spread_in_sphere(equations: NormalEquations, n_threads: int) -> Float32:
    """Return the point spread function about the centre pixel, cut to the box's sphere."""
    box = equations.box
    spread = scipy.fft.irfftn(equations.transfer, s=(2 * box,) * 3, workers=n_threads)
    axis = np.arange(box) - box // 2
    kernel = spread[np.ix_(axis % (2 * box), axis % (2 * box), axis % (2 * box))]
    square = (axis**2).astype(np.float32)
    outside = square[:, None, None] + square[:, None] + square > (0.5 * box) ** 2
    kernel[outside] = 0.0
    return np.asarray(kernel, dtype=np.float32)


def _on_plane(curve: Float64, box: int) -> Float32:
    return np.interp(fourier_radius(box, ndim=2), np.arange(len(curve)), curve).astype(np.float32)


def _terms_counted(box: int, max_radius: float) -> Float32:
    """Return how often each term of a half plane counts: not beyond the radius, nor the origin."""
    weight = np.array(np.broadcast_to(friedel_weight(box, ndim=2), (box, box // 2 + 1)))
    weight[fourier_radius(box, ndim=2) > max_radius] = 0.0
    weight[0, 0] = 0.0
    if box % 2 == 0:
        weight[box // 2] = 0.0
        weight[:, box // 2] = 0.0
    return weight
