"""Class sums, against the direct transform of each particle at the turned frequencies."""

from __future__ import annotations

import numpy as np
import pytest

from mapsort import _core
from mapsort.stages.fourier_grid import FourierGrid

APIX = 2.5
N_PARTICLES, N_CLASSES = 5, 2


def coefficients():
    rng = np.random.default_rng(1)
    ctf = np.zeros((N_PARTICLES, 7), np.float32)
    ctf[:, 0], ctf[:, 1] = rng.uniform(500, 1500, 5), rng.uniform(0, 300, 5)
    ctf[:, 2], ctf[:, 3] = rng.uniform(-2, 2, 5), -2e4
    ctf[:, 4], ctf[:, 5] = rng.uniform(0.05, 0.2, 5), rng.uniform(0, 80, 5)
    ctf[2, 6] = 1.0
    return ctf


class Case:
    """Seven entries of five particles in three rows of the sums of two classes' halves."""

    order = np.array([0, 3, 4, 1, 1, 2, 0], np.int32)
    slot_start = np.array([0, 3, 4, 7], np.int32)
    slot = np.array([0, 1, 3], np.int32)  # row 2, the second half of class 0, stays empty
    row_of_entry = np.array([0, 0, 0, 1, 3, 3, 3])

    def __init__(self, box, max_radius):
        rng = np.random.default_rng(box)
        self.box, self.max_radius, n = box, max_radius, len(self.order)
        self.images = rng.standard_normal((N_PARTICLES, box, box)).astype(np.float32)
        self.ctf = coefficients()
        self.alpha = rng.uniform(-4, 4, n).astype(np.float32)
        self.origin = rng.uniform(-3, 3, (n, 2)).astype(np.float32)
        self.mirror = np.array([0, 1, 0, 1, 1, 0, 1], np.int32)
        self.weight = rng.uniform(0.3, 1, n).astype(np.float32)
        projections = rng.standard_normal((N_CLASSES, box, box)).astype(np.float32)
        self.references = np.fft.rfft2(projections).astype(np.complex64)

    def accumulate(self, *, n_threads=1, into=None, **changes):
        grid, half = FourierGrid.for_box(self.box), self.box // 2 + 1
        into = into or {
            "numerator": np.zeros((4, self.box, half), np.complex64),
            "density": np.zeros((4, self.box, half), np.float32),
        }
        sums = {name: into[name] for name in ("numerator", "density")}
        names = ("order", "slot_start", "slot", "alpha", "origin", "mirror", "weight")
        particles = _core.ParticleBatch(
            grid.image_spectra(self.images),
            self.ctf,
            scale=grid.scale,
            oversampling=grid.scale,
            apix=APIX,
        )
        shells = _core.ClassSums(
            **sums, references=self.references, max_radius=self.max_radius
        ).add(
            particles,
            _core.Placement(**({name: getattr(self, name) for name in names} | changes)),
            n_threads=n_threads,
        )
        return sums | dict(zip(("image_power", "cross", "reference_power"), shells, strict=True))

    def entry(self, e, oracle):
        """(C, X) of an entry at the frequencies of its reference, X centred; (box, box//2+1)."""
        qx, qy = oracle.plane_frequencies(self.box)
        cos, sin = np.cos(float(self.alpha[e])), np.sin(float(self.alpha[e]))
        # q = M R k, R = [[cos, sin], [-sin, cos]]: the particle is read at k = R^T M q
        mx = -qx if self.mirror[e] else qx
        kx, ky = cos * mx - sin * qy, sin * mx + cos * qy
        phase = -2j * np.pi / self.box * (kx * self.origin[e, 0] + ky * self.origin[e, 1])
        x = oracle.image_at(self.images[self.order[e]], kx, ky) * np.exp(phase)
        return oracle.ctf_at(self.ctf[self.order[e]], kx, ky, self.box, APIX), x

    def inside(self, oracle):
        qx, qy = oracle.plane_frequencies(self.box)
        nyquist = (2 * qx == self.box) | (2 * np.abs(qy) == self.box)
        return (np.hypot(qx, qy) <= self.max_radius) & ~nyquist


@pytest.fixture(scope="module", params=[(16, 8.0), (17, 8.0), (16, 5.5)], ids=str)
def case(request):
    return Case(*request.param)


@pytest.fixture(scope="module")
def found(case):
    return case.accumulate()


def test_the_sums_are_those_of_the_direct_transform(case, found, oracle):
    numerator = np.zeros(found["numerator"].shape, complex)
    density = np.zeros(found["density"].shape)
    for e, row in enumerate(case.row_of_entry):
        c, x = case.entry(e, oracle)
        numerator[row] += case.weight[e] * c * x
        density[row] += case.weight[e] * c**2
    inside = case.inside(oracle)
    scale = np.abs(numerator[:, inside]).max()
    np.testing.assert_allclose(
        found["numerator"][:, inside], numerator[:, inside], atol=1e-4 * scale
    )
    np.testing.assert_allclose(found["density"][:, inside], density[:, inside], atol=1e-4)
    np.testing.assert_array_equal(found["numerator"][:, ~inside], 0)
    np.testing.assert_array_equal(found["density"][:, ~inside], 0)


def test_rows_without_members_stay_empty(found):
    assert not found["numerator"][2].any()
    assert not found["density"][2].any()
    assert found["density"][[0, 1, 3]].any(axis=(1, 2)).all()


def test_the_shell_sums_are_those_of_the_whole_plane(case, found, oracle):
    """|X|^2, Re conj(X) C P and C^2 |P|^2 of each entry, unweighted, by rounded radius."""
    qx, qy = oracle.plane_frequencies(case.box)
    inside = case.inside(oracle)
    shell = np.rint(np.hypot(qx, qy)).astype(int)[inside]
    count = np.where(qx == 0, 1.0, 2.0)[inside]
    n_shells = case.box // 2 + 1
    for e, row in enumerate(case.row_of_entry):
        c, x = case.entry(e, oracle)
        p = c * case.references[row % N_CLASSES]
        terms = {
            "image_power": np.abs(x) ** 2,
            "cross": (np.conj(x) * p).real,
            "reference_power": np.abs(p) ** 2,
        }
        scale = max(np.bincount(shell, count * np.abs(t[inside])).max() for t in terms.values())
        for name, term in terms.items():
            expected = np.bincount(shell, count * term[inside], n_shells)
            np.testing.assert_allclose(found[name][e], expected, atol=1e-4 * scale)


def test_sums_are_added_to_what_is_there(case, found):
    twice = case.accumulate(into={name: a.copy() for name, a in found.items()})
    np.testing.assert_allclose(twice["numerator"], 2 * found["numerator"], rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(twice["density"], 2 * found["density"], rtol=1e-5, atol=1e-6)


def test_a_particle_at_rest_is_its_own_transform():
    """alpha = 0, no shift, C = 1: the numerator is the particle's rfft2 about the centre."""
    case = Case(17, 8.0)
    case.ctf = np.zeros_like(case.ctf)
    case.ctf[:, 4] = np.pi / 2
    case.alpha[:], case.origin[:], case.mirror[:], case.weight[:] = 0, 0, 0, 1
    found = case.accumulate()
    expected = np.fft.rfft2(np.fft.ifftshift(case.images[1]))
    k = np.fft.fftfreq(17, 1 / 17)
    inside = np.hypot(k[:, None], np.arange(9)) <= 8
    atol = 1e-4 * np.abs(expected).max()
    np.testing.assert_allclose(found["numerator"][1][inside], expected[inside], atol=atol)


@pytest.mark.parametrize("n_threads", [2, 7])
def test_threads_do_not_change_a_bit(case, found, n_threads):
    many = case.accumulate(n_threads=n_threads)
    for name, values in found.items():
        assert values.tobytes() == many[name].tobytes(), name


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("order", [0, 3, 4, 1, 1, 2, 5], "order: particle beyond the spectra"),
        ("order", [0, 3, 4, 1, 1, 2, -1], "order: particle beyond the spectra"),
        ("slot", [0, 1, 4], "slot: expected ascending rows"),
        ("slot", [1, 1, 3], "slot: expected ascending rows"),
        ("slot_start", [0, 3, 2, 7], "slot_start: expected ascending positions"),
        ("slot_start", [0, 3, 4, 8], "slot_start: expected ascending positions"),
        ("slot_start", [-1, 3, 4, 7], "slot_start: expected ascending positions"),
    ],
)
def test_positions_outside_the_arrays_are_refused(case, name, value, message):
    with pytest.raises(ValueError, match=message):
        case.accumulate(**{name: np.array(value, np.int32)})
