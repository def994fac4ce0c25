"""Every averager of the reference values, on phase-flipped images with CTF."""

from __future__ import annotations

import numpy as np
import pytest

from mapsort.modules.averagers import averaged
from mapsort.physics import ctf as ctf_module
from mapsort.physics.ctf import ContrastTransfer

KINDS = ("averager", "averager.attr")


def eman_wavelength(voltage_kv):
    """The original's rounded constant."""
    v = np.asarray(voltage_kv)
    return 12.2639 / np.sqrt(1000 * v + 0.97845 * v**2)


def ctf_of(texts):
    """CTF parameters and signal-to-noise curves of EMAN2's text form."""
    words = [text[1:].split() for text in texts]
    numbers = np.array([[float(w) for w in line[:9]] for line in words]).T
    defocus, difference, angle, bfactor, ampcont, voltage, cs, apix, spacing = numbers
    snr = np.array([[float(v) for v in line[10].split(",")[1:]] for line in words])
    # the curves' spacing is one Fourier pixel
    np.testing.assert_allclose(spacing, 1 / (40 * apix), rtol=1e-6)
    ctf = ContrastTransfer.from_eman(
        defocus_um=defocus,
        dfdiff_um=difference,
        dfang_deg=angle,
        bfactor_ang2=bfactor,
        ampcont_percent=ampcont,
        voltage_kv=voltage,
        cs_mm=cs,
    )
    return ctf, snr


def run(golden, spec):
    ctf, snr = ctf_of(golden.facts["stack"]["ctfs"])
    return averaged(spec, golden.inputs["stack"], ctf=ctf, snr=snr, apix=2.0)


def test_exact(golden, entry, monkeypatch):
    monkeypatch.setattr(ctf_module, "electron_wavelength", eman_wavelength)
    spec, _, attribute = entry["module"].partition("|")
    if attribute == "sigma image":
        golden.check(entry, run(golden, "sigma").image)
    elif attribute:
        result = run(golden, spec)
        found = {
            "ptcl_repr": result.n_averaged,
            "ctf_snr_total": result.snr_total,
            "ctf_wiener_filtered": result.wiener_filtered,
        }[attribute]
        golden.check(entry, np.asarray(found, dtype=float))
    else:
        golden.check(entry, run(golden, spec).image)


test_exact.statuses = ("exact",)


#: Correlation required with the original's average. Its halves are summed by ctf.weight.autofilt,
#: not averaged; its localweight does the same with and without fourier=1, ours not; its iterative
#: average is anticorrelated with the mean of the images, so that there the mean is the measure (a
#: robust mean of twelve images has 4 % more noise).
LEAST_CORRELATION = {
    "ctf.weight.autofilt": 0.99,
    "localweight": 0.95,
    "localweight:fourier=1": 0.9,
    "iterative": 0.95,
}


def test_approx(golden, entry):
    spec = entry["module"]
    ours = run(golden, spec).image
    other = "averager.mean" if spec == "iterative" else entry["value"]["array"]
    theirs = golden.outputs[other]
    assert np.corrcoef(ours.ravel(), theirs.ravel())[0, 1] > LEAST_CORRELATION[spec]
    if spec == "iterative":
        original = golden.outputs[entry["value"]["array"]]
        assert np.corrcoef(original.ravel(), theirs.ravel())[0, 1] < 0


test_approx.statuses = ("approx",)


@pytest.mark.parametrize("spec", ["ctf.auto", "ctfw.auto"])
def test_our_wavelength_makes_little_difference(golden, spec):
    """35 parts in a million of the wavelength: 1 % of the average's range."""
    expected = golden.outputs[f"averager.{spec}"]
    ours = run(golden, spec).image
    assert np.abs(ours - expected).max() < 0.01 * np.abs(expected).max()
