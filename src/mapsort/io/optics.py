"""Optics groups made from columns that every particle carries."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

GROUP = "rlnOpticsGroup"
PIXEL = "rlnImagePixelSize"
FLIPPED = "rlnCtfDataArePhaseFlipped"
PREMULTIPLIED = "rlnCtfDataAreCtfPremultiplied"
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

    Parameters
    ----------
    particles : DataFrame
        One row per particle. A column ``rlnOpticsGroup`` gives the groups their numbers if each of
        its numbers stands for one combination; otherwise groups count from 1.
    labels : sequence of str, optional
        Columns to move; those that are absent are left out.

    Returns
    -------
    optics, particles : DataFrame
        With ``rlnOpticsGroup`` in both.
    """
    shared = [label for label in labels if label in particles]
    keys = particles[shared].reset_index(drop=True)
    codes = (
        keys.groupby(shared, sort=False, dropna=False).ngroup().to_numpy(dtype=np.int64)
        if shared
        else np.zeros(len(particles), dtype=np.int64)
    )
    optics = keys.loc[~pd.Series(codes).duplicated()].reset_index(drop=True)
    numbers = _numbers(particles, codes)
    optics.insert(0, GROUP, numbers)
    if "rlnOpticsGroupName" not in optics:
        optics.insert(1, "rlnOpticsGroupName", [f"opticsGroup{number}" for number in numbers])
    if "rlnImageDimensionality" not in optics:
        optics["rlnImageDimensionality"] = 2
    rest = particles.drop(columns=[*shared, *([GROUP] if GROUP in particles else [])])
    return optics, rest.assign(**{GROUP: numbers[codes]})


def _numbers(particles: pd.DataFrame, codes: np.ndarray) -> np.ndarray:
    counted = np.arange(1, codes.max(initial=-1) + 2, dtype=np.int64)
    if GROUP not in particles:
        return counted
    stated = pd.to_numeric(particles[GROUP], errors="coerce").to_numpy(dtype=np.float64)
    pairs = pd.DataFrame({"code": codes, "stated": stated}).drop_duplicates()
    usable = (stated == np.round(stated)).all() and not pairs["stated"].duplicated().any()
    if not usable or len(pairs) != len(counted):
        return counted
    return pairs.sort_values("code")["stated"].to_numpy(dtype=np.int64)
