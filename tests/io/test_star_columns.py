"""The fast reader of a few columns gives what the full reader gives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mapsort.errors import FormatError
from mapsort.io.star import read_particles, write_particles
from mapsort.io.star_tables import read_columns, write_tables

OPTICS = pd.DataFrame({"rlnOpticsGroup": [1], "rlnImagePixelSize": [1.5], "name": ["a b"]})
FLOATS = st.floats(allow_nan=False, allow_infinity=False, width=64)


@given(st.lists(st.tuples(FLOATS, st.integers(-5, 5)), min_size=1, max_size=30))
def test_as_the_full_reader(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("star") / "particles.star"
    table = pd.DataFrame(
        {
            "rlnImageName": [f"{i + 1:06d}@a b.mrcs" for i in range(len(rows))],
            "rlnOpticsGroup": 1,
            "rlnAngleRot": [value for value, _ in rows],
            "rlnClassNumber": [number for _, number in rows],
        }
    )
    write_particles(path, OPTICS, table)
    found = read_columns(path, "particles", ["rlnClassNumber", "rlnAngleRot", "absent"])
    whole = read_particles(path)[1]
    assert sorted(found) == ["rlnAngleRot", "rlnClassNumber"]
    for name in found:
        # pandas' fast parser is right to the last digit but one.
        np.testing.assert_allclose(found[name], whole[name].astype(float), rtol=1e-15)


def test_what_cannot_be_read(tmp_path):
    path = tmp_path / "a.star"
    with pytest.raises(FormatError, match="no such file"):
        read_columns(path, "particles", ["x"])
    path.write_text("data_optics\nloop_\n_x #1\n1\n")
    with pytest.raises(FormatError, match="no loop data_particles"):
        read_columns(path, "particles", ["x"])
    path.write_text("data_particles\nloop_\n_x #1\n_y #2\n1 2\nword 3\n")
    with pytest.raises(FormatError, match="not columns of numbers"):
        read_columns(path, "particles", ["x"])
    assert read_columns(path, "particles", ["y"])["y"].tolist() == [2.0, 3.0]


def test_names_with_quotes_do_not_shift_columns(tmp_path: Path) -> None:
    path = tmp_path / "t.star"
    for name in ("1@O'Neil.mrcs", '1@a "b" c.mrcs', "1@a b#c.mrcs", '1@5".mrcs'):
        table = pd.DataFrame({"rlnImageName": ["1@a.mrcs", name], "rlnA": [1.5, 2.5]})
        write_tables(path, {"particles": table})
        assert read_columns(path, "particles", ["rlnA"])["rlnA"].tolist() == [1.5, 2.5]
