"""Pairs of particle and reference: what a comparator is told, and what its values are made of."""

from __future__ import annotations

import numpy as np
import pytest

from mapsort.model.matches import Matches
from mapsort.modules.comparators import COMPARATORS
from mapsort.physics.ctf import ContrastTransfer, ctf_images
from mapsort.physics.shells import shell_means
from mapsort.stages.search.pair_scores import PairComparison, _back, reranked

BOX, APIX, N = 20, 3.0, 4
RNG = np.random.default_rng(1)
REFERENCES = RNG.standard_normal((3, BOX, BOX)).astype(np.float32)
PARTICLES = RNG.standard_normal((N, BOX, BOX)).astype(np.float32)
CTF = ContrastTransfer(
    defocus_u_ang=np.linspace(9000, 15000, N), defocus_v_ang=np.linspace(9000, 15000, N),
    defocus_angle_deg=np.zeros(N), phase_shift_deg=np.zeros(N), voltage_kv=np.full(N, 300.0),
    cs_mm=np.full(N, 2.7), amplitude_contrast=np.full(N, 0.1), bfactor_ang2=np.zeros(N),
)  # fmt: skip


def matches_of(reference):
    reference = np.asarray(reference, np.int32)
    zeros = np.zeros(reference.shape, np.float32)
    return Matches(reference, zeros, zeros, zeros, zeros, zeros, zeros.astype(np.int32))


PAIRS = matches_of([[0, 1], [2, -1], [1, 0], [2, 1]])


def under_ctf(image, row, *, flipped):
    transfer = ctf_images(CTF[row], BOX, APIX)[0]
    transfer = np.abs(transfer) if flipped else transfer
    spectrum = np.fft.rfft2(np.fft.ifftshift(image)) * transfer
    return np.fft.fftshift(np.fft.irfft2(spectrum, s=(BOX, BOX)))


@pytest.mark.parametrize("flipped", [False, True])
@pytest.mark.parametrize("with_ctf", [False, True])
@pytest.mark.parametrize("n_threads", [1, 3])
def test_references_are_seen_under_the_ctf_of_the_particle(flipped, with_ctf, n_threads):
    comparator = COMPARATORS.bind("ccc")
    pairs = PairComparison(comparator, REFERENCES, APIX, flipped)
    found = pairs.values(PARTICLES, CTF if with_ctf else None, PAIRS, n_threads=n_threads)
    for row in range(N):
        for column, reference in enumerate(PAIRS.reference[row]):
            if reference < 0:
                assert found[row, column] == np.inf
                continue
            seen = REFERENCES[reference]
            if with_ctf:
                seen = under_ctf(seen, row, flipped=flipped)
            value = comparator(PARTICLES[row], seen, apix=APIX, ctf=None)
            assert found[row, column] == pytest.approx(value, abs=1e-6)


@pytest.mark.parametrize("with_ctf", [False, True])
def test_rings_are_weighed_by_the_signal_that_the_ctf_leaves(with_ctf):
    """The particle's curve is the signal's times the shell's mean squared CTF."""
    ratio = np.linspace(5.0, 0.1, BOX // 2 + 1)
    asked = COMPARATORS.bind("frc:snrweight=1")
    pairs = PairComparison(asked, REFERENCES, APIX, signal_to_noise=ratio)
    ctf = CTF if with_ctf else None
    found = pairs.values(PARTICLES, ctf, PAIRS)
    frequency = np.arange(BOX // 2 + 1) / (BOX * APIX)
    for row in range(N):
        left = ratio
        if with_ctf:
            square = ctf_images(CTF[row], BOX, APIX).astype(float) ** 2
            left = ratio * shell_means(square, BOX)[0]
        told = asked.with_arguments(snr=np.stack([frequency, left], axis=1))
        expected = PairComparison(told, REFERENCES, APIX).values(
            PARTICLES[row : row + 1],
            None if ctf is None else CTF[row],
            PAIRS.part(slice(row, row + 1)),
        )
        np.testing.assert_allclose(found[row], expected[0], rtol=1e-6)
    # who did not ask for weights, or gave a curve, has what was asked for
    plain = PairComparison(COMPARATORS.bind("frc"), REFERENCES, APIX)
    ignored = PairComparison(COMPARATORS.bind("frc"), REFERENCES, APIX, signal_to_noise=ratio)
    np.testing.assert_array_equal(
        ignored.values(PARTICLES, ctf, PAIRS), plain.values(PARTICLES, ctf, PAIRS)
    )
    own = asked.with_arguments(snr=np.stack([frequency, 1 + 0 * frequency], axis=1))
    np.testing.assert_array_equal(
        PairComparison(own, REFERENCES, APIX, signal_to_noise=ratio).values(PARTICLES, ctf, PAIRS),
        PairComparison(own, REFERENCES, APIX).values(PARTICLES, ctf, PAIRS),
    )


def test_inverse_of_a_rigid_transform():
    angle = 0.7
    matrix = np.array([[np.cos(angle), np.sin(angle), 2.0], [-np.sin(angle), np.cos(angle), -3.0]])
    matrix[0] *= -1
    back = _back(matrix)
    points = RNG.standard_normal((5, 2))
    moved = points @ matrix[:, :2].T + matrix[:, 2]
    np.testing.assert_allclose(moved @ back[:, :2].T + back[:, 2], points, atol=1e-12)


def test_scores_of_one_particle_alone_have_no_scale():
    """Without a spread of its own a value becomes the score's mean; one without a value is last."""
    one = matches_of([[0, 1], [2, -1]])
    score = np.array([[4.0, 2.0], [7.0, -np.inf]], np.float32)
    made = Matches(one.reference, score, *(getattr(one, k) for k in (
        "quality", "alpha", "dx", "dy", "mirror",
    )))  # fmt: skip
    found = reranked(made, np.array([[0.25, 0.25], [3.0, np.inf]]))
    np.testing.assert_allclose(found.score, [[3, 3], [7, -np.inf]])
    found = reranked(made, np.array([[5.0, 1.0], [3.0, np.inf]]))
    np.testing.assert_array_equal(found.reference, [[1, 0], [2, -1]])
    np.testing.assert_allclose(found.score, [[4, 2], [7, -np.inf]], rtol=1e-6)
    nothing = reranked(made, np.array([[5.0, 1.0], [np.inf, np.inf]]))
    np.testing.assert_allclose(nothing.score, [[4, 2], [-np.inf, -np.inf]], rtol=1e-6)
