"""Central slices: against finufft, the phantom's closed form, and what symmetry demands."""

from __future__ import annotations

import numpy as np
import pytest

from mapsort import _core
from mapsort.errors import ConfigError
from mapsort.physics.fourier_projection import (
    ROUNDING,
    FourierProjector,
    Interpolation,
    interpolation_error,
    transform_window,
)
from mapsort.physics.phantom import phantom_map, phantom_slice
from mapsort.stages.fourier_grid import FourierGrid
from mapsort.stages.project import project_slices


def relative(found, expected):
    return np.linalg.norm(found - expected) / np.linalg.norm(expected)


def polar_slices(volume, rotations, n_rings, n_angles):
    grid = FourierGrid.for_box(len(volume))
    window = grid.volume_window(volume, max_radius=n_rings)
    return _core.project_polar(
        _core.Window(window, scale=grid.scale, oversampling=grid.scale),
        rotations=rotations,
        first_ring=1,
        n_rings=n_rings,
        n_angles=n_angles,
    )


TOLERANCES = [1e-2, 1e-3, 1e-4, 1e-5, 1e-6]


@pytest.mark.parametrize("tolerance", TOLERANCES)
@pytest.mark.parametrize("box", [32, 33])
def test_white_noise_against_finufft(box, tolerance, oracle):
    """The stated tolerance holds for the hardest map: noise that fills the box to its corners."""
    volume = np.random.default_rng(box).standard_normal((box,) * 3).astype(np.float32)
    rotations = oracle.random_rotations(4, seed=1)
    kx, ky = oracle.plane_frequencies(box)
    expected = oracle.volume_slices(volume, rotations, kx, ky)
    inside = np.hypot(kx, ky) <= (box - 1) // 2
    found = project_slices(volume, rotations, tolerance=tolerance)
    assert found.shape == (4, box, box // 2 + 1)
    assert relative(found[:, inside], expected[:, inside]) <= tolerance


@pytest.mark.parametrize("tolerance", TOLERANCES)
@pytest.mark.parametrize("box", [20, 21])
def test_white_noise_on_the_polar_grid_against_finufft(box, tolerance, oracle):
    volume = np.random.default_rng(box).standard_normal((box,) * 3).astype(np.float32)
    rotations = oracle.random_rotations(4, seed=2)
    n_rings, n_angles = int(0.45 * box), 48
    k = np.arange(1, n_rings + 1)[:, None]
    angle = 2 * np.pi * np.arange(n_angles // 2) / n_angles
    expected = oracle.volume_slices(volume, rotations, k * np.cos(angle), k * np.sin(angle))
    projector = FourierProjector.plan(volume, tolerance=tolerance, max_radius=n_rings)
    found = _core.project_polar(
        projector.for_kernels, rotations=rotations, first_ring=1, n_rings=n_rings, n_angles=n_angles
    )
    assert relative(found, expected) <= tolerance


@pytest.mark.parametrize("width", [4, 5, 6, 7, 8])
@pytest.mark.parametrize("oversampling", [1.25, 1.5, 2.0])
def test_the_error_is_what_the_formula_says(width, oversampling, oracle):
    """Every width and padding, measured: rounding and the sample of noise leave 15 %."""
    box = 32
    volume = np.random.default_rng(width).standard_normal((box,) * 3).astype(np.float32)
    rotations = oracle.random_rotations(6, seed=width)
    interpolation = Interpolation(width, round(oversampling * box))
    window = transform_window(volume, interpolation, max_radius=15.0)
    found = FourierProjector(window, box, interpolation, 15.0).cartesian(rotations)
    kx, ky = oracle.plane_frequencies(box)
    inside = np.hypot(kx, ky) <= 15.0
    error = relative(found, oracle.volume_slices(volume, rotations, kx, ky) * inside)
    assert error == pytest.approx(interpolation_error(width, oversampling), rel=0.15, abs=ROUNDING)


@pytest.mark.parametrize("tolerance", [0.0, 9e-7, 0.011, -1.0, np.nan])
def test_a_tolerance_that_cannot_be_kept_is_refused(tolerance):
    with pytest.raises(ConfigError, match=r"tolerance=.*takes 1e-06 to 0.01"):
        FourierProjector.plan(np.ones((16,) * 3, np.float32), tolerance=tolerance)


def test_many_slices_are_each_what_they_are_alone(oracle):
    """Slices are read in the order of the map's bricks: none may depend on its company."""
    volume = np.random.default_rng(12).standard_normal((24,) * 3).astype(np.float32)
    rotations = oracle.random_rotations(300, seed=12)
    projector = FourierProjector.plan(volume)
    together = projector.cartesian(rotations)
    alone = np.concatenate([projector.cartesian(one[None]) for one in rotations])
    assert together.tobytes() == alone.tobytes()


@pytest.mark.parametrize(("pad", "bound"), [(26, 6e-4), (32, 1e-4), (40, 3e-5), (60, 1e-5)])
def test_padding_buys_accuracy(pad, bound, oracle):
    """The bound that each padding of a box of 20 keeps: the one that users choose with --pad."""
    box, grid = 20, FourierGrid.for_box(20, pad)
    volume = np.random.default_rng(3).standard_normal((box,) * 3).astype(np.float32)
    rotations = oracle.random_rotations(3, seed=3)
    kx, ky = oracle.plane_frequencies(box)
    inside = np.hypot(kx, ky) <= 0.45 * box
    window = grid.volume_window(volume, max_radius=9.0)
    found = _core.project_cartesian(
        _core.Window(window, scale=grid.scale, oversampling=grid.scale),
        rotations=rotations,
        max_radius=9.0,
        box=box,
    )
    expected = oracle.volume_slices(volume, rotations, kx, ky)
    assert relative(found[:, inside], expected[:, inside]) <= bound


@pytest.mark.parametrize(("box", "apix"), [(48, 3.0), (49, 3.0)])
def test_the_phantom_against_its_closed_form(box, apix, oracle):
    rotations = oracle.random_rotations(5, seed=4)
    found = project_slices(phantom_map(0, box, apix), rotations, tolerance=1e-5)
    expected = phantom_slice(0, box, apix, rotations)
    kx, ky = oracle.plane_frequencies(box)
    inside = np.hypot(kx, ky) <= 0.45 * box
    assert relative(found[:, inside], expected[:, inside]) <= 1e-4


@pytest.mark.parametrize("box", [16, 17])
def test_a_delta_at_the_centre_is_one_everywhere(box, oracle):
    volume = np.zeros((box,) * 3, np.float32)
    volume[box // 2, box // 2, box // 2] = 1.0
    kx, ky = oracle.plane_frequencies(box)
    inside = np.hypot(kx, ky) <= (box - 1) // 2
    found = project_slices(volume, oracle.random_rotations(3, seed=5), tolerance=1e-5)
    np.testing.assert_allclose(found[:, inside], 1.0, atol=2e-5)


@pytest.mark.parametrize("box", [16, 17])
def test_outside_the_radius_and_at_nyquist_slices_are_zero(box, oracle):
    volume = np.random.default_rng(6).standard_normal((box,) * 3).astype(np.float32)
    rotations = oracle.random_rotations(2, seed=6)
    kx, ky = oracle.plane_frequencies(box)
    full = project_slices(volume, rotations, tolerance=1e-5)
    small = project_slices(volume, rotations, tolerance=1e-5, max_radius=5)
    inside = np.hypot(kx, ky) <= 5
    np.testing.assert_array_equal(small[:, ~inside], 0)
    np.testing.assert_allclose(small[:, inside], full[:, inside], rtol=1e-4, atol=1e-4)
    if box % 2 == 0:
        np.testing.assert_array_equal(full[:, box // 2, :], 0)
        np.testing.assert_array_equal(full[:, :, box // 2], 0)


@pytest.mark.parametrize("box", [16, 17])
def test_friedel_mates_agree(box, oracle):
    volume = np.random.default_rng(7).standard_normal((box,) * 3).astype(np.float32)
    rotations = oracle.random_rotations(3, seed=7)
    slices = project_slices(volume, rotations, tolerance=1e-5)
    column = slices[:, 1:, 0]  # ky and -ky at kx = 0
    np.testing.assert_allclose(column, np.conj(column[:, ::-1]), atol=2e-3)
    # turned by 180 degrees in the plane, every frequency is read at its mate
    turned = polar_slices(volume, np.diag([-1.0, -1.0, 1.0]) @ rotations, 6, 24)
    np.testing.assert_allclose(turned, np.conj(polar_slices(volume, rotations, 6, 24)), atol=2e-3)


def test_the_zero_frequency_is_the_sum(oracle):
    volume = np.random.default_rng(8).standard_normal((15,) * 3).astype(np.float32)
    slices = project_slices(volume, oracle.random_rotations(3, seed=8), tolerance=1e-5)
    np.testing.assert_allclose(slices[:, 0, 0], volume.sum(), atol=2e-3)


@pytest.mark.parametrize("n_threads", [2, 7])
def test_threads_do_not_change_a_bit(n_threads, oracle):
    volume = np.random.default_rng(9).standard_normal((16,) * 3).astype(np.float32)
    rotations = oracle.random_rotations(11, seed=9)
    grid = FourierGrid.for_box(16)
    window = grid.volume_window(volume, max_radius=8.0)
    readable = _core.Window(window, scale=grid.scale, oversampling=grid.scale)

    def both(threads):
        shared = {"rotations": rotations, "n_threads": threads}
        return (
            _core.project_cartesian(readable, max_radius=8.0, box=16, **shared),
            _core.project_polar(readable, first_ring=1, n_rings=7, n_angles=24, **shared),
        )

    for one, many in zip(both(1), both(n_threads), strict=True):
        assert one.tobytes() == many.tobytes()
