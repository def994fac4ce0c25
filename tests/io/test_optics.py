"""Optics groups from columns that every particle carries."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from mapsort.io.optics import GROUP, PIXEL, group_optics


def table(groups: list[Any] | None, voltages: list[float]) -> pd.DataFrame:
    made = pd.DataFrame({"rlnVoltage": voltages, PIXEL: 1.5, "rlnDefocusU": range(len(voltages))})
    return made if groups is None else made.assign(**{GROUP: groups})


def test_every_particle_gets_its_own_values_back() -> None:
    before = table([7, 7, 2, 9, 2], [300, 300, 200, 300, 200])
    optics, particles = group_optics(before)
    assert optics.columns.tolist() == [
        GROUP,
        "rlnOpticsGroupName",
        "rlnVoltage",
        PIXEL,
        "rlnImageDimensionality",
    ]
    assert optics[GROUP].tolist() == [7, 2, 9]
    assert optics["rlnOpticsGroupName"].tolist() == ["opticsGroup7", "opticsGroup2", "opticsGroup9"]
    assert optics["rlnImageDimensionality"].tolist() == [2, 2, 2]
    assert set(particles.columns) == {GROUP, "rlnDefocusU"}
    after = particles.merge(optics, on=GROUP, how="left", validate="many_to_one")
    pd.testing.assert_frame_equal(after[before.columns], before)


@pytest.mark.parametrize(
    ("groups", "voltages", "expected"),
    [
        # One number for two voltages is no number of a group.
        ([4, 4, 5], [300.0, 200.0, 300.0], [1, 2, 3]),
        ([1.5, 2.0, 2.0], [300.0, 300.0, 300.0], [1, 2, 2]),
        (["a", "b", "a"], [300.0, 300.0, 300.0], [1, 2, 1]),
        ([np.inf, 3.0, 3.0], [300.0, 300.0, 300.0], [1, 2, 2]),
        ([1e12, 3.0, 3.0], [300.0, 300.0, 300.0], [1, 2, 2]),
        (["3", "8", "3"], [300.0, 300.0, 300.0], [3, 8, 3]),
        ([-3.0, 8.0, 8.0], [300.0, 300.0, 300.0], [-3, 8, 8]),
        (None, [300.0, 200.0, 300.0], [1, 2, 1]),
    ],
)
def test_numbers_are_the_groups_own_or_count_from_one(
    groups: list[Any] | None, voltages: list[float], expected: list[int]
) -> None:
    optics, particles = group_optics(table(groups, voltages))
    assert particles[GROUP].tolist() == expected
    of_group = dict(zip(optics[GROUP], optics["rlnVoltage"], strict=True))
    assert [of_group[number] for number in expected] == voltages


def test_without_a_shared_column_all_are_one_group() -> None:
    optics, particles = group_optics(pd.DataFrame({"rlnDefocusU": [1.0, 2.0]}))
    assert optics[GROUP].tolist() == [1]
    assert particles[GROUP].tolist() == [1, 1]
    names = pd.DataFrame({"rlnOpticsGroupName": ["mine", "mine"], "rlnImageDimensionality": 3})
    kept, _ = group_optics(names)
    assert kept["rlnOpticsGroupName"].tolist() == ["mine"]
    assert kept["rlnImageDimensionality"].tolist() == [3]
