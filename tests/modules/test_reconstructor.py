"""Reconstructors by name: what is taken, what is refused, and how."""

from __future__ import annotations

import pytest

from mapsort.errors import ConfigError
from mapsort.modules.reconstructor import MODES, RECONSTRUCTORS, reconstructor
from mapsort.physics.reconstruction import MAX_STEPS, ReconstructionMethod


def test_every_reconstructor_of_the_original_is_known():
    names = {module.name for module in RECONSTRUCTORS.modules()}
    assert names == {
        "fourier",
        "wiener_fourier",
        "back_projection",
        "nn4",
        "nn4_rect",
        "nn4_ctf",
        "nnSSNR",
    }


@pytest.mark.parametrize("mode", MODES)
def test_interpolation_modes_are_names_of_one_method(mode):
    assert reconstructor(f"fourier:mode={mode}") == reconstructor("fourier")
    assert reconstructor(f"wiener_fourier:mode={mode}") == ReconstructionMethod(ssnr=True)


def test_back_projection_takes_few_steps():
    assert reconstructor("back_projection").max_steps < MAX_STEPS
    assert reconstructor("fourier").max_steps == MAX_STEPS


@pytest.mark.parametrize("name", ["nn4", "nn4_rect", "nn4_ctf"])
def test_direct_inversion_adds_the_inverse_of_snr(name):
    assert reconstructor(name).wiener == 0
    assert reconstructor(f"{name}:snr=4").wiener == 0.25


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("fourrier", r"unknown reconstructor 'fourrier'; did you mean fourier\?"),
        ("fourier:mod=gauss_2", r"unknown parameter 'mod'; did you mean mode\?"),
        ("fourier:mode=gaus_2", r"unknown mode 'gaus_2'; did you mean gauss_2\?"),
        ("fourier:mode=1", "unknown mode '1'; known: nearest_neighbor"),
        ("back_projection:weight=1", "unknown parameter 'weight'"),
        ("nn4:snr=0", "snr=0: expected a number above 0"),
        ("nn4:snr=-2", "snr=-2: expected a number above 0"),
        ("nn4:snr=high", "snr=high: expected a number"),
        ("real_median", "not yet in this version"),
        ("none", "a reconstructor is needed"),
    ],
)
def test_what_is_refused_and_how(spec, message):
    with pytest.raises(ConfigError, match=message):
        reconstructor(spec)
