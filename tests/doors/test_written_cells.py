"""No cell of a CSV that we write is executed by a spreadsheet, and no number is changed."""

from __future__ import annotations

import csv
import io

import pytest

from jobs.shared.output_file import csv_text as command_csv
from lesionlab.analysis.sheets.records import csv_text as report_csv
from lesionlab.delimited import shown_as_text

FORMULAS = ["=1+1", '=HYPERLINK("http://x","y")', "@SUM(A1)", "+cmd|' /c calc'!A0", "-2+3+cmd|' /c calc'!A0", "\t=1"]
PLAIN = ["sub-01", "-0.05", "+0.12", "−0.03", "-0.05 to +0.10", "-", "", "a=b", 3, -4.5, None]


@pytest.mark.parametrize("cell", FORMULAS)
def test_a_formula_is_written_as_text(cell: str) -> None:
    for text in (command_csv(("name",), [{"name": cell}]), report_csv([{"name": cell}])):
        (line,) = csv.DictReader(io.StringIO(text))
        assert line["name"] == f"'{cell}"


@pytest.mark.parametrize("cell", PLAIN)
def test_any_other_cell_is_written_as_it_is(cell: object) -> None:
    assert shown_as_text([cell]) == [cell]


def test_a_column_that_is_not_declared_is_an_error_of_ours() -> None:
    with pytest.raises(ValueError, match="not declared"):
        command_csv(("name",), [{"other": 1}])
