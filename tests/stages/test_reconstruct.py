"""Reconstruction from slices: the map comes back, with its amplitudes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from mapsort.geometry.symmetry import symmetry
from mapsort.physics.ctf import ContrastTransfer, ctf_images
from mapsort.physics.fsc import fsc
from mapsort.physics.masks import soft_sphere
from mapsort.physics.phantom import phantom_map, phantom_slice
from mapsort.stages.fourier_grid import centred_images, centred_transform
from mapsort.stages.project import project_slices
from mapsort.stages.reconstruct.insertion_grid import InsertionGrid
from mapsort.stages.reconstruct.normal_equations import NormalEquations
from mapsort.stages.reconstruct.reconstruct import _System, reconstruction_bytes, solve
from mapsort.stages.reconstruct.slice_sums import SliceSums

IDENTITY = np.eye(3)[None]


def random_rotations(n, seed):
    return np.ascontiguousarray(Rotation.random(n, rng=np.random.default_rng(seed)).as_matrix())


def reconstruct(slices, rotations, *, ops=IDENTITY, weights=None, pad=0, noise_to_signal=None):
    box = slices.shape[1]
    weights = np.ones(slices.shape, np.float32) if weights is None else weights
    sums = SliceSums.empty(InsertionGrid.for_box(box, pad), float(box // 2))
    sums.insert(slices, weights, rotations, ops)
    return solve(NormalEquations.of(sums), noise_to_signal=noise_to_signal)


def agreement(volume, truth):
    """FSC and least-squares scale of each shell up to 0.45 cycles per pixel."""
    box = len(truth)
    found, expected = np.fft.rfftn(volume), np.fft.rfftn(truth)
    k = np.fft.fftfreq(box, 1 / box)
    radius = np.sqrt(k[:, None, None] ** 2 + k[:, None] ** 2 + np.arange(box // 2 + 1.0) ** 2)
    shell = np.rint(radius).astype(int).ravel()
    product = np.bincount(shell, (found * np.conj(expected)).real.ravel())
    scale = product / np.bincount(shell, np.abs(expected).ravel() ** 2)
    last = int(0.45 * box) + 1
    return fsc(volume, truth)[:last], scale[:last]


def symmetric_blobs(box, name, seed):
    """Gaussian blobs at random places and all their equivalents.

    Wide enough that what is sampled has the symmetry: of 0.56 cycles per pixel, which folds to
    0.44, they hold 1.5 % of the amplitude at 0.44.
    """
    rng = np.random.default_rng(seed)
    ops = symmetry(name).matrices
    axis = np.arange(box) - box // 2
    volume = np.zeros((box,) * 3)
    for centre in rng.uniform(-0.18, 0.18, (12, 3)) * box:
        for x, y, z in ops @ centre:
            gx, gy, gz = (np.exp(-((axis - c) ** 2) / (2 * 1.3**2)) for c in (x, y, z))
            volume += gz[:, None, None] * gy[:, None] * gx
    return volume.astype(np.float32)


@pytest.mark.parametrize("name", ["c1", "d7", "oct", "icos"])
def test_noise_free_slices_give_the_map_back_whatever_its_symmetry(name):
    """FSC 0.999 to 0.45 cycles per pixel, amplitudes to 1 %, not masked.

    Symmetric maps from slices that stand for at least 2,000 views.
    """
    box, ops = 32, symmetry(name).matrices
    truth = symmetric_blobs(box, name, seed=11)
    rotations = random_rotations(max(400, 2000 // len(ops)), seed=12)
    volume = reconstruct(project_slices(truth, rotations), rotations, ops=ops)
    curve, scale = agreement(volume, truth)
    assert curve[:-1].min() >= 0.999
    assert curve[-1] >= 0.998  # two shells below the edge of what is measured
    np.testing.assert_allclose(scale, 1.0, atol=0.01)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["c1", "d7", "oct", "icos"])
def test_5000_slices_give_the_map_back_at_64_pixels(name):
    """FSC 0.999 to 0.45 cycles per pixel, amplitudes to 1 %, not masked."""
    box, ops = 64, symmetry(name).matrices
    truth = symmetric_blobs(box, name, seed=21)
    rotations = random_rotations(5000, seed=22)
    volume = reconstruct(project_slices(truth, rotations), rotations, ops=ops)
    curve, scale = agreement(volume, truth)
    assert curve.min() >= 0.999
    np.testing.assert_allclose(scale, 1.0, atol=0.01)


def test_the_normal_equations_are_projection_and_its_adjoint():
    """T v by two FFTs against slicing v and spreading the weighted slices again."""
    box, n = 20, 30
    rng = np.random.default_rng(13)
    rotations = random_rotations(n, seed=13)
    volume = rng.standard_normal((box,) * 3).astype(np.float32)
    weights = rng.uniform(0.2, 1.0, (n, box, box // 2 + 1)).astype(np.float32)
    # on the column kx = 0 weights of mates are the same
    weights[:, :, 0] = 0.5 * (weights[:, :, 0] + weights[:, -np.arange(box) % box, 0])
    grid, radius = InsertionGrid.for_box(box), float(box // 2 - 1)
    slices = project_slices(volume, rotations, max_radius=radius, tolerance=1e-5)
    sums = SliceSums.empty(grid, radius)
    sums.insert((weights * slices).astype(np.complex64), weights, rotations, IDENTITY)
    equations = NormalEquations.of(sums)
    padded = np.fft.rfftn(volume, s=(2 * box,) * 3, axes=(0, 1, 2)) * equations.transfer
    product = np.fft.irfftn(padded, s=(2 * box,) * 3, axes=(0, 1, 2))[:box, :box, :box]
    # of noise that fills the box: 4e-4 for the slices, and as much for the equations
    error = np.linalg.norm(product - equations.right) / np.linalg.norm(product)
    assert error <= 1e-3


def test_the_preconditioner_is_the_nearest_circulant_matrix():
    """The mean of the Toeplitz matrix along each wrapped diagonal, in one dimension of three."""
    box = 12
    rotations = random_rotations(20, seed=14)
    sums = SliceSums.empty(InsertionGrid.for_box(box), 5.0)
    ones = np.ones((20, box, box // 2 + 1), np.float32)
    sums.insert(ones.astype(np.complex64), ones, rotations, IDENTITY)
    equations = NormalEquations.of(sums)
    spread = np.fft.irfftn(equations.transfer, s=(2 * box,) * 3, axes=(0, 1, 2))
    kernel = np.fft.irfftn(equations.circulant, s=(box,) * 3, axes=(0, 1, 2))
    j = np.arange(box)
    for shift in [(0, 0, 0), (1, 0, 0), (5, 3, 0), (7, 11, 2)]:
        # all pairs of pixels whose distance is the shift modulo the box
        distance = [((j + s) % box) - j for s in shift]
        mean = spread[np.ix_(*distance)].mean()
        assert kernel[shift] == pytest.approx(mean, abs=1e-4 * float(kernel.max()))


def test_a_good_start_leads_to_the_same_map():
    rotations = random_rotations(300, seed=15)
    slices = phantom_slice(0, 32, 4.0, rotations)
    sums = SliceSums.empty(InsertionGrid.for_box(32), 16.0)
    sums.insert(slices, np.ones(slices.shape, np.float32), rotations, IDENTITY)
    equations = NormalEquations.of(sums)
    cold = solve(equations, tolerance=1e-5)
    warm = solve(equations, start=(1.2 * cold).astype(np.float32), tolerance=1e-5)
    np.testing.assert_allclose(warm, cold, atol=1e-3 * cold.max())


def test_equations_of_halves_add_up():
    rotations = random_rotations(40, seed=16)
    slices = phantom_slice(0, 24, 6.0, rotations)
    ones = np.ones(slices.shape, np.float32)

    def equations(part):
        sums = SliceSums.empty(InsertionGrid.for_box(24), 12.0)
        sums.insert(slices[part], ones[part], rotations[part], IDENTITY)
        return NormalEquations.of(sums)

    added = equations(slice(0, 20)) + equations(slice(20, 40))
    whole = equations(slice(0, 40))
    for name in ("right", "transfer", "circulant"):
        expected = getattr(whole, name)
        np.testing.assert_allclose(
            getattr(added, name), expected, atol=1e-5 * np.abs(expected).max()
        )


@pytest.mark.parametrize("n_threads", [2, 3])
def test_threads_do_not_change_a_bit(n_threads):
    rotations = random_rotations(50, seed=17)
    slices = phantom_slice(0, 24, 6.0, rotations)
    volumes = []
    for threads in (1, n_threads):
        sums = SliceSums.empty(InsertionGrid.for_box(24), 12.0)
        sums.insert(
            slices, np.ones(slices.shape, np.float32), rotations, IDENTITY, n_threads=threads
        )
        volumes.append(solve(NormalEquations.of(sums, n_threads=threads), n_threads=threads))
    assert volumes[0].tobytes() == volumes[1].tobytes()


@pytest.mark.parametrize(("box", "apix"), [(32, 4.0), (33, 4.0)])
def test_noise_free_slices_give_the_map_back(box, apix):
    truth, rotations = phantom_map(0, box, apix), random_rotations(2000, seed=box)
    volume = reconstruct(phantom_slice(0, box, apix, rotations), rotations)
    curve, scale = agreement(volume, truth)
    assert volume.dtype == np.float32
    assert curve.min() >= 0.999
    np.testing.assert_allclose(scale, 1.0, atol=0.01)
    assert np.linalg.norm(volume - truth) <= 0.01 * np.linalg.norm(truth)


def test_white_noise_comes_back_without_a_frequency_it_cannot_hold():
    """Not only smooth maps: a map with power in every shell, within the sphere that it fits."""
    box = 32
    axis = np.arange(box) - box // 2
    radius = np.sqrt(axis[:, None, None] ** 2 + axis[:, None] ** 2 + axis**2.0)
    noise = np.random.default_rng(1).standard_normal((box,) * 3)
    truth = (noise / (1 + np.exp(2 * (radius - 10)))).astype(np.float32)
    rotations = random_rotations(2000, seed=2)
    volume = reconstruct(project_slices(truth, rotations), rotations)
    curve, scale = agreement(volume, truth)
    assert curve.min() >= 0.99
    np.testing.assert_allclose(scale[1:], 1.0, atol=0.02)


@pytest.mark.parametrize("pad", [40, 80, 96])
def test_any_padding_is_good(pad):
    """Never less than 2.5 times the box is used."""
    truth, rotations = phantom_map(0, 32, 4.0), random_rotations(2000, seed=3)
    volume = reconstruct(phantom_slice(0, 32, 4.0, rotations), rotations, pad=pad)
    curve, scale = agreement(volume, truth)
    assert curve.min() >= 0.999
    np.testing.assert_allclose(scale, 1.0, atol=0.01)


def test_symmetry_makes_few_slices_enough():
    """d7: 150 slices stand for 2,100."""
    box, apix, ops = 32, 4.0, symmetry("d7").matrices
    rotations = random_rotations(300, seed=4)
    truth = reconstruct(phantom_slice(0, box, apix, rotations), rotations, ops=ops)
    truth *= soft_sphere(box, 0.34 * box, 0.1 * box)
    few = random_rotations(150, seed=5)
    slices = project_slices(truth, few)
    curve, scale = agreement(reconstruct(slices, few, ops=ops), truth)
    assert curve[:-1].min() >= 0.99
    np.testing.assert_allclose(scale[:-1], 1.0, atol=0.02)
    alone, _ = agreement(reconstruct(slices, few), truth)
    assert np.all(alone[9:] < curve[9:])


def test_slices_of_several_defoci_give_the_map_back():
    """Sums of C X and C^2: zeros of one defocus are filled by another."""
    box, apix, n = 32, 4.0, 2000
    truth, rotations = phantom_map(0, box, apix), random_rotations(n, seed=6)
    defocus = np.linspace(8000.0, 24000.0, n)
    ctf = ContrastTransfer(
        defocus_u_ang=defocus + 400,
        defocus_v_ang=defocus - 400,
        defocus_angle_deg=np.linspace(0, 180, n),
        phase_shift_deg=np.zeros(1),
        voltage_kv=np.array([300.0]),
        cs_mm=np.array([2.7]),
        amplitude_contrast=np.array([0.1]),
        bfactor_ang2=np.zeros(1),
    )
    transfer = ctf_images(ctf, box, apix)
    # numerator C X = C (C P), density C^2
    slices = (phantom_slice(0, box, apix, rotations) * transfer**2).astype(np.complex64)
    curve, scale = agreement(reconstruct(slices, rotations, weights=transfer**2), truth)
    assert curve.min() >= 0.999
    np.testing.assert_allclose(scale, 1.0, atol=0.01)


def test_the_scale_of_the_weights_does_not_matter():
    rotations = random_rotations(300, seed=7)
    slices = phantom_slice(0, 32, 4.0, rotations)
    weights = np.ones(slices.shape, np.float32)
    one = reconstruct(slices, rotations, weights=weights)
    ten = reconstruct(10 * slices, rotations, weights=10 * weights)
    np.testing.assert_allclose(ten, one, atol=1e-4 * one.max())


def test_the_wiener_term_damps_by_its_share():
    """With 1/SSNR = 1 in every shell each frequency is halved, roughly: D / (D + mean D)."""
    rotations = random_rotations(2000, seed=8)
    slices = phantom_slice(0, 32, 4.0, rotations)
    plain = reconstruct(slices, rotations)
    damped = reconstruct(slices, rotations, noise_to_signal=np.ones(17))
    np.testing.assert_allclose(agreement(damped, plain)[1][3:], 0.5, atol=0.05)
    stronger = reconstruct(slices, rotations, noise_to_signal=np.full(17, 3.0))
    np.testing.assert_allclose(agreement(stronger, plain)[1][3:], 0.25, atol=0.05)


def test_shells_without_signal_neither_stay_nor_slow_the_solution(monkeypatch):
    """1/SSNR leaps by six orders of magnitude from one shell to the next, as it does in runs."""
    rotations = random_rotations(300, seed=9)
    slices = phantom_slice(0, 32, 4.0, rotations)
    ratio = np.where(np.arange(17) < 9, 0.01, 1e4)
    plain = reconstruct(slices, rotations)
    steps = []
    apply = _System.apply
    monkeypatch.setattr(_System, "apply", lambda self, v: steps.append(1) or apply(self, v))
    volume = reconstruct(slices, rotations, noise_to_signal=ratio)
    assert len(steps) <= 12
    curve, scale = agreement(volume, plain)
    assert curve[:8].min() >= 0.99
    np.testing.assert_allclose(scale[1:8], 1.0, atol=0.03)
    assert np.abs(scale[10:]).max() < 0.01


def test_no_slices_give_an_empty_map():
    sums = SliceSums.empty(InsertionGrid.for_box(16), 8.0)
    volume = solve(NormalEquations.of(sums))
    assert volume.shape == (16, 16, 16)
    np.testing.assert_array_equal(volume, 0)


@pytest.mark.parametrize("box", [16, 17])
def test_images_and_their_transforms_are_inverse(box):
    images = np.random.default_rng(9).standard_normal((3, box, box)).astype(np.float32)
    np.testing.assert_allclose(centred_images(centred_transform(images), box), images, atol=1e-5)


@pytest.mark.parametrize(
    ("box", "pad"), [(16, 0), (17, 0), (20, 21), (21, 60), (15, 47), (32, 100)]
)
def test_padding_is_even_and_enough(box, pad):
    grid = InsertionGrid.for_box(box, pad)
    assert grid.padded % 2 == 0
    assert grid.padded >= 2.5 * box
    assert grid.padded >= pad
    assert grid.scale == grid.padded / box


@pytest.mark.parametrize("n_sums", [1, 2])
def test_a_box_of_512_fits_into_24_gib(n_sums):
    grid = InsertionGrid.for_box(512)
    assert grid.padded == pytest.approx(2.2 * 512, rel=0.03)
    assert reconstruction_bytes(grid, n_sums=n_sums) <= 24 * 2**30


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="Linux tells it there")
def test_memory_stays_within_the_formula(tmp_path):
    """The highest resident memory of a process of its own, above that with its libraries loaded.

    Not ru_maxrss: a process inherits that of the one that started it.
    """
    script = tmp_path / "peak.py"
    script.write_text(
        "import re, numpy as np\n"
        "from mapsort.stages.reconstruct.insertion_grid import InsertionGrid\n"
        "from mapsort.stages.reconstruct.normal_equations import NormalEquations\n"
        "from mapsort.stages.reconstruct.reconstruct import reconstruction_bytes, solve\n"
        "from mapsort.stages.reconstruct.slice_sums import SliceSums\n"
        "status = lambda: open('/proc/self/status').read()\n"
        "peak = lambda: 1024 * int(re.search(r'VmHWM:\\s+(\\d+)', status())[1])\n"
        "grid, before = InsertionGrid.for_box(128), peak()\n"
        "ones = np.ones((4, 128, 65), np.float32)\n"
        "sums = SliceSums.empty(grid, 64.0)\n"
        "turn = np.eye(3)[None]\n"
        "sums.insert(ones.astype(np.complex64), ones, np.repeat(turn, 4, axis=0), turn)\n"
        "equations = NormalEquations.of(sums)\n"
        "del sums\n"
        "solve(equations, max_steps=2)\n"
        "print(peak() - before, reconstruction_bytes(grid))\n"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True)
    used, bound = map(int, done.stdout.split())
    assert 0.25 * bound <= used <= bound
