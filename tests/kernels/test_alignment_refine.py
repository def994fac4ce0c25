"""Newton refinement of poses, against finite differences of f by direct sums."""

from __future__ import annotations

import numpy as np
import pytest

from mapsort import _core
from mapsort.stages.fourier_grid import FourierGrid

BOX, N_RINGS, N_ANGLES = 17, 6, 60
CTF = np.array(
    [
        [1200.0, 300.0, 0.6, -2e4, 0.1, 0.0, 0.0],
        [900.0, 0.0, 0.0, -2e4, 0.2, 60.0, 0.0],
        [1500.0, 250.0, -1.1, 0.0, 0.1, 0.0, 1.0],
        [0.0, 0.0, 0.0, 0.0, np.pi / 2, 0.0, 0.0],
    ],
    np.float32,
)


@pytest.fixture(scope="module")
def case(oracle):
    return oracle.AlignmentCase(
        volume=oracle.band_limited_noise(BOX, 1, ndim=3),
        rotations=oracle.random_rotations(5, seed=1),
        images=np.stack([oracle.band_limited_noise(BOX, s, ndim=2) for s in range(2, 6)]),
        ctf=CTF,
        ring_weight=np.random.default_rng(1).uniform(0.5, 2.0, N_RINGS).astype(np.float32),
        n_angles=N_ANGLES,
        apix=3.0,
    )


@pytest.fixture(scope="module")
def bank(case):
    grid = FourierGrid.for_box(BOX)
    bank = _core.ReferenceBank(
        first_ring=1, n_rings=N_RINGS, n_angles=N_ANGLES, box=BOX, support_radius=BOX / 2
    )
    window = grid.volume_window(case.volume, max_radius=N_RINGS)
    readable = _core.Window(window, scale=grid.scale, oversampling=grid.scale)
    bank.add(readable, rotations=case.rotations)
    return bank


@pytest.fixture(scope="module")
def batch(case):
    grid = FourierGrid.for_box(BOX)
    return _core.ParticleBatch(
        grid.image_spectra(case.images),
        case.ctf,
        scale=grid.scale,
        oversampling=grid.scale,
        apix=case.apix,
    )


@pytest.fixture(scope="module")
def alignment(case, bank):
    return _core.Alignment(bank, case.ring_weight)


@pytest.fixture(scope="module")
def start(alignment, batch):
    """Best poses of all pairs on a coarse lattice of shifts: where the pipeline starts, too."""
    line = np.array([-1.0, 0.0, 1.0])
    y, x = np.meshgrid(line, line, indexing="ij")
    origins = np.stack([x.ravel(), y.ravel()], axis=-1).astype(np.float32)
    cross, norm, code = alignment.search_pairs(batch, origins)
    shift, angle, mirror = np.unravel_index(code, (len(origins), N_ANGLES, 2))
    return {
        "reference": np.tile(np.arange(5, dtype=np.int32), (4, 1)),
        "origin": origins[shift],
        "alpha": (2 * np.pi * angle / N_ANGLES).astype(np.float32),
        "mirror": mirror.astype(np.int32),
        "cross": cross,
        "norm": norm,
    }


def refined(alignment, batch, start, *, iterations=20, max_origin=5.0, n_threads=1):
    arrays = {name: values.copy() for name, values in start.items()}
    alignment.refine_candidates(
        batch,
        _core.Candidates(**arrays),
        iterations=iterations,
        max_origin=max_origin,
        n_threads=n_threads,
    )
    return arrays


def poses(arrays):
    for i, c in np.ndindex(arrays["reference"].shape):
        yield (
            i,
            c,
            arrays["reference"][i, c],
            float(arrays["alpha"][i, c]),
            bool(arrays["mirror"][i, c]),
            arrays["origin"][i, c].astype(float),
        )


def test_without_iterations_f_is_evaluated_where_it_stands(alignment, batch, start, case):
    out = refined(alignment, batch, start, iterations=0)
    np.testing.assert_array_equal(out["origin"], start["origin"])
    np.testing.assert_allclose(out["cross"], start["cross"], rtol=1e-5)
    np.testing.assert_allclose(out["norm"], start["norm"], rtol=1e-6)
    off_grid = {name: values.copy() for name, values in start.items()}
    off_grid["alpha"] += 0.037
    off_grid["origin"] += np.float32([0.31, -0.22])
    out = refined(alignment, batch, off_grid, iterations=0)
    for i, c, reference, alpha, mirror, origin in poses(off_grid):
        direct = case.cross(i, reference, alpha, mirror, origin)
        assert out["cross"][i, c] == pytest.approx(direct, rel=2e-4)


def test_f_never_decreases(alignment, batch, start):
    before = start["cross"]
    for iterations in range(1, 7):
        after = refined(alignment, batch, start, iterations=iterations)["cross"]
        assert np.all(after >= before * (1 - 1e-6))
        before = after


def test_nor_from_a_bad_start(alignment, batch, start):
    """Far from any maximum, where the surface is not concave."""
    rng = np.random.default_rng(2)
    bad = {name: values.copy() for name, values in start.items()}
    bad["alpha"] = rng.uniform(-4, 4, bad["alpha"].shape).astype(np.float32)
    bad["origin"] = rng.uniform(-3, 3, bad["origin"].shape).astype(np.float32)
    before = refined(alignment, batch, bad, iterations=0)["cross"]
    after = refined(alignment, batch, bad)["cross"]
    assert np.all(after >= before)
    assert np.mean(after > before) > 0.9


def test_the_result_is_a_maximum_of_the_direct_sum(alignment, batch, start, case):
    out = refined(alignment, batch, start)
    steps = np.diag([0.01, 0.05, 0.05])  # radians, pixels, pixels
    for i, c, reference, alpha, mirror, origin in poses(out):

        def f(move, i=i, reference=reference, alpha=alpha, mirror=mirror, origin=origin):
            return case.cross(i, reference, alpha + move[0], mirror, origin + move[1:])

        here = f(np.zeros(3))
        assert out["cross"][i, c] == pytest.approx(here, rel=2e-4)
        for step in steps:
            ahead, behind = f(step), f(-step)
            # the vertex of the parabola through the three: how far the maximum is, in steps
            away = 0.5 * (ahead - behind) / (2 * here - ahead - behind)
            assert 2 * here - ahead - behind > 0
            assert abs(away) < 0.2  # 0.1 degrees, 0.01 pixels


def test_poses_stay_within_the_limit(alignment, batch, start):
    out = refined(alignment, batch, start, max_origin=1.05)
    assert np.all(np.abs(out["origin"]) <= np.float32(1.05))
    assert np.all(out["cross"] >= start["cross"] * (1 - 1e-6))


def test_mirror_and_reference_are_not_touched(alignment, batch, start):
    out = refined(alignment, batch, start)
    np.testing.assert_array_equal(out["mirror"], start["mirror"])
    np.testing.assert_array_equal(out["reference"], start["reference"])


def test_empty_places_are_left_alone(alignment, batch, start):
    holes = {name: values.copy() for name, values in start.items()}
    holes["reference"][:, 2] = -1
    out, full = refined(alignment, batch, holes), refined(alignment, batch, start)
    for name in ("origin", "alpha", "cross", "norm"):
        np.testing.assert_array_equal(out[name][:, 2], holes[name][:, 2])
        np.testing.assert_array_equal(out[name][:, 3:], full[name][:, 3:])


def test_a_reference_beyond_the_bank_is_refused(alignment, batch, start):
    beyond = start | {"reference": np.full((4, 5), 5, np.int32)}
    with pytest.raises(ValueError, match="reference: index beyond the bank"):
        refined(alignment, batch, beyond)


@pytest.mark.parametrize("n_threads", [2, 7])
def test_threads_do_not_change_a_bit(alignment, batch, start, n_threads):
    one, many = (
        refined(alignment, batch, start),
        refined(alignment, batch, start, n_threads=n_threads),
    )
    for name, values in one.items():
        assert values.tobytes() == many[name].tobytes(), name
