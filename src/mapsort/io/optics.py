"""Optics groups made from columns that every particle carries."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from mapsort.array_types import Int64

GROUP = "rlnOpticsGroup"
PIXEL = "rlnImagePixelSize"
FLIPPED = "rlnCtfDataArePhaseFlipped"
PREMULTIPLIED = "rlnCtfDataAreCtfPremultiplied"
#: Of a particle: -1 where its image holds dark density in its file.
IMAGE_SIGN = "mapsortImageSign"
#: RELION labels whose place is the optics table.
OPTICS_LABELS = (
    "rlnOpticsGroupName",
    "rlnVoltage",
    "rlnSphericalAberration",
    "rlnAmplitudeContrast",
    PIXEL,
    "rlnImageSize",
    "rlnImageDimensionality",
    "rlnMicrographPixelSize",
    "rlnMicrographOriginalPixelSize",
    PREMULTIPLIED,
    FLIPPED,
    "rlnMtfFileName",
    "rlnBeamTiltX",
    "rlnBeamTiltY",
    "rlnOddZernike",
    "rlnEvenZernike",
    "rlnMagMat00",
    "rlnMagMat01",
    "rlnMagMat10",
    "rlnMagMat11",
)


def group_optics(
    particles: pd.DataFrame, labels: Sequence[str] = OPTICS_LABELS
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Move columns from the particles to an optics table, one row per distinct combination.

    A column ``rlnOpticsGroup`` keeps groups apart, and gives them their numbers if each of its
    numbers stands for one combination; otherwise they count from 1. Both tables have it in the end;
    labels that are absent are left out.
    """
    shared = [label for label in labels if label in particles]
    stated = [GROUP] if GROUP in particles else []
    keys = particles[[*stated, *shared]].reset_index(drop=True)
    codes = (
        keys.groupby([*stated, *shared], sort=False, dropna=False).ngroup().to_numpy(dtype=np.int64)
        if len(keys.columns)
        else np.zeros(len(particles), dtype=np.int64)
    )
    optics = keys.loc[~pd.Series(codes).duplicated()].reset_index(drop=True)
    numbers = _numbers(optics)
    optics = optics[shared]
    optics.insert(0, GROUP, numbers)
    if "rlnOpticsGroupName" not in optics:
        optics.insert(1, "rlnOpticsGroupName", [f"opticsGroup{number}" for number in numbers])
    if "rlnImageDimensionality" not in optics:
        optics["rlnImageDimensionality"] = 2
    rest = particles.drop(columns=[*shared, *stated])
    return optics, rest.assign(**{GROUP: numbers[codes]})


def one_group(
    apix: float,
    box: int,
    *,
    name: str = "opticsGroup1",
    voltage_kv: float = 300.0,
    cs_mm: float = 2.7,
    amplitude_contrast: float = 0.1,
) -> pd.DataFrame:
    """Return an optics table of one group, as RELION 3.1 writes it."""
    return pd.DataFrame(
        {
            GROUP: [1],
            "rlnOpticsGroupName": [name],
            "rlnVoltage": [voltage_kv],
            "rlnSphericalAberration": [cs_mm],
            "rlnAmplitudeContrast": [amplitude_contrast],
            PIXEL: [apix],
            "rlnImageSize": [box],
            "rlnImageDimensionality": [2],
        }
    )


def _numbers(optics: pd.DataFrame) -> Int64:
    """Return the groups' numbers: their own if each is a number that one group has."""
    if GROUP in optics:
        stated = pd.to_numeric(optics[GROUP], errors="coerce").to_numpy(dtype=np.float64)
        usable = np.isfinite(stated) & (np.abs(stated) < 1e9)
        if usable.all() and (stated == np.round(stated)).all() and len(set(stated)) == len(stated):
            return stated.astype(np.int64)
    return np.arange(1, len(optics) + 1, dtype=np.int64)
