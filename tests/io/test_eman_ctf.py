from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mapsort.io.eman_ctf import EmanCtf
from mapsort.physics.ctf import ContrastTransfer, ctf_images

TEXT = "E1.5 0.1 30 100 10 300 2.7 2 0.005 3,1,0.5,0.2 3,0.1,2.5,1"
numbers = st.floats(-1e5, 1e5)


def test_what_is_not_given_is_nothing() -> None:
    """No astigmatism, no envelope, 1 A/pixel, and no curves with any spacing."""
    ctf = EmanCtf(defocus_um=1.5, ampcont_percent=10, voltage_kv=300, cs_mm=2.7)
    assert ctf.text() == "E1.5 0 0 0 10 300 2.7 1 0 0 0"
    assert EmanCtf.from_json({"defocus": 1.5, "ampcont": 10, "voltage": 300, "cs": 2.7}) == ctf


def test_text() -> None:
    ctf = EmanCtf.from_text(TEXT)
    assert (ctf.defocus_um, ctf.dfdiff_um, ctf.dfang_deg) == (1.5, 0.1, 30)
    assert (ctf.bfactor_ang2, ctf.ampcont_percent, ctf.voltage_kv) == (100, 10, 300)
    assert (ctf.cs_mm, ctf.apix, ctf.dsbg) == (2.7, 2, 0.005)
    assert (ctf.background, ctf.snr) == ((1, 0.5, 0.2), (0.1, 2.5, 1))
    assert ctf.text() == TEXT


@given(
    st.builds(
        EmanCtf,
        defocus_um=numbers,
        dfdiff_um=numbers,
        dfang_deg=numbers,
        bfactor_ang2=numbers,
        ampcont_percent=st.floats(-100, 100),
        voltage_kv=st.floats(1, 1000),
        cs_mm=numbers,
        apix=numbers,
        dsbg=numbers,
        background=st.lists(numbers, max_size=4).map(tuple),
        snr=st.lists(numbers, max_size=4).map(tuple),
    )
)
@settings(deadline=None)
def test_round_trips(ctf: EmanCtf) -> None:
    assert EmanCtf.from_text(ctf.text()) == ctf
    assert EmanCtf.from_json(ctf.json()) == ctf


@given(
    u=st.floats(1e3, 5e4),
    v=st.floats(1e3, 5e4),
    amplitude=st.floats(-0.5, 0.5),
    shift=st.sampled_from([0.0, 30.0, 90.0, 120.0, -45.0]),
)
@settings(deadline=None)
def test_same_function_whichever_parameters(
    u: float, v: float, amplitude: float, shift: float
) -> None:
    values = {
        "rlnDefocusU": u,
        "rlnDefocusV": v,
        "rlnDefocusAngle": 20.0,
        "rlnVoltage": 300.0,
        "rlnSphericalAberration": 2.7,
        "rlnAmplitudeContrast": amplitude,
        "rlnPhaseShift": shift,
        "rlnCtfBfactor": 50.0,
    }
    text = EmanCtf.from_parameters(values, 1.5).text()
    known = EmanCtf.from_text(text).parameters(shift)
    for label, value in values.items():
        # sin() is flat at a quarter turn: half of a double's digits remain there.
        assert known[label] == pytest.approx(value, rel=1e-12, abs=1e-6), label
    # Without the phase shift beside it the sum of both phases is the same all the same.
    alone = EmanCtf.from_text(text).parameters()
    total = [
        math.radians(p["rlnPhaseShift"]) + math.asin(p["rlnAmplitudeContrast"])
        for p in (values, alone)
    ]
    assert total[0] == pytest.approx(total[1], abs=1e-7)
    assert alone["rlnDefocusU"] == pytest.approx(u, rel=1e-12)


def test_same_curve_as_the_parameters_of_eman() -> None:
    ctf = EmanCtf.from_text(TEXT)
    p = ctf.parameters()
    ours = ContrastTransfer(
        defocus_u_ang=np.array(p["rlnDefocusU"]),
        defocus_v_ang=np.array(p["rlnDefocusV"]),
        defocus_angle_deg=np.array(p["rlnDefocusAngle"]),
        phase_shift_deg=np.array(p["rlnPhaseShift"]),
        voltage_kv=np.array(p["rlnVoltage"]),
        cs_mm=np.array(p["rlnSphericalAberration"]),
        amplitude_contrast=np.array(p["rlnAmplitudeContrast"]),
        bfactor_ang2=np.array(p["rlnCtfBfactor"]),
    )
    # Semantics of the text form, written out: sin(gamma + asin(ampcont)) exp(-B s^2 / 4).
    s = 5 / 64 / 2.0
    wavelength = 12.2643247 / math.sqrt(3e5 + 0.978466e-6 * 9e10)
    defocus = 1.5e4 + 0.5e3 * math.cos(2 * math.radians(0 - 30))
    gamma = math.pi * wavelength * defocus * s**2 - math.pi / 2 * 2.7e7 * wavelength**3 * s**4
    expected = math.sin(gamma + math.asin(0.1)) * math.exp(-100 * s**2 / 4)
    assert ctf_images(ours, 64, 2.0)[0, 0, 5] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "O1.5 200 0 0 0",
        "E1 2 3",
        "E1 0 0 0 10 300 2.7 nan 0",
        "E1 0 0 0 10 0 2.7 1 0",
        "E1 0 0 0 999 300 2.7 1 0",
        "E1 0 0 0 10 300 2.7 1 0 3,1,2",
        "Ex 0 0 0 10 300 2.7 1 0",
    ],
)
def test_unusable(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        EmanCtf.from_text(text)


def test_curves_go_along() -> None:
    bare = EmanCtf.from_parameters(EmanCtf.from_text(TEXT).parameters(), 2.0)
    assert bare.snr == ()
    assert bare.with_curves_of(EmanCtf.from_text(TEXT)) == EmanCtf.from_text(TEXT)
    with pytest.raises(ValueError, match="no voltage"):
        EmanCtf.from_json({"defocus": 1, "ampcont": 10})


@pytest.mark.parametrize(
    ("amplitude", "shift_deg", "percent"),
    [
        (0.1, 0.0, 10.0),
        (1.0, 0.0, 100.0),
        (0.0, 80.0, 100 * math.sin(math.radians(80))),
        (0.0, 90.0, 100.0),
        (0.0, 100.0, 100 * (2 - math.sin(math.radians(80)))),
        (0.0, -100.0, -100 * (2 - math.sin(math.radians(80)))),
        (0.0, 170.0, 100 * (2 - math.sin(math.radians(10)))),
        (0.0, 270.0, -100.0),
        (0.0, 370.0, 100 * math.sin(math.radians(10))),
        (0.5, 45.0, 100 * math.sin(math.radians(75))),
        (0.5, 90.0, 100 * (2 - math.sin(math.radians(60)))),
    ],
)
def test_one_percentage_stands_for_both_phases(
    amplitude: float, shift_deg: float, percent: float
) -> None:
    """EMAN2's: 100 sin(phase) up to a quarter turn, +-100 (2 - sin |phase|) beyond."""
    values = {
        "rlnDefocusU": 12000.0,
        "rlnDefocusV": 11000.0,
        "rlnDefocusAngle": 20.0,
        "rlnVoltage": 300.0,
        "rlnSphericalAberration": 2.7,
        "rlnAmplitudeContrast": amplitude,
        "rlnPhaseShift": shift_deg,
        "rlnCtfBfactor": 50.0,
    }
    ctf = EmanCtf.from_parameters(values, 1.5)
    assert ctf.ampcont_percent == pytest.approx(percent, abs=1e-9)
    assert (ctf.defocus_um, ctf.dfdiff_um, ctf.dfang_deg) == pytest.approx((1.15, 0.1, 20))
    assert (ctf.bfactor_ang2, ctf.voltage_kv, ctf.cs_mm, ctf.apix) == (50, 300, 2.7, 1.5)
    assert (ctf.dsbg, ctf.background, ctf.snr) == (0, (), ())


@pytest.mark.parametrize(
    ("stated_deg", "believed"), [(-80.0, True), (-85.0, False), (95.0, True), (97.0, False)]
)
def test_a_phase_shift_that_cannot_be_is_not_believed(stated_deg: float, believed: bool) -> None:
    """What it leaves for the amplitude contrast is an angle of at most a quarter turn."""
    total = math.degrees(math.asin(0.1))  # 5.7: the rest is 85.7, 90.7, -89.3, -91.3
    found = EmanCtf.from_text(TEXT).parameters(stated_deg)
    alone = EmanCtf.from_text(TEXT).parameters()
    assert (alone["rlnPhaseShift"], alone["rlnAmplitudeContrast"]) == pytest.approx((0, 0.1))
    if believed:
        assert found["rlnPhaseShift"] == stated_deg
        rest = math.sin(math.radians(total - stated_deg))
        assert found["rlnAmplitudeContrast"] == pytest.approx(rest, rel=1e-12)
    else:
        assert found == alone


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("O1.5 200 0 0 0 0 0 0 0 0 0", "'O1.5 200 0 0 0 0 0 0' is not an EMAN2 CTF, which begins"),
        ("E1 2 3", "'E1 2 3' has 3 values, a CTF at least 9"),
        ("E1 0 0 0 10 300 2.7 1", "has 8 values, a CTF at least 9"),
        ("E1 0 0 0 10 300 2.7 inf 0", "inf is not a usable number"),
        ("E1 0 0 0 10 300 2.7 1 0 3,1,2", "a curve of 3 values has 2"),
        ("E1 0 0 0 10 300 2.7 1 0 0 1,1,2", "a curve of 1 values has 2"),
        ("E1 0 0 0 10 300 2.7 1 0 1,nan", "nan is not a usable number"),
    ],
)
def test_why_a_text_is_no_ctf(text: str, told: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        EmanCtf.from_text(text)
    assert told in str(caught.value)


def test_curves_may_be_left_out_or_end_with_a_comma() -> None:
    head = "E1 0 0 0 10 300 2.7 1 0.01"
    for tail, curves in (
        ("", ((), ())),
        (" 2,0.5,1", ((0.5, 1), ())),
        (" 2,0.5,1, 1,3", ((0.5, 1), (3,))),
        (" 0, 1,3 what else", ((), (3,))),
    ):
        ctf = EmanCtf.from_text(head + tail)
        assert (ctf.dsbg, (ctf.background, ctf.snr)) == (0.01, curves)


def test_json_form() -> None:
    ctf = EmanCtf.from_text(TEXT)
    assert ctf.json() == {
        "__class__": "EMAN2Ctf",
        "defocus": 1.5,
        "dfdiff": 0.1,
        "dfang": 30,
        "bfactor": 100,
        "ampcont": 10,
        "voltage": 300,
        "cs": 2.7,
        "apix": 2,
        "dsbg": 0.005,
        "background": [1, 0.5, 0.2],
        "snr": [0.1, 2.5, 1],
    }
    for name in ("defocus", "ampcont", "voltage", "cs"):
        less = {key: value for key, value in ctf.json().items() if key != name}
        with pytest.raises(ValueError, match=f"the CTF has no {name}"):
            EmanCtf.from_json(less)
    bare = EmanCtf.from_json({**ctf.json(), "snr": None})
    assert (bare.background, bare.snr) == (ctf.background, ())
    with pytest.raises(ValueError, match="nan is not a usable number"):
        EmanCtf.from_json({**ctf.json(), "cs": math.nan})
    with pytest.raises(ValueError, match="inf is not a usable number"):
        EmanCtf.from_json({**ctf.json(), "snr": [1, math.inf]})
