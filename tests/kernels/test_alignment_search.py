"""The search over rotation, mirror and shift, against a search by direct sums."""

from __future__ import annotations

import numpy as np
import pytest

from mapsort import _core
from mapsort.stages.fourier_grid import FourierGrid

#: Astigmatic, plain with envelope, phase-flipped, and none (C = 1).
CTF = np.array(
    [
        [1200.0, 300.0, 0.6, -2e4, 0.1, 0.0, 0.0],
        [900.0, 0.0, 0.0, -2e4, 0.2, 60.0, 0.0],
        [1500.0, 250.0, -1.1, 0.0, 0.1, 0.0, 1.0],
        [0.0, 0.0, 0.0, 0.0, np.pi / 2, 0.0, 0.0],
    ],
    np.float32,
)
APIX = 3.0


def bank_of(case):
    grid = FourierGrid.for_box(case.box)
    bank = _core.ReferenceBank(
        first_ring=1,
        n_rings=case.n_rings,
        n_angles=case.n_angles,
        box=case.box,
        support_radius=case.box / 2,
    )
    window = grid.volume_window(case.volume, max_radius=case.n_rings)
    turns, half = case.rotations, len(case.rotations) // 2
    readable = _core.Window(window, scale=grid.scale, oversampling=grid.scale)
    for part in (turns[:half], turns[half:]):
        bank.add(readable, rotations=part)
    return bank


def search_pairs(bank, *, origins, ring_weight, spectra, ctf, n_threads=1, **sizes):
    particles = _core.ParticleBatch(spectra, ctf, **sizes)
    return _core.Alignment(bank, ring_weight).search_pairs(particles, origins, n_threads=n_threads)


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
    box, n_references = request.param, 19  # no multiple of any number of lanes
    rng = np.random.default_rng(box)
    return oracle.AlignmentCase(
        volume=oracle.band_limited_noise(box, box, ndim=3),
        rotations=oracle.random_rotations(n_references, seed=box),
        images=np.stack([oracle.band_limited_noise(box, s, ndim=2) for s in range(4)]),
        ctf=CTF,
        ring_weight=rng.uniform(0.5, 2.0, 6).astype(np.float32),
        n_angles=60,
        apix=APIX,
    )


@pytest.fixture(scope="module")
def origins():
    line = np.array([-1.5, 0.0, 1.5])
    y, x = np.meshgrid(line, line, indexing="ij")
    return np.stack([x.ravel(), y.ravel()], axis=-1).astype(np.float32)


@pytest.fixture(scope="module")
def found(case, origins):
    return search_pairs(bank_of(case), origins=origins, **batch_of(case))


@pytest.fixture(scope="module")
def everything(case, origins):
    """f of every particle, reference, origin, angle and mirror."""
    return np.array(
        [
            [case.all_cross(i, r, origins) for r in range(len(case.rotations))]
            for i in range(len(case.images))
        ]
    )


def test_every_pair_has_the_optimum_of_the_direct_search(found, everything):
    cross, _, code = found
    flat = everything.reshape(*cross.shape, -1)
    best = flat.max(axis=-1)
    assert best.min() > 0
    np.testing.assert_allclose(cross, best, rtol=1e-4)
    # where the first two differ by more than rounding, the pose must be the same
    second = np.sort(flat, axis=-1)[..., -2]
    clear = best - second > 2e-4 * best
    assert clear.mean() > 0.98
    np.testing.assert_array_equal(code[clear], flat.argmax(axis=-1)[clear])


def test_mirrored_and_plain_poses_are_both_found(found):
    assert 0.3 < (found[2] % 2).mean() < 0.7


def test_the_code_is_read_as_shift_angle_mirror(found, case, origins):
    """The documented meaning, by evaluating f afresh at the decoded pose."""
    cross, _, code = found
    for i, r in [(0, 0), (1, 7), (2, 18), (3, 4)]:
        shift, angle, mirror = np.unravel_index(code[i, r], (len(origins), case.n_angles, 2))
        alpha = 2 * np.pi * angle / case.n_angles
        assert cross[i, r] == pytest.approx(
            case.cross(i, r, alpha, mirror, origins[shift]), rel=1e-4
        )


def test_norm_is_the_direct_sum(found, case):
    _, norm, _ = found
    expected = [[case.norm(i, r, ring_means=True) for r in range(19)] for i in range(4)]
    np.testing.assert_allclose(norm, expected, rtol=1e-4)


def test_ring_means_are_exact_but_for_astigmatism(case):
    """Replacing C^2 by its mean over each ring costs nothing for round CTFs, else a little."""
    exact = np.array([[case.norm(i, r, ring_means=False) for r in range(19)] for i in range(4)])
    means = np.array([[case.norm(i, r, ring_means=True) for r in range(19)] for i in range(4)])
    np.testing.assert_allclose(means[[1, 3]], exact[[1, 3]], rtol=1e-9)
    assert np.abs(means / exact - 1).max() < 0.25


def test_a_weight_of_zero_removes_a_ring(case, origins, oracle):
    """A particle that differs only in a ring of weight zero has the same optima."""
    batch = batch_of(case)
    weight = case.ring_weight.copy()
    weight[-2:] = 0
    bank = bank_of(case)
    less = search_pairs(bank, origins=origins, **(batch | {"ring_weight": weight}))
    more = search_pairs(bank, origins=origins, **batch)
    assert np.all(less[1] < more[1])
    short = oracle.AlignmentCase(
        case.volume, case.rotations, case.images, case.ctf, weight[:-2], case.n_angles, case.apix
    )
    alone = search_pairs(bank_of(short), origins=origins, **batch_of(short))
    np.testing.assert_allclose(less[0], alone[0], rtol=1e-4)
    np.testing.assert_allclose(less[1], alone[1], rtol=1e-4)


@pytest.mark.parametrize("n_threads", [2, 7])
def test_threads_do_not_change_a_bit(n_threads, found, case, origins):
    many = search_pairs(bank_of(case), origins=origins, n_threads=n_threads, **batch_of(case))
    for one, other in zip(found, many, strict=True):
        assert one.tobytes() == other.tobytes()


def test_a_bank_counts_its_references(case):
    bank = bank_of(case)
    assert len(bank) == 19
    assert bank.n_angles == 60
    assert 0 < bank.max_order < 30


def test_images_as_references(case, origins, oracle):
    """References given as images are read at the same points as the particles are."""
    grid, images = FourierGrid.for_box(case.box), case.images[[2, 0, 1]]
    bank = _core.ReferenceBank(
        first_ring=1,
        n_rings=case.n_rings,
        n_angles=case.n_angles,
        box=case.box,
        support_radius=case.box / 2,
    )
    spectra = grid.image_spectra(images)
    for part in (spectra[:1], spectra[1:]):
        bank.add_images(part, scale=grid.scale, oversampling=grid.scale)
    assert len(bank) == 3
    cross, norm, code = search_pairs(bank, origins=origins, **batch_of(case))
    kx, ky, w = case.polar()
    for r, image in enumerate(images):
        shift, angle, mirror = np.unravel_index(code[3, r], (len(origins), case.n_angles, 2))
        turn = 2 * np.pi * angle / case.n_angles
        qx, qy = np.cos(turn) * kx + np.sin(turn) * ky, -np.sin(turn) * kx + np.cos(turn) * ky
        p = oracle.image_at(image, -qx if mirror else qx, qy)
        phase = kx * origins[shift, 0] + ky * origins[shift, 1]
        x = oracle.image_at(case.images[3], kx, ky) * np.exp(-2j * np.pi / case.box * phase)
        assert cross[3, r] == pytest.approx(np.sum(w * (np.conj(x) * p).real), rel=1e-4)
        power = np.abs(oracle.image_at(image, kx, ky)) ** 2
        assert norm[3, r] == pytest.approx(np.sum(w * power), rel=1e-4)
    # the particle without CTF against itself: found at rest
    itself = _core.ReferenceBank(
        first_ring=1,
        n_rings=case.n_rings,
        n_angles=case.n_angles,
        box=case.box,
        support_radius=case.box / 2,
    )
    itself.add_images(
        grid.image_spectra(case.images[3:]), scale=grid.scale, oversampling=grid.scale
    )
    cross, norm, code = search_pairs(itself, origins=origins, **batch_of(case))
    assert cross[3, 0] == pytest.approx(norm[3, 0], rel=1e-4)
    assert np.unravel_index(code[3, 0], (9, case.n_angles, 2)) == (4, 0, 0)


class TestCandidates:
    """search_candidates: the lattice around where candidates stand."""

    STEP = 0.75

    def arrays(self, reference, origin):
        shape = reference.shape
        return {
            "reference": np.ascontiguousarray(reference, np.int32),
            "origin": np.array(origin, np.float32, order="C"),
            "alpha": np.zeros(shape, np.float32),
            "mirror": np.zeros(shape, np.int32),
            "cross": np.zeros(shape, np.float32),
            "norm": np.zeros(shape, np.float32),
        }

    def search(self, case, arrays, **options):
        settings = {"step": self.STEP, "reach": 1, "shared": 0, "max_origin": 3.0} | options
        n_threads = settings.pop("n_threads", 1)
        batch = batch_of(case)
        alignment = _core.Alignment(bank_of(case), batch.pop("ring_weight"))
        alignment.search_candidates(
            _core.ParticleBatch(**batch),
            _core.Candidates(**arrays),
            _core.ShiftLattice(**settings),
            n_threads=n_threads,
        )
        return arrays

    def lattice(self, centre, *, reach=1):
        line = np.arange(-reach, reach + 1) * self.STEP
        y, x = np.meshgrid(line, line, indexing="ij")
        return np.stack([x.ravel(), y.ravel()], axis=-1) + centre

    def test_the_optimum_on_the_lattice_is_found(self, case):
        reference = np.array([[0, 5, 11], [18, 2, 3], [7, 7, 1], [4, 16, 9]])
        start = np.tile(np.float32([0.8, -1.4]), (4, 3, 1))  # nearest node: (0.75, -1.5)
        out = self.search(case, self.arrays(reference, start))
        nodes = self.lattice([0.75, -1.5])
        for i in range(4):
            for c in range(3):
                direct = case.all_cross(i, reference[i, c], nodes)
                node, angle, mirror = np.unravel_index(direct.argmax(), direct.shape)
                assert out["cross"][i, c] == pytest.approx(direct.max(), rel=1e-4)
                np.testing.assert_allclose(out["origin"][i, c], nodes[node], atol=1e-6)
                assert out["alpha"][i, c] == pytest.approx(
                    2 * np.pi * angle / case.n_angles, abs=1e-5
                )
                assert out["mirror"][i, c] == mirror
                assert out["norm"][i, c] == pytest.approx(
                    case.norm(i, reference[i, c], ring_means=True), rel=1e-4
                )

    def test_candidates_that_are_searched_together_share_their_nodes(self, case):
        origin = np.zeros((4, 2, 2), np.float32)
        origin[:, 1] = [1.5, 1.5]
        out = self.search(case, self.arrays(np.full((4, 2), 3), origin))
        np.testing.assert_array_equal(out["cross"][:, 0], out["cross"][:, 1])
        nodes = np.concatenate([self.lattice([0, 0]), self.lattice([1.5, 1.5])])
        for i in range(4):
            assert out["cross"][i, 0] == pytest.approx(case.all_cross(i, 3, nodes).max(), rel=1e-4)

    def test_many_candidates_are_searched_about_their_own_shifts_and_those_of_the_first(self, case):
        """Each at no less than its own nodes and those about the first ones, as direct sums do."""
        rng = np.random.default_rng(5)
        n = 50
        reference = rng.integers(0, len(case.rotations), (4, n))
        centre = np.round(rng.uniform(-3, 3, (4, n, 2)) / self.STEP) * self.STEP
        out = self.search(case, self.arrays(reference, centre), shared=2)
        found = out["origin"]
        for i in range(4):
            first = [self.lattice(c) for c in centre[i, :2]]
            for c in range(n):
                nodes = np.concatenate([self.lattice(centre[i, c]), *first])
                nodes = np.clip(nodes, -3.0, 3.0)
                at_least = case.all_cross(i, reference[i, c], nodes).max()
                assert out["cross"][i, c] >= at_least * (1 - 1e-4)
                here = case.all_cross(i, reference[i, c], found[i, c][None])
                assert out["cross"][i, c] == pytest.approx(here.max(), rel=1e-4)

    def test_the_order_of_candidates_that_are_not_shared_is_all_the_same(self, case):
        rng = np.random.default_rng(6)
        reference = rng.integers(0, len(case.rotations), (4, 40))
        origin = rng.uniform(-3, 3, (4, 40, 2))
        one = self.search(case, self.arrays(reference[:, :10], origin[:, :10]))
        order = rng.permutation(10)
        other = self.search(case, self.arrays(reference[:, order], origin[:, order]))
        for name in ("cross", "origin", "alpha", "mirror"):
            np.testing.assert_array_equal(one[name][:, order], other[name])

    def test_more_reach_is_never_worse(self, case):
        reference = np.tile(np.arange(4), (4, 1))
        start = np.zeros((4, 4, 2), np.float32)
        near = self.search(case, self.arrays(reference, start))
        far = self.search(case, self.arrays(reference, start), reach=2)
        assert np.all(far["cross"] >= near["cross"])
        assert np.any(far["cross"] > near["cross"])

    def test_no_origin_beyond_the_limit(self, case):
        start = np.full((4, 1, 2), 10.0, np.float32)
        out = self.search(case, self.arrays(np.full((4, 1), 2), start), max_origin=1.6)
        assert np.all(np.abs(out["origin"]) <= 1.6)
        assert np.all(np.isfinite(out["cross"]))

    def test_empty_places_are_left_alone(self, case):
        reference = np.tile([4, -1, 9], (4, 1))
        arrays = self.arrays(reference, np.full((4, 3, 2), 0.1))
        arrays["cross"][:, 1] = 123.0
        out = self.search(case, arrays)
        np.testing.assert_array_equal(out["cross"][:, 1], 123.0)
        np.testing.assert_array_equal(out["origin"][:, 1], np.float32(0.1))
        alone = self.search(case, self.arrays(reference[:, [0, 2]], np.full((4, 2, 2), 0.1)))
        np.testing.assert_array_equal(out["cross"][:, [0, 2]], alone["cross"])

    def test_more_candidates_than_lanes(self, case):
        reference = np.tile(np.arange(37) % 19, (4, 1))
        out = self.search(case, self.arrays(reference, np.zeros((4, 37, 2))))
        np.testing.assert_array_equal(out["cross"][:, :18], out["cross"][:, 19:])
        pairs = search_pairs(
            bank_of(case), origins=self.lattice([0, 0]).astype(np.float32), **batch_of(case)
        )
        atol = 1e-5 * pairs[0].max()  # some best values are near zero: differences of large sums
        np.testing.assert_allclose(out["cross"][:, :19], pairs[0], rtol=1e-5, atol=atol)

    @pytest.mark.parametrize("n_threads", [2, 7])
    def test_threads_do_not_change_a_bit(self, case, n_threads):
        reference = np.tile(np.arange(19), (4, 1))
        one = self.search(case, self.arrays(reference, np.zeros((4, 19, 2))))
        many = self.search(case, self.arrays(reference, np.zeros((4, 19, 2))), n_threads=n_threads)
        for name, values in one.items():
            assert values.tobytes() == many[name].tobytes(), name

    def test_a_reference_beyond_the_bank_is_refused(self, case):
        arrays = self.arrays(np.full((4, 1), 19), np.zeros((4, 1, 2)))
        with pytest.raises(ValueError, match="reference: index beyond the bank"):
            self.search(case, arrays)
