"""Parts of the least-squares solver: memory, convolution by blocks, Wiener terms and gaps."""

from __future__ import annotations

import numpy as np
import pytest

from mapsort.stages.reconstruct import insertion_grid, reconstruct
from mapsort.stages.reconstruct.insertion_grid import InsertionGrid
from mapsort.stages.reconstruct.normal_equations import NormalEquations, frequency_radii, on_shells
from mapsort.stages.reconstruct.reconstruct import (
    FLOOR,
    GAP,
    SOLVED_NOISE,
    _System,
    reconstruction_bytes,
    wiener_term,
)
from mapsort.stages.reconstruct.slice_sums import SliceSums, sorting_bytes, sums_bytes

GIB = 2**30


def test_memory_at_512_pixels():
    """What the documentation tells users: 14.8 GiB for one map, 23.1 GiB with two halves."""
    grid = InsertionGrid.for_box(512)
    assert reconstruction_bytes(grid) / GIB == pytest.approx(14.8, abs=0.06)
    assert reconstruction_bytes(grid, n_sums=2) / GIB == pytest.approx(23.1, abs=0.06)
    # triples of single precision on the half grid up to Nyquist, and a kernel's width around it
    half = grid.padded**3 / 2 * 12
    assert half <= sums_bytes(grid) <= 1.05 * half
    assert sorting_bytes() == 28 << 24
    assert sorting_bytes(1 << 30) == 28 << 24
    assert sorting_bytes(1000) == 28_000
    few = reconstruction_bytes(grid) - reconstruction_bytes(grid, n_samples=1000)
    assert few == (28 << 24) - 28_000


@pytest.mark.parametrize("n_sums", [1, 2, 3])
@pytest.mark.parametrize("box", [64, 200, 512])
def test_memory_is_that_of_the_worst_moment(box, n_sums):
    """Of turning accumulators into equations, first and last, and of solving."""
    grid, voxels = InsertionGrid.for_box(box), box**3
    equations = 22 * voxels
    moments = (
        n_sums * sums_bytes(grid) + 48 * voxels,
        sums_bytes(grid) + 48 * voxels + (n_sums - 1) * equations,
        (n_sums if n_sums == 1 else n_sums + 1) * equations + 72 * voxels,
    )
    expected = max(moments)
    assert reconstruction_bytes(grid, n_sums=n_sums, n_samples=0) == expected


@pytest.mark.parametrize(
    ("box", "pad", "least"),
    [(383, 0, 2.5 * 383), (384, 0, 2.2 * 384), (100, 301, 301), (20, 0, 50), (21, 0, 52.5)],
)
def test_the_grid_is_as_small_as_it_may_be(box, pad, least):
    """Even, and of a fast transform: such sizes lie within a twentieth of each other."""
    grid = InsertionGrid.for_box(box, pad)
    assert grid.padded % 2 == 0
    assert least <= grid.padded <= 1.05 * least + 2
    assert InsertionGrid.for_box(20).padded == 50


@pytest.mark.parametrize("elements", [1, 30_000, 1 << 23])
@pytest.mark.parametrize("box", [12, 13])
def test_blocks_of_rows_do_not_change_a_map(monkeypatch, elements, box):
    """Against the window put whole into an array of the padded size, and one transform of it."""
    grid, radius = InsertionGrid.for_box(box), float(box // 2)
    rng = np.random.default_rng(box)
    shape = (6, box, box // 2 + 1)
    slices = (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)).astype(np.complex64)
    weights = rng.uniform(0.5, 1.0, shape).astype(np.float32)
    sums = SliceSums.empty(grid, radius)
    turns = np.linalg.qr(rng.standard_normal((6, 3, 3)))[0]
    turns *= np.sign(np.linalg.det(turns))[:, None, None]
    sums.insert(slices, weights, turns, np.eye(3)[None])
    monkeypatch.setattr(insertion_grid, "_BLOCK_ELEMENTS", elements)
    volume = grid.volume(sums.numerator)
    spread = grid.point_spread(sums.density)
    for size, window, found in (
        (box, sums.numerator, volume),
        (2 * box, sums.density, spread),
    ):
        expected = whole_transform(grid, window, size)
        if size > box:
            # planes z = 0 to box from the centre; the last is that of -box
            expected = np.concatenate([expected[box:], expected[:1]])
            found, expected = found[:box], expected[:box]
        np.testing.assert_allclose(found, expected, atol=2e-5 * np.abs(expected).max())


def whole_transform(grid, window, size):
    """Every element and its mate in a full array; transformed, cropped and freed of the kernel."""
    padded = grid.padded
    full = np.zeros((padded,) * 3, np.complex128)
    planes, rows, columns = window.shape
    middle = planes // 2
    z, y, x = np.indices(window.shape)
    z, y, x = z - middle, y - rows // 2, x - (columns - 1 - middle)
    np.add.at(full, (z % padded, y % padded, x % padded), window)
    np.add.at(full, (-z % padded, -y % padded, -x % padded), np.conj(window))
    image = np.fft.fftshift(np.fft.ifftn(full)).real * padded**3
    first = padded // 2 - size // 2
    middle = slice(first, first + size)
    line = grid._kernel_line(size).astype(float)
    kernel = line[:, None, None] * line[:, None] * line
    return image[middle, middle, middle] / kernel


def equations_with(circulant, *, max_radius, transfer=None):
    box = len(circulant)
    if transfer is None:
        transfer = np.zeros((2 * box, 2 * box, box + 1), np.float32)
    return NormalEquations(
        np.zeros((box,) * 3, np.float32), transfer, circulant.astype(np.float32), max_radius
    )


def shells_of(box):
    k = np.fft.fftfreq(box, 1 / box)
    x = np.arange(box // 2 + 1)
    return np.sqrt(k[:, None, None] ** 2 + k[:, None] ** 2 + x**2)


@pytest.mark.parametrize(("size", "points"), [(8, 1), (9, 1), (16, 2)])
def test_a_curve_at_the_points_of_a_grid(size, points):
    curve = np.random.default_rng(4).random(6)
    expected = np.interp(shells_of(size) / points, np.arange(6), curve)
    np.testing.assert_allclose(on_shells(curve, size, points=points), expected, rtol=1e-6)


@pytest.mark.parametrize("box", [8, 9])
def test_density_of_shells(box):
    radius = shells_of(box)
    np.testing.assert_allclose(frequency_radii(box), radius, rtol=1e-6)
    rng = np.random.default_rng(2)
    circulant = rng.uniform(1, 2, radius.shape)
    found = equations_with(circulant, max_radius=4.0).shell_density()
    shell = np.rint(radius).astype(int)
    expected = [circulant[shell == s].mean() for s in range(box // 2 + 1)]
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_the_wiener_term_shell_by_shell():
    """The noise's share of the shell's density; beyond what is measured a constant."""
    box = 16
    shell = np.rint(shells_of(box)).astype(int)
    density = np.array([900.0, 500, 100, 50, 0.1, 20, 10, 0, 0])
    circulant = density[np.minimum(shell, 8)] * (shell <= 6)
    equations = equations_with(circulant, max_radius=6.0)
    ratio = np.array([0.5, 0.25, 1.0, 2.0, 4.0, 1e-9, 8.0, 5.0, 5.0])
    found = wiener_term(equations, ratio)
    # densities below a thousandth of the highest count as that, ratios have a floor
    expected = np.maximum(density, 0.9) * np.maximum(ratio, FLOOR)
    beyond = max(density[6], expected[6])
    np.testing.assert_allclose(found[:8], expected[:8], rtol=1e-6)
    np.testing.assert_allclose(found[8:], [beyond, beyond], rtol=1e-6)
    assert len(found) == box // 2 + 2
    # without knowledge of the noise: the floor everywhere
    plain = wiener_term(equations, None)
    np.testing.assert_allclose(plain[:8], FLOOR * np.maximum(density[:8], 0.9), rtol=1e-6)
    np.testing.assert_allclose(plain[8:], density[6], rtol=1e-6)
    # 1/snr of slices, on the scale of the box's transform
    more = wiener_term(equations, ratio, 0.01)
    np.testing.assert_allclose(more[:8] - found[:8], 0.01 * box**3, rtol=1e-5)


@pytest.mark.parametrize("n", [6, 7])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_points_between_are_means_of_their_neighbours(n, axis):
    """Of a full spectrum whose other half is its mate."""
    rng = np.random.default_rng(n)
    full = rng.standard_normal((n, n, n))
    grid = full[:, :, : n // 2 + 1].astype(np.float32)
    found = reconstruct._between_points(grid, n, axis)
    fine = np.arange(n + 1) if axis == 2 else np.rint(np.fft.fftfreq(2 * n, 0.5 / n)).astype(int)
    assert found.shape[axis] == len(fine)
    for place, k in enumerate(fine):
        # the last axis ends at n // 2, and keeps the value there
        ends = [k // 2, -(-k // 2)]
        ends = [min(e, n // 2) for e in ends] if axis == 2 else [e % n for e in ends]
        expected = 0.5 * (np.take(grid, ends[0], axis) + np.take(grid, ends[1], axis))
        np.testing.assert_allclose(np.take(found, place, axis), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("width", [1, 3, 100])
@pytest.mark.parametrize("box", [8, 9])
def test_the_convolution_is_the_same_in_blocks_of_columns(monkeypatch, box, width):
    rng = np.random.default_rng(box)
    kernel = rng.standard_normal((2 * box,) * 3)
    transfer = np.fft.rfftn(kernel + kernel[::-1, ::-1, ::-1]).real.astype(np.float32)
    volume = rng.standard_normal((box,) * 3).astype(np.float32)
    monkeypatch.setattr(reconstruct, "_COLUMN_ELEMENTS", width * (2 * box) ** 2)
    calls = []
    fft = reconstruct.scipy.fft.ifft
    monkeypatch.setattr(
        reconstruct.scipy.fft, "ifft", lambda *a, **k: calls.append(a[0].shape[2]) or fft(*a, **k)
    )
    found = _System(transfer, transfer[:box, :box], 1).apply(volume)
    spectrum = np.fft.rfftn(volume, s=(2 * box,) * 3, axes=(0, 1, 2)) * transfer
    expected = np.fft.irfftn(spectrum, s=(2 * box,) * 3, axes=(0, 1, 2))[:box, :box, :box]
    if box % 2 == 0:
        # planes that have no mate beyond the centre hold nothing
        expected[0] = expected[:, 0] = expected[:, :, 0] = 0
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())
    assert max(calls) == min(width, box + 1)


def test_gaps_are_what_the_density_lacks_of_its_shells_share():
    box = 16
    radius = shells_of(box)
    circulant = np.where(np.rint(radius) <= 6, 10.0, 0.0)
    circulant[0, 0, 3] = -1.0  # rounding makes such; it is nothing
    circulant[0, 0, 5] = 1.0
    equations = equations_with(circulant, max_radius=6.0)
    gaps = reconstruct._gaps(equations)
    mean = equations.shell_density()
    assert gaps[0, 0, 3] == pytest.approx(GAP * mean[3], rel=1e-5)
    assert gaps[0, 0, 5] == pytest.approx(GAP * mean[5] - 1.0, rel=1e-5)
    assert gaps[0, 0, 4] == gaps[0, 4, 0] == 0
    assert not gaps[radius > 6].any()


def test_shells_of_noise_are_damped_by_the_rest():
    """What exceeds ten is not part of the solution: (1 + 10) / (1 + ratio) remains to be done."""
    box = 16
    ratio = np.full(9, 5.0)
    volume = np.random.default_rng(3).standard_normal((box,) * 3).astype(np.float32)
    assert reconstruct._rest_of_noise(volume, ratio) is volume
    ratio[4:] = 4 * SOLVED_NOISE
    damped = np.fft.rfftn(reconstruct._rest_of_noise(volume, ratio))
    factor = (damped / np.fft.rfftn(volume)).real
    assert factor[0, 0, 2] == pytest.approx(1.0, rel=1e-4)
    assert factor[0, 0, 6] == pytest.approx(11 / 41, rel=1e-4)
