"""Whether classes go with something of the experiment: defocus, micrograph, view, scale ...

Classes of structures do not depend on these, as a rule; classes of artefacts do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd
import scipy  # its parts are loaded when they are used

from mapsort.array_types import Float64, Indices, Integer
from mapsort.io.optics import GROUP
from mapsort.rundir.result_record import ResultCurves, ResultRecord, ResultTable
from mapsort.rundir.verdict_record import Cause, ShellGain, Split

#: Share of the variance that classes explain, and corrected Cramer's V, from which on an effect is
#: large enough to be told (Cohen 1988: medium), if it is beyond chance by this (Holm).
LARGE_ETA2, LARGE_V, CHANCE = 0.06, 0.3, 1e-3
#: Areas that views are put into: bands of equal area, and parts of each.
_BANDS, _PARTS = 3, 4
_ETA2, _V = "eta squared", "Cramer's V"


def causes(table: pd.DataFrame, classes: Integer) -> tuple[Cause, ...]:
    """Test every property in a particle table against the classes.

    Parameters
    ----------
    table : DataFrame
        RELION's and mapsort's columns; what is missing or constant is left out.
    classes : ndarray of shape (n,)

    Returns
    -------
    tuple of Cause
        Numbers by Kruskal and Wallis' test, kinds by chi-squared; p-values are corrected for how
        many there are (Holm).
    """
    numbers, kinds = numeric_properties(table), _kinds(table)
    found = [(name, *_of_numbers(values, classes)) for name, values in numbers] + [
        (name, _V, *of_kinds(values, classes)) for name, values in kinds
    ]
    corrected = _holm([p for _, _, _, p in found])
    return tuple(
        Cause(
            name=name,
            measure=measure,
            effect=effect,
            p_value=p,
            large=p < CHANCE and effect >= (LARGE_ETA2 if measure == _ETA2 else LARGE_V),
        )
        for (name, measure, effect, _), p in zip(found, corrected, strict=True)
    )


def numeric_properties(table: pd.DataFrame) -> Iterator[tuple[str, Float64]]:
    """Yield the properties of particles that are numbers, if the table has them."""

    def column(name: str) -> Float64:
        return np.asarray(pd.to_numeric(table[name], errors="coerce"), dtype=np.float64)

    made: dict[str, tuple[tuple[str, ...], Callable[..., Float64]]] = {
        "defocus": (("rlnDefocusU", "rlnDefocusV"), lambda u, v: 0.5 * (u + v)),
        "shift": (("rlnOriginXAngst", "rlnOriginYAngst"), np.hypot),
        "scale": (("mapsortScale",), np.asarray),
        "outlier score": (("mapsortOutlierScore",), np.asarray),
    }
    for name, (needs, make) in made.items():
        if all(each in table for each in needs):
            values = make(*map(column, needs))
            if np.isfinite(values).all() and np.ptp(values) > 0:
                yield name, values


def _kinds(table: pd.DataFrame) -> Iterator[tuple[str, Indices]]:
    """Yield the properties that are kinds, as numbers from 0."""
    for name, column in (("micrograph", "rlnMicrographName"), ("optics group", GROUP)):
        if column in table:
            kinds = np.asarray(table[column].factorize()[0], dtype=np.intp)
            if kinds.max() > 0:
                yield name, kinds
    if "rlnAngleRot" in table and "rlnAngleTilt" in table:
        yield (
            "view",
            views(table["rlnAngleRot"].to_numpy(float), table["rlnAngleTilt"].to_numpy(float)),
        )


def views(rot_deg: Float64, tilt_deg: Float64) -> Indices:
    """Return in which of 12 equal areas of the sphere views lie, (n,)."""
    height = np.cos(np.deg2rad(tilt_deg))
    band = np.clip(((height + 1.0) / 2.0 * _BANDS).astype(np.intp), 0, _BANDS - 1)
    part = np.clip((np.mod(rot_deg, 360.0) / 360.0 * _PARTS).astype(np.intp), 0, _PARTS - 1)
    return np.asarray(_PARTS * band + part)


def _of_numbers(values: Float64, classes: Integer) -> tuple[str, float, float]:
    """Return measure, effect and p-value: ranks of the values against the classes."""
    groups = [values[classes == each] for each in np.unique(classes)]
    height, p = scipy.stats.kruskal(*groups)
    effect = (float(height) - len(groups) + 1) / max(len(values) - len(groups), 1)
    return _ETA2, max(0.0, effect), float(p)


def of_kinds(kinds: Integer, classes: Integer) -> tuple[float, float]:
    """Return Cramer's V, free of what chance makes of few, and the p-value of chi-squared."""
    table = scipy.stats.contingency.crosstab(kinds, classes).count
    n, (rows, columns) = table.sum(), table.shape
    if min(rows, columns) < 2:
        return 0.0, 1.0
    squared, p, _, _ = scipy.stats.chi2_contingency(table, correction=False)
    # Bergsma, J. Korean Stat. Soc. 42 (2013) 323.
    phi2 = max(0.0, squared / n - (rows - 1) * (columns - 1) / (n - 1))
    fewer = min(rows - (rows - 1) ** 2 / (n - 1), columns - (columns - 1) ** 2 / (n - 1))
    return float(np.sqrt(phi2 / max(fewer - 1, 1e-9))), float(p)


def _holm(chances: list[float]) -> list[float]:
    """Return p-values corrected for their number."""
    order = np.argsort(chances, kind="stable")
    corrected, highest = np.empty(len(chances)), 0.0
    for rank, place in enumerate(order):
        highest = max(highest, min(1.0, (len(chances) - rank) * chances[place]))
        corrected[place] = highest
    return [float(p) for p in corrected]


def causes_record(found: tuple[Cause, ...], split: Split | None) -> ResultRecord:
    """Return the tests, and at what resolution the classes differ, for the report."""
    table = ResultTable.of(
        "Classes against the experiment",
        found,
        {
            "property": lambda item: item.name,
            "measure": lambda item: item.measure,
            "effect": lambda item: item.effect,
            "p (Holm)": lambda item: item.p_value,
            "large": lambda item: "yes" if item.large else "",
        },
    )
    words = (
        "Classes of structures do not go with these, as a rule. Large: classes explain at least "
        f"{LARGE_ETA2:.0%} of the ranks' variance, or Cramer's V (free of chance) is at least "
        f"{LARGE_V:g}, and p is below {CHANCE:g}."
    )
    if split is None or not split.shells:
        return ResultRecord(title="Why a class", summary=(words,), tables=(table,))
    shells = (
        "What each resolution shell adds to the gain of the split, once the shells before it were "
        "seen, for particles that nothing was made of; they add up to "
        f"{split.gain_nats:+.2f} nat. Classes of one structure gain about 0 in every shell."
    )
    return ResultRecord("Why a class", (words, shells), (table,), (_by_shell(split.shells),))


def _by_shell(shells: tuple[ShellGain, ...]) -> ResultCurves:
    return ResultCurves(
        caption="Gain of the split by resolution shell",
        x_label="1/A",
        y_label="gain [nat a particle]",
        x=tuple(1 / shell.resolution_ang for shell in shells),
        names=("gain",),
        curves=(tuple(shell.gain_nats for shell in shells),),
        thresholds=(0.0,),
        errors=(tuple(shell.error_nats for shell in shells),),
    )
