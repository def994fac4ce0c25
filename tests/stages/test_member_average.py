"""Class averages by the named averagers."""

from __future__ import annotations

import numpy as np
import pytest

from mapsort.model.matches import Matches
from mapsort.model.membership import Membership
from mapsort.physics.ctf import ContrastTransfer, ctf_images
from mapsort.stages.average import weighting
from mapsort.stages.average.weighting import MemberAverager, Weighting, takes_weights, weighting_of
from mapsort.stages.fourier_grid import centred_transform

BOX, APIX = 24, 6.0


def test_names_of_averagers():
    assert weighting_of(" ctf.auto ") is Weighting.LEAST_SQUARES
    assert weighting_of("auto") is Weighting.LEAST_SQUARES
    assert weighting_of("mean ") is Weighting.SUM
    assert weighting_of("ctf.weight") is Weighting.SUM
    assert weighting_of("mean:ignore0=1") is Weighting.BY_MEMBER
    assert takes_weights("mean:ignore0=1")
    assert not takes_weights("median")


@pytest.mark.parametrize("group", [0, 1, 2, 100])
@pytest.mark.parametrize("flipped", [False, True])
def test_groups_of_images_have_the_average_of_all(monkeypatch, group, flipped):
    """Weighted by their particles' shares; phases are flipped once."""
    n = 9
    rng = np.random.default_rng(4)
    raw = rng.standard_normal((n, BOX, BOX)).astype(np.float32)
    ctf = ContrastTransfer(
        defocus_u_ang=np.linspace(9000, 15000, n), defocus_v_ang=np.linspace(9000, 15000, n),
        defocus_angle_deg=np.zeros(n), phase_shift_deg=np.zeros(n), voltage_kv=np.full(n, 300.0),
        cs_mm=np.full(n, 2.7), amplitude_contrast=np.full(n, 0.1), bfactor_ang2=np.zeros(n),
    )  # fmt: skip
    zeros = np.zeros((n, 1), np.float32)
    matches = Matches(
        zeros.astype(np.int32), zeros, zeros, zeros, zeros, zeros, zeros.astype(np.int32)
    )
    weight = rng.uniform(0.2, 1.0, n).astype(np.float32)
    used = np.arange(n) != 4
    membership = Membership(np.array([0, n, n]), np.arange(n), np.zeros(n, np.int64), used, weight)
    halves = (np.arange(n) % 2).astype(np.uint8)
    asked = []

    def read(numbers):
        asked.append(len(numbers))
        return raw[numbers]

    monkeypatch.setattr(weighting, "GROUP_BYTES", group * 4 * BOX * BOX)
    averager = MemberAverager("mean", read, ctf, flipped, APIX, halves)
    made = averager.averages(matches, membership, BOX)
    assert max(asked) == min(max(1, group), 4)
    assert made.count.tolist() == [8, 0]
    sign = np.ones((n, BOX, BOX // 2 + 1)) if flipped else np.sign(ctf_images(ctf, BOX, APIX))
    spectra = centred_transform(raw) * sign
    for half in range(2):
        own = np.flatnonzero(used & (halves == half))
        total = weight[own].sum()
        assert made.density[half, 0] == pytest.approx(total, rel=1e-5)
        share = weight[own][:, None, None]
        expected = (share * spectra[own]).sum(axis=0)
        inner = (slice(0, BOX // 2 - 1), slice(0, BOX // 2 - 1))
        np.testing.assert_allclose(
            made.numerator[half, 0][inner], expected[inner],
            atol=0.03 * np.abs(expected).max(),
        )  # fmt: skip
