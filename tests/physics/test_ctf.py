from __future__ import annotations

import numpy as np
import pytest
import scipy.fft
from hypothesis import given
from hypothesis import strategies as st

from mapsort.physics import ctf as ctf_module
from mapsort.physics.ctf import ContrastTransfer, ctf_images, electron_wavelength

PLAIN = {
    "defocus_u_ang": 15000.0,
    "defocus_v_ang": 15000.0,
    "defocus_angle_deg": 0.0,
    "phase_shift_deg": 0.0,
    "voltage_kv": 300.0,
    "cs_mm": 2.7,
    "amplitude_contrast": 0.1,
    "bfactor_ang2": 0.0,
}


def _make(**changes):
    return ContrastTransfer(**(PLAIN | changes))


def _simulator(box, apix, df, volt=300.0, cs=2.7, amp=0.1):
    """The formula of the independent simulator (no astigmatism), whole Fourier plane."""
    lam = 12.2643247 / np.sqrt(volt * 1e3 * (1 + volt * 1e3 * 0.978466e-6))
    f = np.fft.fftfreq(box, apix)
    s2 = f[:, None] ** 2 + f[None] ** 2
    chi = np.pi * lam * df * s2 - 0.5 * np.pi * cs * 1e7 * lam**3 * s2**2
    return np.sqrt(1 - amp**2) * np.sin(chi) + amp * np.cos(chi)


def _of_text(text):
    """EMAN2 text form -> keyword arguments of from_eman, and the pixel size."""
    names = ["defocus_um", "dfdiff_um", "dfang_deg", "bfactor_ang2", "ampcont_percent"]
    names += ["voltage_kv", "cs_mm"]
    numbers = [float(word) for word in text[1:].split()[:8]]
    return dict(zip(names, numbers[:7], strict=True)), numbers[7]


def _eman_wavelength(voltage_kv):
    kv = np.asarray(voltage_kv)
    return 12.2639 / np.sqrt(1000.0 * kv + 0.97845 * kv**2)


@pytest.mark.parametrize("index", range(4))
def test_equals_eman2_with_its_wavelength(golden, monkeypatch, index):
    monkeypatch.setattr(ctf_module, "electron_wavelength", _eman_wavelength)
    (entry,) = golden.select(lambda e: e["id"] == f"ctf.2d.{index}")
    parameters, apix = _of_text(golden.facts[f"ctf{index}"]["ctf"])
    images = ctf_images(ContrastTransfer.from_eman(**parameters), 40, apix)
    assert images.shape == (1, 40, 21)
    golden.check(entry, images[0])
    np.testing.assert_allclose(images[0], golden.outputs[f"ctf.2d.{index}"], atol=2e-4)


@pytest.mark.parametrize("index", range(4))
def test_differs_from_eman2_only_by_its_rounded_wavelength(golden, index):
    parameters, apix = _of_text(golden.facts[f"ctf{index}"]["ctf"])
    images = ctf_images(ContrastTransfer.from_eman(**parameters), 40, apix)
    np.testing.assert_allclose(images[0], golden.outputs[f"ctf.2d.{index}"], atol=2e-3)


@pytest.mark.parametrize("index", range(4))
def test_curves_along_the_mean_defocus(golden, monkeypatch, index):
    monkeypatch.setattr(ctf_module, "electron_wavelength", _eman_wavelength)
    (entry,) = golden.select(lambda e: e["id"] == f"ctf.1d.{index}.CTF_AMP")
    parameters, _ = _of_text(golden.facts[f"ctf{index}"]["ctf"])
    parameters["dfdiff_um"] = 0.0
    expected = np.array(entry["value"])
    s = np.arange(len(expected)) * 0.0125
    c0, _, _, c3, c4, c5 = ContrastTransfer.from_eman(**parameters).coefficients()[0].astype(float)
    ours = np.sin(c0 * s**2 + c3 * s**4 + c4) * np.exp(-c5 * s**2 / 4)
    # EMAN2's curves are single precision: 2e-5 at low, a little more at high frequency
    np.testing.assert_allclose(ours, expected, atol=5e-5)


@pytest.mark.parametrize("box", [32, 45])
def test_equals_simulator(box):
    ours = ctf_images(_make(defocus_u_ang=21000.0, defocus_v_ang=21000.0), box, 1.3)[0]
    expected = _simulator(box, 1.3, 21000.0)[:, : box // 2 + 1]
    np.testing.assert_allclose(ours, expected, atol=1e-6)


def test_positive_at_low_frequency_for_underfocus():
    image = ctf_images(_make(), 64, 4.0)[0]
    assert image[0, 0] == pytest.approx(0.1, abs=1e-6)
    assert image[0, 1] > image[0, 0]


@given(
    st.floats(-10000.0, 40000.0),
    st.floats(0.0, 3000.0),
    st.floats(-180.0, 180.0),
    st.floats(0.0, 180.0),
    st.floats(0.0, 200.0),
)
def test_images_equal_coefficients(defocus, astigmatism, angle, shift, bfactor):
    ctf = _make(
        defocus_u_ang=defocus + astigmatism,
        defocus_v_ang=defocus - astigmatism,
        defocus_angle_deg=angle,
        phase_shift_deg=shift,
        bfactor_ang2=bfactor,
    )
    c0, c1, c2, c3, c4, c5 = ctf.coefficients()[0].astype(float)
    ky, kx = scipy.fft.fftfreq(20, 3.0)[:, None], scipy.fft.rfftfreq(20, 3.0)[None]
    s2, theta = kx**2 + ky**2, np.arctan2(ky, kx)
    phase = c0 * s2 + c1 * s2 * np.cos(2 * (theta - c2)) + c3 * s2**2 + c4
    expected = np.sin(phase) * np.exp(-c5 * s2 / 4)
    np.testing.assert_allclose(ctf_images(ctf, 20, 3.0)[0], expected, atol=3e-5)


def test_defocus_angle_points_to_the_u_axis():
    ctf = _make(defocus_u_ang=20000.0, defocus_v_ang=10000.0, defocus_angle_deg=90.0)
    image = ctf_images(ctf, 32, 3.0)[0]
    along_y, along_x = image[:16, 0], image[0, :16]
    np.testing.assert_allclose(along_y, _simulator(32, 3.0, 20000.0)[:16, 0], atol=1e-6)
    np.testing.assert_allclose(along_x, _simulator(32, 3.0, 10000.0)[0, :16], atol=1e-6)


def test_phase_plate_encoding_of_eman2():
    def parameters(percent):
        return {"defocus_um": 1.0, "voltage_kv": 300, "cs_mm": 2.7, "ampcont_percent": percent}

    inside = ContrastTransfer.from_eman(**parameters(100.0)).coefficients()[0, 4]
    beyond = ContrastTransfer.from_eman(**parameters(100.001)).coefficients()[0, 4]
    assert inside == pytest.approx(np.pi / 2, abs=1e-6)
    assert beyond == pytest.approx(np.pi / 2, abs=1e-2)
    # sin(phase) = 2 - 1.5 on the far side of 90 degrees
    assert np.rad2deg(ContrastTransfer.from_eman(**parameters(150.0)).coefficients()[0, 4]) == (
        pytest.approx(150.0, abs=1e-4)
    )
    assert np.rad2deg(ContrastTransfer.from_eman(**parameters(-150.0)).coefficients()[0, 4]) == (
        pytest.approx(-150.0, abs=1e-4)
    )
    with pytest.raises(ValueError, match="300 percent"):
        ContrastTransfer.from_eman(**parameters(400.0))


def test_selection_and_broadcasting():
    ctf = _make(defocus_u_ang=np.array([1e4, 2e4, 3e4]))
    assert len(ctf) == 3
    assert ctf.voltage_kv.shape == (3,)
    assert len(ctf[1]) == 1
    assert ctf[1].defocus_u_ang[0] == 2e4
    np.testing.assert_array_equal(ctf[1:].defocus_u_ang, [2e4, 3e4])
    np.testing.assert_array_equal(ctf[np.array([2, 0])].defocus_u_ang, [3e4, 1e4])
    np.testing.assert_array_equal(ctf[np.array([True, False, True])].coefficients().shape, (2, 6))
    assert len(ctf[:0]) == 0
    assert ctf_images(ctf[:0], 8, 1.0).shape == (0, 8, 5)
    with pytest.raises(IndexError):
        ctf[3]


def test_lengths_must_agree():
    with pytest.raises(ValueError, match="expected shape"):
        _make(defocus_u_ang=np.zeros(3), defocus_v_ang=np.zeros(2))
    with pytest.raises(ValueError, match="expected shape"):
        _make(defocus_u_ang=np.zeros((3, 1)))
    assert len(_make(defocus_u_ang=np.zeros(0))) == 0


@pytest.mark.parametrize(
    ("name", "value"),
    [("voltage_kv", 0.0), ("amplitude_contrast", 1.5), ("defocus_u_ang", float("nan"))],
)
def test_refusals_name_column_and_particle(name, value):
    with pytest.raises(ValueError, match=rf"{name}: .* particle 1"):
        _make(**{name: np.array([PLAIN[name], value])})


def test_wavelength():
    np.testing.assert_allclose(
        electron_wavelength([100, 200, 300]), [0.037014, 0.025079, 0.019687], atol=1e-6
    )
    with pytest.raises(ValueError, match="positive"):
        ctf_images(_make(), 16, 0.0)
