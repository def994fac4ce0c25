"""A mask on the projections (--simmask) restricts the comparison to where it is not zero."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from mapsort.geometry.euler import matrix_to_eman
from mapsort.model.references import References
from mapsort.modules.search_aligner import search_aligner
from mapsort.physics.phantom import phantom_map
from mapsort.physics.scoring import Scoring
from mapsort.stages.fourier_grid import FourierGrid, centred_images
from mapsort.stages.prepare import ctf_coefficients
from mapsort.stages.project import project_slices
from mapsort.stages.search.match import match_chunk
from mapsort.stages.search.search_plan import plan_match
from mapsort.stages.search.settings import SearchContext, SearchSettings

BOX, APIX, RADIUS, N_VIEWS = 32, 4.0, 11.0, 20


def radius():
    x = np.arange(BOX) - BOX // 2
    return np.hypot(x[:, None], x[None, :])


def soft_disc(edge_at):
    """1 within, 0 two pixels farther out."""
    return np.clip((edge_at + 2 - radius()) / 2, 0, 1).astype(np.float32)


@pytest.fixture(scope="module")
def maps():
    """Two states of the phantom, zero outside a ball of 11 pixels."""
    x = np.arange(BOX) - BOX // 2
    z, y, x = np.meshgrid(x, x, x, indexing="ij")
    ball = np.clip(RADIUS - np.sqrt(x**2 + y**2 + z**2), 0, 1)
    return [(phantom_map(state, BOX, APIX) * ball).astype(np.float32) for state in (0, 2)]


@pytest.fixture(scope="module")
def references():
    rng = np.random.default_rng(3)
    return References.of_models(
        [matrix_to_eman(Rotation.random(N_VIEWS, rng=rng).as_matrix()) for _ in range(2)]
    )


@pytest.fixture(scope="module")
def clean(maps, references):
    """Projections of all references, (n, box, box)."""
    slices = [
        project_slices(volume, references.rotations[references.block(m)])
        for m, volume in enumerate(maps)
    ]
    return centred_images(np.concatenate(slices), BOX)


def match(
    maps, references, images, *, mask=None, noise=1.0, max_shift=0.0, exhaustive=False, **options
):
    """Best matches of images that have no CTF."""
    grid = FourierGrid.for_box(BOX)
    aligner = search_aligner("rtf_exhaustive" if exhaustive else "rotate_translate_flip")
    plan = plan_match(
        maps,
        references,
        SearchContext(grid, APIX, np.full(BOX // 2 + 1, noise**2 * BOX**2), max_shift),
        SearchSettings(Scoring(float("inf")), aligner),
        support_radius=RADIUS + 1,
        mask=mask,
        **options,
    )
    spectra = grid.image_spectra(images.astype(np.float32))
    return match_chunk(plan, spectra, ctf_coefficients(None, len(images)))[0]


@pytest.fixture(scope="module")
def noisy(clean):
    """Each projection once, at an SNR of 0.3 and an unknown shift; and the noise's deviation."""
    rng = np.random.default_rng(4)
    sigma = float(np.sqrt(clean.var() / 0.3))
    moved = np.stack([np.roll(i, rng.integers(-2, 3, 2), axis=(0, 1)) for i in clean])
    return moved + rng.normal(0, sigma, moved.shape), sigma


@pytest.mark.parametrize("exhaustive", [False, True])
def test_a_mask_beyond_the_object_changes_nothing(maps, references, noisy, exhaustive):
    images, noise = noisy
    options = {"noise": noise, "max_shift": 3.0, "exhaustive": exhaustive}
    plain = match(maps, references, images, **options)
    masked = match(maps, references, images, mask=soft_disc(13.0), **options)
    np.testing.assert_array_equal(masked.reference[:, 0], plain.reference[:, 0])
    np.testing.assert_array_equal(masked.mirror[:, 0], plain.mirror[:, 0])
    np.testing.assert_allclose(masked.score[:, 0], plain.score[:, 0], rtol=1e-3)
    np.testing.assert_allclose(masked.origin[:, 0], plain.origin[:, 0], atol=0.02)


def test_the_scale_of_a_mask_does_not_matter(maps, references, noisy):
    """To a correlation, that is."""
    images, noise = noisy
    one = match(maps, references, images, mask=soft_disc(9.0), noise=noise)
    two = match(maps, references, images, mask=0.9 * soft_disc(9.0), noise=noise)
    np.testing.assert_array_equal(two.reference[:, 0], one.reference[:, 0])
    np.testing.assert_allclose(two.score[:, 0], one.score[:, 0], rtol=1e-3)


@pytest.fixture(scope="module")
def mask():
    """The left half of the image, with a soft edge of 4 pixels."""
    x = np.arange(BOX) - BOX // 2
    return np.tile(np.clip(0.5 - x / 4, 0, 1), (BOX, 1)).astype(np.float32)


def chimeras(clean, strength):
    """The views, but for the dark views of the other map where the mask is zero.

    Dark, so that turning them into the visible half gains nothing.
    """
    x = np.arange(BOX) - BOX // 2
    hidden = np.clip((x - 1) / 4, 0, 1)  # from x = 2 on, where the mask ends
    return (1 - hidden) * clean - strength * hidden * np.roll(clean, N_VIEWS + 1, axis=0)


@pytest.mark.parametrize("strength", [3.0, 6.0])
def test_a_half_plane_finds_what_it_leaves_to_see(maps, references, clean, mask, strength):
    """Of 40 views 32 to 37 are found; the others are outshone by stronger views."""
    images = chimeras(clean, strength)
    plain, masked = (match(maps, references, images, noise=0.1, mask=m) for m in (None, mask))
    truth = np.arange(2 * N_VIEWS)
    assert np.mean(plain.reference[:, 0] == truth) < 0.3
    assert np.mean(masked.reference[:, 0] == truth) > 0.7
    assert np.mean(as_seen(masked)) > 0.5


@pytest.mark.parametrize("exhaustive", [False, True])
def test_what_is_hidden_does_not_reach_the_score(maps, references, clean, exhaustive):
    """A disc hides the same of a view however it is turned."""
    hidden = np.clip((radius() - 6) / 2, 0, 1)  # from 6 pixels on, where the mask ends
    inverted = -hidden * clean
    # the mean of an image is not compared: without its own it would enter everywhere
    inverted -= hidden * inverted.sum(axis=(1, 2), keepdims=True) / hidden.sum()
    strange = clean + inverted
    change = {}
    for name, disc in (("plain", None), ("masked", soft_disc(4.0))):
        one, two = (
            match(maps, references, images, noise=0.1, mask=disc, exhaustive=exhaustive)
            for images in (clean, strange)
        )
        same = one.reference[:, 0] == two.reference[:, 0]
        change[name] = np.abs(two.score[same, 0] / one.score[same, 0] - 1)
        if disc is not None:
            np.testing.assert_array_equal(two.reference[:, 0], one.reference[:, 0])
    assert np.median(change["plain"]) > 0.05
    # what is left comes from ring 0, which is not compared, and from rings beyond the band
    assert change["masked"].max() < 0.01


def as_seen(found):
    """Whether each best match is the view itself, not turned."""
    turn = np.abs((found.alpha[:, 0] + 180) % 360 - 180)
    right = found.reference[:, 0] == np.arange(2 * N_VIEWS)
    return right & (turn < 5) & (found.mirror[:, 0] == 0)
