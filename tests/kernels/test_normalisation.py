"""Banks with normalised terms, parts of banks and their statistics, against direct sums."""

from __future__ import annotations

import numpy as np
import pytest

from mapsort import _core
from mapsort.stages.fourier_grid import FourierGrid

APIX = 3.0
N_REFERENCES, N_ANGLES, N_RINGS = 19, 60, 6
#: Astigmatic, phase-flipped, with a zero inside the band and an envelope, and none (C = 1).
CTF = np.array(
    [
        [1200.0, 300.0, 0.6, -2e4, 0.1, 0.0, 0.0],
        [1500.0, 250.0, -1.1, 0.0, 0.1, 0.0, 1.0],
        [900.0, 0.0, 0.0, -2e4, 0.2, 60.0, 0.0],
        [0.0, 0.0, 0.0, 0.0, np.pi / 2, 0.0, 0.0],
    ],
    np.float32,
)


def ring_mean(values):
    """Mean over each ring of samples (..., n_rings, half)."""
    return values.mean(axis=-1, keepdims=True)


def normalised(samples, how):
    """Samples (..., n_rings, half) with rings of unit power, or terms of unit amplitude."""
    power = np.abs(samples) ** 2
    size = {"rings": ring_mean(power), "phases": power, "none": np.ones_like(power)}[how]
    return samples / np.sqrt(np.where(size > 0, size, np.inf))


def transfer(case, particle, how):
    """What of the CTF goes with each normalisation."""
    kx, ky, _ = case.polar()
    c = case_ctf(case, particle, kx, ky)
    if how == "phases":
        return np.sign(c)
    return c / np.sqrt(ring_mean(c**2)) if how == "rings" else c


def case_ctf(case, particle, kx, ky):
    return case.ctf_at(case.ctf[particle], kx, ky, case.box, case.apix)


def coefficients(samples):
    """p_m on each ring from samples of half of it (..., n_rings, half): (..., n_rings, n)."""
    full = np.concatenate([samples, np.conj(samples)], axis=-1)
    return np.fft.fft(full, axis=-1) / full.shape[-1]


def of_kept_orders(samples, kept):
    """Samples without the angular orders that a bank leaves out; kept (orders, n_rings)."""
    p, orders = coefficients(samples), np.arange(len(kept))
    mask = np.zeros(p.shape[-2:], bool)
    mask[:, orders] = mask[:, -orders] = kept.T
    return np.fft.ifft(p * mask, axis=-1)[..., : samples.shape[-1]] * p.shape[-1]


def all_cross(case, how, particle, reference, origins, kept):
    """f at all origins, rotations and both mirrors: (origin, angle, mirror), summed plainly."""
    kx, ky, w = case.polar()
    x = normalised(case.image_at(case.images[particle], kx, ky), how)
    x = transfer(case, particle, how) * x
    turns = np.multiply.outer(origins[:, 0], kx) + np.multiply.outer(origins[:, 1], ky)
    shifted = x * np.exp(-2j * np.pi / case.box * turns)
    p = of_kept_orders(normalised(case.turned(reference), how), kept)
    return np.einsum("kj,skj,amkj->sam", w, np.conj(shifted), p, optimize=True).real


def norm_of(case, how, particle, reference):
    """sum w C^2 |P|^2, C^2 by its mean over each ring."""
    w = case.polar()[2]
    c2 = ring_mean(transfer(case, particle, how) ** 2)
    return float(np.sum(w * c2 * np.abs(normalised(case.turned(reference)[0, 0], how)) ** 2))


def bank_of(case, how, *, cutoff=None):
    """References of the case; with a cutoff, none of their terms beyond it [Fourier pixels]."""
    grid = FourierGrid.for_box(case.box)
    window = grid.volume_window(case.volume, max_radius=case.n_rings)
    if cutoff is not None:
        window[distances(window.shape) > cutoff * grid.scale] = 0
    bank = empty_bank(case.box, how)
    bank.add(readable(window, grid), rotations=case.rotations)
    return bank


def distances(shape):
    """Distance of each element of a Fourier window (z, y, x) from the origin [grid points]."""
    nz, ny, nx = shape
    halo = nx - 1 - ny // 2
    z, y, x = np.meshgrid(
        np.arange(nz) - nz // 2, np.arange(ny) - ny // 2, np.arange(nx) - halo, indexing="ij"
    )
    return np.sqrt(x**2 + y**2 + z**2)


def empty_bank(box, how):
    return _core.ReferenceBank(
        first_ring=1,
        n_rings=N_RINGS,
        n_angles=N_ANGLES,
        box=box,
        support_radius=box / 2,
        normalisation=how,
    )


def search_pairs(bank, *, origins, ring_weight, spectra, ctf, n_threads=1, **sizes):
    particles = _core.ParticleBatch(spectra, ctf, **sizes)
    return _core.Alignment(bank, ring_weight).search_pairs(particles, origins, n_threads=n_threads)


def readable(window, grid):
    return _core.Window(window, scale=grid.scale, oversampling=grid.scale)


def batch_of(case):
    grid = FourierGrid.for_box(case.box)
    return {
        "spectra": grid.image_spectra(case.images),
        "ctf": case.ctf,
        "ring_weight": case.ring_weight,
        "scale": grid.scale,
        "oversampling": grid.scale,
        "apix": case.apix,
    }


@pytest.fixture(scope="module", params=[16, 17])
def case(request, oracle):
    box = request.param
    made = oracle.AlignmentCase(
        volume=oracle.band_limited_noise(box, box, ndim=3),
        rotations=oracle.random_rotations(N_REFERENCES, seed=box),
        images=np.stack([oracle.band_limited_noise(box, s, ndim=2) for s in range(4)]),
        ctf=CTF,
        ring_weight=np.random.default_rng(box).uniform(0.5, 2.0, N_RINGS).astype(np.float32),
        n_angles=N_ANGLES,
        apix=APIX,
    )
    made.image_at, made.ctf_at = oracle.image_at, oracle.ctf_at
    return made


@pytest.fixture(scope="module")
def origins():
    line = np.array([-1.5, 0.0, 1.5])
    y, x = np.meshgrid(line, line, indexing="ij")
    return np.stack([x.ravel(), y.ravel()], axis=-1).astype(np.float32)


@pytest.mark.parametrize("how", ["rings", "phases"])
class TestNormalised:
    @pytest.fixture
    def found(self, case, how, origins):
        return search_pairs(bank_of(case, how), origins=origins, **batch_of(case))

    def test_every_pair_has_the_optimum_of_the_direct_search(self, case, how, origins, found):
        cross, norm, code = found
        # Dividing by amplitudes makes high orders, which a bank does not hold.
        kept = bank_of(case, how).statistics()[0] > 0
        if how == "rings":
            kept[:] = True
        direct = np.array(
            [
                [all_cross(case, how, i, r, origins, kept).ravel() for r in range(N_REFERENCES)]
                for i in range(len(case.images))
            ]
        )
        best = direct.max(axis=-1)
        assert best.min() > 0
        np.testing.assert_allclose(cross, best, rtol=1e-4)
        clear = best - np.sort(direct, axis=-1)[..., -2] > 2e-4 * best
        assert clear.mean() > 0.98
        np.testing.assert_array_equal(code[clear], direct.argmax(axis=-1)[clear])
        expected = [[norm_of(case, how, i, r) for r in range(N_REFERENCES)] for i in range(4)]
        np.testing.assert_allclose(norm, expected, rtol=1e-4)

    def test_all_references_have_the_same_norm(self, case, found):
        """Every ring has unit power: what is left is the weight of the rings."""
        rings = np.arange(1, N_RINGS + 1)
        np.testing.assert_allclose(found[1], 2 * np.pi * (rings @ case.ring_weight), rtol=1e-4)

    def test_the_scale_of_particle_and_reference_does_not_matter(self, case, how, origins, found):
        batch = batch_of(case)
        batch["spectra"] = batch["spectra"] * np.float32(40.0)
        grid = FourierGrid.for_box(case.box)
        bank = empty_bank(case.box, how)
        window = grid.volume_window(1e-4 * case.volume, max_radius=case.n_rings)
        bank.add(readable(window, grid), rotations=case.rotations)
        cross = search_pairs(bank, origins=origins, **batch)[0]
        np.testing.assert_allclose(cross, found[0], rtol=1e-4)

    def test_images_are_normalised_as_slices_are(self, case, how, origins):
        """An image without CTF at rest fits itself as well as anything can: f equals the norm."""
        grid = FourierGrid.for_box(case.box)
        bank = empty_bank(case.box, how)
        bank.add_images(grid.image_spectra(case.images), scale=grid.scale, oversampling=grid.scale)
        cross, norm, code = search_pairs(bank, origins=origins, **batch_of(case))
        # phases alone have high orders, which the bank does not hold
        lost = 1e-4 if how == "rings" else 0.03
        assert cross[3, 3] == pytest.approx(norm[3, 3], rel=lost)
        assert np.unravel_index(code[3, 3], (len(origins), N_ANGLES, 2)) == (4, 0, 0)
        assert np.all(cross[3, :3] < 0.9 * norm[3, :3])

    def test_rings_without_power_give_nothing(self, case, how, origins):
        """References empty beyond ring 3 score as if the band ended there; no NaN."""
        # the kernel reads 3 grid points to each side, up to 5.2 along a diagonal: 2.6 rings
        cut = bank_of(case, how, cutoff=1.0)
        cross, norm, _ = search_pairs(cut, origins=origins, **batch_of(case))
        short = batch_of(case)
        short["ring_weight"] = np.where(np.arange(N_RINGS) < 3, case.ring_weight, 0)
        short["ring_weight"] = short["ring_weight"].astype(np.float32)
        limited, full_norm, _ = search_pairs(cut, origins=origins, **short)
        np.testing.assert_allclose(cross, limited, rtol=1e-5)
        np.testing.assert_allclose(norm, full_norm, rtol=1e-5)
        assert np.all(norm > 0)
        assert np.all(np.isfinite(cross))
        assert np.any(cross > 0)

    @pytest.mark.parametrize("empty", ["particle", "reference"])
    def test_nothing_at_all_gives_zero(self, case, how, origins, empty):
        batch = batch_of(case)
        bank = bank_of(case, how, cutoff=-1.0 if empty == "reference" else None)
        if empty == "particle":
            batch["spectra"] = np.zeros_like(batch["spectra"])
        cross, norm, _ = search_pairs(bank, origins=origins, **batch)
        np.testing.assert_array_equal(cross, 0)
        assert np.all(norm == 0) if empty == "reference" else np.all(norm > 0)

    def test_empty_rings_of_a_particle(self, case, how, origins):
        """A particle without terms beyond ring 3 has finite scores from the other rings."""
        batch, grid = batch_of(case), FourierGrid.for_box(case.box)
        ky, kx = np.meshgrid(
            np.fft.fftfreq(grid.padded, 1 / grid.padded),
            np.arange(grid.padded // 2 + 1),
            indexing="ij",
        )
        batch["spectra"][:, np.hypot(kx, ky) > 1.0 * grid.scale] = 0
        bank = bank_of(case, how)
        cross = search_pairs(bank, origins=origins, **batch)[0]
        batch["ring_weight"] = np.where(np.arange(N_RINGS) < 3, case.ring_weight, 0)
        batch["ring_weight"] = batch["ring_weight"].astype(np.float32)
        short = search_pairs(bank, origins=origins, **batch)[0]
        np.testing.assert_allclose(cross, short, rtol=1e-5)

    def test_candidates_are_scored_as_pairs_are(self, case, how, found):
        """Searched on the same lattice, then refined: never worse, and finite."""
        reference = np.tile(np.arange(N_REFERENCES, dtype=np.int32), (4, 1))
        arrays = {
            "reference": reference,
            "origin": np.zeros((*reference.shape, 2), np.float32),
            "alpha": np.zeros(reference.shape, np.float32),
            "mirror": np.zeros(reference.shape, np.int32),
            "cross": np.zeros(reference.shape, np.float32),
            "norm": np.zeros(reference.shape, np.float32),
        }
        bank, batch = bank_of(case, how), batch_of(case)
        alignment = _core.Alignment(bank, batch.pop("ring_weight"))
        particles, candidates = _core.ParticleBatch(**batch), _core.Candidates(**arrays)
        lattice = _core.ShiftLattice(step=1.5, reach=1, shared=0, max_origin=2.0)
        alignment.search_candidates(particles, candidates, lattice)
        np.testing.assert_allclose(arrays["cross"], found[0], rtol=1e-5)
        np.testing.assert_allclose(arrays["norm"], found[1], rtol=1e-5)
        alignment.refine_candidates(particles, candidates, iterations=4, max_origin=2.0)
        assert np.all(arrays["cross"] >= found[0] * (1 - 1e-5))
        assert np.mean(arrays["cross"] > found[0]) > 0.9


# --- parts of a bank ------------------------------------------------------------------------------

#: Rings [first, last) of orders 0 to 9: gaps, an empty order, one ring only.
RANGES = np.array(
    [[0, 6], [1, 4], [0, 3], [2, 2], [1, 6], [3, 5], [2, 6], [4, 6], [5, 6], [4, 6]], np.int32
)


def kept_entries():
    """Which (ring, order) RANGES keep."""
    ring = np.arange(N_RINGS)[:, None]
    return (ring >= RANGES[:, 0]) & (ring < RANGES[:, 1])


def part_of(bank, ranges, **changes):
    settings = {"n_rings": N_RINGS, "n_angles": N_ANGLES, "n_rotations": N_ANGLES} | changes
    return bank.part(ranges, **settings)


@pytest.mark.parametrize("how", ["none", "rings", "phases"])
class TestPart:
    N_ROTATIONS = 36

    def test_a_part_is_the_whole_with_the_other_coefficients_zero(self, case, how, origins):
        """By the sum over orders, which shares nothing with the sum over points above."""
        part = part_of(bank_of(case, how), RANGES, n_rotations=self.N_ROTATIONS)
        cross, norm, _ = search_pairs(part, origins=origins, **batch_of(case))
        kx, ky, w = case.polar()
        weight = w.sum(axis=1)[:, None] * kept_entries()
        orders = np.arange(len(RANGES))
        weight = weight * np.where(orders == 0, 1, 2)
        turn = np.exp(-2j * np.pi * np.outer(np.arange(self.N_ROTATIONS), orders) / 36)
        turns = np.multiply.outer(origins[:, 0], kx) + np.multiply.outer(origins[:, 1], ky)
        phase = np.exp(-2j * np.pi / case.box * turns)
        for i in range(len(case.images)):
            x = normalised(case.image_at(case.images[i], kx, ky), how)
            x = coefficients(transfer(case, i, how) * x * phase)[..., : len(RANGES)]
            c2 = ring_mean(transfer(case, i, how) ** 2)
            for r in range(0, N_REFERENCES, 6):
                p = coefficients(normalised(case.turned(r)[0, 0], how))[:, : len(RANGES)]
                both = [
                    np.einsum("km,skm,km,am->sa", weight, np.conj(x), q, turn, optimize=True).real
                    for q in (p, np.conj(p))
                ]
                assert cross[i, r] == pytest.approx(np.max(both), rel=2e-4)
                expected = np.sum(weight * c2 * np.abs(p) ** 2)
                assert norm[i, r] == pytest.approx(expected, rel=2e-4)

    def test_the_whole_as_a_part_is_the_whole(self, case, how, origins):
        whole = bank_of(case, how)
        everything = np.tile(np.int32([0, N_RINGS]), (whole.max_order + 1, 1))
        part = part_of(whole, everything)
        assert (len(part), part.max_order) == (len(whole), whole.max_order)
        one, other = (
            search_pairs(bank, origins=origins, **batch_of(case)) for bank in (whole, part)
        )
        np.testing.assert_allclose(other[0], one[0], rtol=1e-5)
        # the orders that the bank does not keep are missing in the part's norm
        np.testing.assert_allclose(other[1], one[1], rtol=0.03 if how == "phases" else 2e-4)

    def test_fewer_rings(self, case, how, origins):
        """A part that ends at a lower ring takes as many weights and is the low band."""
        ranges = np.minimum(RANGES, 4)
        short = part_of(bank_of(case, how), ranges, n_rings=4)
        wide = part_of(bank_of(case, how), ranges)
        batch = batch_of(case)
        low = batch | {"ring_weight": case.ring_weight[:4].copy()}
        one = search_pairs(wide, origins=origins, **batch)
        other = search_pairs(short, origins=origins, **low)
        np.testing.assert_allclose(other[0], one[0], rtol=1e-5)
        np.testing.assert_allclose(other[1], one[1], rtol=1e-5)

    def test_statistics_are_means_over_the_references(self, case, how):
        p = np.array(
            [
                coefficients(normalised(case.turned(r)[0, 0], how))[:, : N_ANGLES // 2]
                for r in range(N_REFERENCES)
            ]
        )
        mean_power = (np.abs(p) ** 2).mean(axis=0).T
        power, mean = bank_of(case, how).statistics()
        kept = power > 0
        assert kept[:, -1].all()
        top = mean_power.max()
        np.testing.assert_allclose(power[kept], mean_power[: len(power)][kept], atol=1e-4 * top)
        # Bessel tails: what a bank leaves out is little (phases alone are not band-limited)
        if how != "phases":
            assert mean_power[: len(power)][~kept].sum() < 1e-3 * mean_power.sum()
        np.testing.assert_allclose(mean, p[:, :, 0].real.mean(axis=0), atol=1e-4 * np.sqrt(top))
        part_power, part_mean = part_of(bank_of(case, how), RANGES).statistics()
        expected = np.where(kept_entries().T, power[: len(RANGES)], 0)
        np.testing.assert_allclose(part_power, expected, rtol=1e-6)
        np.testing.assert_allclose(part_mean, mean, rtol=1e-6)


@pytest.mark.parametrize("n_threads", [2, 7])
def test_threads_do_not_change_a_part(case, origins, n_threads):
    one = part_of(bank_of(case, "rings"), RANGES)
    many = part_of(bank_of(case, "rings"), RANGES, n_threads=n_threads)
    for a, b in zip(
        *(search_pairs(bank, origins=origins, **batch_of(case)) for bank in (one, many)),
        strict=True,
    ):
        assert a.tobytes() == b.tobytes()


@pytest.mark.parametrize("name", ["ring", "Rings", "", "none "])
def test_an_unknown_normalisation_is_refused(name):
    with pytest.raises(
        ValueError, match=f"normalisation: expected none, rings or phases, got {name}"
    ):
        empty_bank(16, name)


@pytest.mark.parametrize(
    ("ranges", "changes", "words"),
    [
        ([[0, 7]], {}, "beyond the rings"),
        ([[-1, 3]], {}, "beyond the rings"),
        ([[4, 3]], {}, "beyond the rings"),
        ([[2, 2]], {}, "no rings at all"),
        ([[0, 3]] * 12, {"n_rotations": 22}, "more orders than"),
        ([[0, 3]] * 31, {}, "more orders than"),
        ([[0, 7]], {"n_rings": 7}, "orders or rings that the bank does not have"),
    ],
)
def test_parts_that_a_bank_does_not_have(case, ranges, changes, words):
    with pytest.raises(ValueError, match=f"ring_ranges: {words}|ring_ranges: .*{words}"):
        part_of(bank_of(case, "none"), np.array(ranges, np.int32), **changes)
