"""Results of jobs after the run: written, read back, refused when damaged."""

from __future__ import annotations

import pytest

from mapsort.errors import FormatError
from mapsort.rundir.result_record import (
    ResultCurves,
    ResultMatrix,
    ResultRecord,
    ResultTable,
    read_results,
    write_result,
)

RECORD = ResultRecord(
    title="Cross-validation",
    summary=("supported", "every set returns to its own map"),
    tables=(ResultTable("t", ("set", "n", "x"), (("m1", 3, 0.5), ("m2", 4, None))),),
    curves=(ResultCurves("c", "1/A", "FSC", (0.0, 0.1), ("a",), ((1.0, 0.5),), (0.143,)),),
    matrices=(ResultMatrix("m", ("1", "2"), ("1", "2"), ((1.0, None), (0.5, 1.0))),),
)


def test_read_back_as_written_in_the_order_of_names(tmp_path):
    other = ResultRecord("Sets", ())
    assert write_result(tmp_path, "4_crossval", RECORD).name == "result_4_crossval.json"
    write_result(tmp_path, "1_split", other)
    assert read_results(tmp_path) == [other, RECORD]
    assert read_results(tmp_path / "none") == []


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"title": "a", "summary": 3}'])
def test_a_damaged_result_is_named(tmp_path, text):
    (tmp_path / "result_1_split.json").write_text(text)
    with pytest.raises(FormatError, match=r"result_1_split\.json: not a (result|JSON)"):
        read_results(tmp_path)


def test_numbers_that_json_has_not_are_gaps(tmp_path):
    odd = ResultRecord("a", (), tables=(ResultTable("t", ("x",), ((float("nan"),),)),))
    write_result(tmp_path, "x", odd)
    assert read_results(tmp_path)[0].tables[0].rows == ((None,),)
