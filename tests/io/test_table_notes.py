"""Columns that are not applied, units that can hardly be meant, origins and disabled particles."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mapsort.errors import FormatError
from mapsort.io.star import read_noted_particles, write_particles
from mapsort.io.table_notes import table_notes

N = 24
FULL = {
    "rlnDefocusU": np.linspace(8000, 20000, N),
    "rlnDefocusV": np.linspace(8000, 20000, N),
    "rlnDefocusAngle": np.linspace(-80, 80, N),
}
SCOPE = {
    "rlnVoltage": 300.0,
    "rlnSphericalAberration": 2.7,
    "rlnAmplitudeContrast": 0.1,
    "rlnImagePixelSize": 1.2,
    "rlnMagMat00": 1.0,
    "rlnMagMat01": 0.0,
    "rlnOddZernike": "[0,0,0.0,0]",
    "rlnBeamTiltX": 0.0,
    "rlnCtfDataAreCtfPremultiplied": 0,
}


def tables(**changed: object) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Ordinary tables but for some columns."""
    optics = pd.DataFrame({"rlnOpticsGroup": [1, 2]} | {k: [v, v] for k, v in SCOPE.items()})
    names = [f"{number}@a.mrcs" for number in range(1, N + 1)]
    particles = pd.DataFrame({"rlnImageName": names, "rlnOpticsGroup": 1} | FULL)
    for label, value in changed.items():
        if label in FULL or label not in SCOPE:
            particles[label] = value
        else:
            optics[label] = value
    return optics, particles


def notes(**changed: object) -> list[str]:
    return table_notes(Path("p.star"), *tables(**changed))


def test_an_ordinary_table_has_none() -> None:
    assert notes() == []
    assert notes(rlnVoltage=[300.0, 300e3]) == []  # of a group that no particle is in
    assert notes(rlnDefocusU=0.0, rlnSphericalAberration=0.0) == []


@pytest.mark.parametrize(
    ("label", "value"),
    [
        ("rlnMagMat00", 1.04),
        ("rlnMagMat01", 1e-3),
        ("rlnBeamTiltX", -0.5),
        ("rlnBeamTiltY", 0.1),
        ("rlnOddZernike", "[0,0,1e-3,0]"),
        ("rlnEvenZernike", "[45.4,-1.5]"),
        ("rlnCtfScalefactor", 0.8),
    ],
)
def test_columns_that_are_not_applied(label: str, value: object) -> None:
    (note,) = notes(**{label: value})
    assert note.startswith(f"p.star: {label}: not applied; ")


def test_several_are_one_note() -> None:
    (note,) = notes(rlnMagMat00=0.96, rlnBeamTiltX=0.5)
    assert note.startswith("p.star: rlnMagMat00, rlnBeamTiltX: not applied; ")
    (note,) = notes(rlnCtfDataAreCtfPremultiplied=1)
    assert "rlnCtfDataAreCtfPremultiplied is 1" in note


@pytest.mark.parametrize(
    ("label", "value", "told"),
    [
        ("rlnDefocusU", 1.5, "rlnDefocusU is 1.5, taken as A; is it in another unit (micrometres"),
        ("rlnDefocusV", -2.0, "rlnDefocusV is -2, taken as A; is it in another unit (micrometres"),
        ("rlnDefocusU", 1.5e-6, "(micrometres"),
        ("rlnDefocusU", 1.5e6, "(not Angstrom)"),
        ("rlnVoltage", 300e3, "rlnVoltage is 300000, taken as kV; is it in another unit (volts"),
        ("rlnVoltage", 0.3, "(megavolts"),
        ("rlnSphericalAberration", 2700.0, "(micrometres, 0.001 mm each)"),
        ("rlnSphericalAberration", 2.7e7, "taken as mm"),
        (
            "rlnAmplitudeContrast",
            10.0,
            "rlnAmplitudeContrast is 10; is it in another unit (percent",
        ),
        (
            "rlnImagePixelSize",
            0.12,
            "rlnImagePixelSize is 0.12, taken as A; is it in another unit (nano",
        ),
        ("rlnImagePixelSize", 120.0, "(picometres"),
        ("rlnDefocusAngle", np.linspace(-1.5, 1.5, N), "lies between -1.5 and 1.5"),
        ("rlnAngleRot", np.linspace(-3.14, 3.14, N), "is it in radians?"),
    ],
)
def test_units_that_can_hardly_be_meant(label: str, value: object, told: str) -> None:
    (note,) = notes(**{label: value})
    assert told in note


def written(path: Path, **changed: object) -> Path:
    optics, particles = tables(**changed)
    write_particles(path, optics, particles)
    return path


def test_origins_in_pixels_beside_optics_groups(tmp_path: Path) -> None:
    x, y = np.linspace(-3, 3, N), np.linspace(2, -2, N)
    path = written(tmp_path / "px.star", rlnOriginX=x, rlnOriginY=y)
    _, particles, told = read_noted_particles(path)
    np.testing.assert_allclose(particles["rlnOriginXAngst"], 1.2 * x)
    np.testing.assert_allclose(particles["rlnOriginYAngst"], 1.2 * y)
    assert not {"rlnOriginX", "rlnOriginY"} & set(particles)
    assert told == []
    # With another pixel size, pixels are pixels still.
    particles = read_noted_particles(path, apix=2.0)[1]
    np.testing.assert_allclose(particles["rlnOriginXAngst"], 2.0 * x)


def test_origins_of_both_kinds(tmp_path: Path) -> None:
    x = np.linspace(-3, 3, N)
    both = {"rlnOriginX": x, "rlnOriginXAngst": 1.2 * x + 0.001}
    _, particles, told = read_noted_particles(written(tmp_path / "a.star", **both))
    np.testing.assert_allclose(particles["rlnOriginXAngst"], 1.2 * x + 0.001)
    assert told == []
    both["rlnOriginXAngst"] = np.where(np.arange(N) < 3, 1.2 * x, 1.2 * x + 4)
    path = written(tmp_path / "b.star", **both)
    _, particles, told = read_noted_particles(path)
    np.testing.assert_allclose(particles["rlnOriginXAngst"], both["rlnOriginXAngst"])
    assert told == [
        f"{path}: rlnOriginX and rlnOriginXAngst disagree for 21 of 24 particles "
        "(particle 4: -2.66087 and 1.33913 A); rlnOriginXAngst is used"
    ]


def test_disabled_particles_are_left_out(tmp_path: Path) -> None:
    enabled = np.ones(N, dtype=int)
    enabled[3], enabled[5] = -1, 0
    path = written(tmp_path / "p.star", rlnEnabled=enabled)
    _, particles, told = read_noted_particles(path)
    kept = [number for number in range(1, N + 1) if number not in (4, 6)]
    assert particles["rlnImageName"].tolist() == [f"{number}@a.mrcs" for number in kept]
    assert particles.index.tolist() == list(range(N - 2))
    assert told == [f"{path}: 2 of 24 particles are left out: rlnEnabled is 0 or -1"]
    written(path, rlnEnabled=1)
    assert len(read_noted_particles(path)[1]) == N
    written(path, rlnEnabled=-1)
    with pytest.raises(FormatError, match=r"rlnEnabled is 0 or -1 for all 24 particles"):
        read_noted_particles(path)
