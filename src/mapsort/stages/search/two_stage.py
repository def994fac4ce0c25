"""The first of two stages of a search: clusters of similar references stand for their members.

Every reference is compared with every other; centres are chosen far from each other, every
reference joins its two nearest ones, and particles meet the clusters' averages before they meet
the members of the best clusters. Maps count for nothing in this: similar views of different maps
share a cluster, and so the first stage decides between views, not between maps.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mapsort.array_types import Float32, Indices, Int32, Real
from mapsort.engines.chunks import chunk_ranges
from mapsort.model.references import References
from mapsort.physics.image_moves import transform_image
from mapsort.physics.scoring import Comparator, Scoring
from mapsort.stages.fourier_grid import FourierGrid
from mapsort.stages.prepare import ctf_coefficients
from mapsort.stages.search.match import match_chunk
from mapsort.stages.search.search_plan import plan_image_match
from mapsort.stages.search.settings import SearchContext, SearchSettings, white_noise
from mapsort.stages.search.similarity import Similarity

#: Fewer references than this make no clusters.
LEAST_REFERENCES = 6
#: Centres that a reference joins, and clusters of a particle whose members it meets.
JOINED, VISITED = 2, 4
_AT_ONCE = 256


@dataclass(frozen=True)
class Clusters:
    """References in clusters."""

    #: Every reference (row) against every other one; ``score`` is the squared correlation.
    similarity: Similarity
    #: References of each cluster, ascending; a reference is in two clusters.
    members: tuple[Indices, ...]
    #: Means of the members, each laid onto the first, (n_clusters, box, box).
    averages: Float32


@dataclass(frozen=True)
class FirstStage:
    """What the first of two stages found."""

    clusters: Clusters
    #: Particles against the clusters' averages.
    similarity: Similarity


def n_clusters(n_references: int) -> int:
    """Return how many clusters so many references make: 3 times the root."""
    return 3 * int(np.floor(np.sqrt(n_references)))


def cluster_references(
    images: Float32,
    *,
    apix: float,
    max_shift: float,
    max_radius: int | None,
    n_threads: int = 1,
) -> Clusters:
    """Put references (n, box, box), at least `LEAST_REFERENCES`, into clusters of similar ones.

    The first stage of EMAN2's e2simmx2stage; its similarity is that of ``sqeuclidean:normto=1``,
    which ranks as the squared correlation does. Shifts between two references go up to
    ``max_shift`` [pixels], rings up to ``max_radius``.
    """
    similarity = _self_similarity(images, apix, max_shift, max_radius, n_threads)
    distance = 1.0 - 0.5 * (similarity.score + similarity.score.T)
    centres = _ordered(_far_apart(distance, n_clusters(len(images))), distance)
    joined = np.argsort(distance[:, centres], axis=1, kind="stable")[:, :JOINED]
    members = tuple(
        np.flatnonzero((joined == number).any(axis=1)) for number in range(len(centres))
    )
    # two centres can be nearer to others than to themselves only if they are alike
    members = tuple(m if len(m) else np.array([c]) for m, c in zip(members, centres, strict=True))
    averages = np.stack([_average(images, similarity, m) for m in members])
    return Clusters(similarity, members, averages)


def cluster_candidates(
    clusters: Clusters, first: Similarity, references: References, *, at_least: int
) -> tuple[Int32, Float32]:
    """Return the references each particle meets in the second stage, and where to look.

    Parameters
    ----------
    first : Similarity
        Particles against the clusters' averages.
    at_least : int
        References of every map: more clusters than the best `VISITED` are taken until there are as
        many (or all), so that no map is lost in the first stage.

    Returns
    -------
    reference : ndarray of shape (n, k), int32
        -1 where a particle has fewer candidates.
    origin : ndarray of shape (n, k, 2), float32
        Where its cluster's average had the particle's centre [pixels].
    """
    a = np.deg2rad(first.alpha)
    x = np.cos(a) * first.dx - np.sin(a) * first.dy
    y = np.sin(a) * first.dx + np.cos(a) * first.dy
    order = np.argsort(-first.score, axis=1, kind="stable")
    model = references.model
    wanted = np.minimum(np.bincount(model, minlength=references.n_models), at_least)
    rows = []
    for particle, ranked in enumerate(order):
        chosen: dict[int, int] = {}
        count = np.zeros(references.n_models, dtype=int)
        for rank, cluster in enumerate(ranked):
            if rank >= VISITED and (count >= wanted).all():
                break
            for member in clusters.members[cluster]:
                if int(member) not in chosen:
                    chosen[int(member)] = int(cluster)
                    count[model[member]] += 1
        rows.append((particle, chosen))
    width = max(len(chosen) for _, chosen in rows)
    reference = np.full((len(rows), width), -1, dtype=np.int32)
    origin = np.zeros((len(rows), width, 2), dtype=np.float32)
    for particle, chosen in rows:
        of = np.fromiter(chosen.values(), dtype=np.intp)
        reference[particle, : len(of)] = list(chosen)
        origin[particle, : len(of)] = np.stack([x[particle, of], y[particle, of]], axis=1)
    return reference, origin


def _self_similarity(
    images: Float32, apix: float, max_shift: float, max_radius: int | None, n_threads: int
) -> Similarity:
    grid = FourierGrid.for_box(images.shape[1])
    context = SearchContext(
        grid, apix, white_noise(grid.box), max_shift, max_radius, n_threads=n_threads
    )
    settings = SearchSettings(Scoring(float("inf"), Comparator.CCC))
    plan = plan_image_match(images, context, settings)
    parts = []
    for where in chunk_ranges(len(images), _AT_ONCE):
        spectra = grid.image_spectra(images[where], n_threads=n_threads)
        ctf = ctf_coefficients(None, len(spectra))
        _, part = match_chunk(plan, spectra, ctf, with_similarity=True, n_threads=n_threads)
        assert part is not None, "it was asked for"
        parts.append(part)
    found = Similarity.joined(parts)
    # f^2 / 2g of an image with itself is half its power: the ratio is the squared correlation
    power = np.diagonal(found.score)[:, None]
    return Similarity(
        np.clip(found.score / power, 0.0, 1.0).astype(np.float32),
        found.alpha,
        found.dx,
        found.dy,
        found.mirror,
    )


def _far_apart(distance: Real, count: int) -> list[int]:
    """Choose centres: the first reference, then always the one farthest from those chosen."""
    centres = [0]
    nearest = distance[0].copy()
    while len(centres) < min(count, len(distance)):
        farthest = int(np.argmax(nearest))
        centres.append(farthest)
        nearest = np.minimum(nearest, distance[farthest])
        nearest[centres] = -np.inf
    return centres


def _ordered(centres: list[int], distance: Real) -> list[int]:
    """Order centres so that neighbours in the list are similar."""
    left = list(centres)
    ordered = [left.pop(0)]
    while left:
        nearest = int(np.argmin(distance[ordered[-1], left]))
        ordered.append(left.pop(nearest))
    return ordered


def _average(images: Float32, similarity: Similarity, members: Indices) -> Float32:
    """Return the mean of a cluster's members, each laid onto the first."""
    first = int(members[0])
    laid = [images[first]]
    for member in members[1:]:
        alpha = np.deg2rad(float(similarity.alpha[member, first]))
        cos, sin = np.cos(alpha), np.sin(alpha)
        dx, dy = similarity.dx[member, first], similarity.dy[member, first]
        matrix = np.array([[cos, sin, dx], [-sin, cos, dy]], dtype=np.float64)
        if similarity.mirror[member, first]:
            matrix[0] *= -1.0
        laid.append(transform_image(images[member], matrix))
    return np.asarray(np.mean(laid, axis=0), dtype=np.float32)
