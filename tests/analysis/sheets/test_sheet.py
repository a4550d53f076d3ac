"""A table drawn by hand in its three forms."""

from __future__ import annotations

import csv
from dataclasses import replace
from io import StringIO

import pytest

from lesionlab.analysis.sheets.sheet import Column, Sheet, as_csv, as_html, as_markdown, as_page, columns, files_of

SHEET = Sheet(
    title="a < b",
    columns=(*columns("N", "Method"), *columns("mean", "p", group="Sensitivity"), *columns("mean", "p", group="PPV")),
    rows=(
        ("10", "FT", "0.55", "0.001*", "0.66", "<0.001*"),
        ("10", "DN", "0.49", "0.023", "0.32", "–"),
        ("20", "a | b", "0.59", "", "0.68", ""),
    ),
    heads=2,
    notes=("*: p ≤ 0.05/10.",),
)


def test_markdown_has_columns_of_equal_width():
    title, blank, *lines, gap, note = as_markdown(SHEET).rstrip("\n").split("\n")
    assert (title, blank, gap, note) == ("a < b", "", "", "*: p ≤ 0.05/10.")
    assert len({len(line) for line in lines}) == 1
    assert len(lines) == len(SHEET.rows) + 2
    assert "a \\| b" in lines[-1]


def test_csv_holds_every_cell_and_tells_the_columns_apart():
    rows = list(csv.DictReader(StringIO(as_csv(SHEET))))
    assert rows[1] == {
        "N": "10",
        "Method": "DN",
        "Sensitivity: mean": "0.49",
        "Sensitivity: p": "0.023",
        "PPV: mean": "0.32",
        "PPV: p": "–",
    }


def test_the_csv_alone_has_the_numbers_in_full_precision():
    numbers = ({"mean": 0.5512345678901234, "p": 0.001}, {"mean": float("inf"), "p": None}, {"mean": 2 / 3})
    sheet = replace(SHEET, numbers=numbers)
    lines = list(csv.DictReader(StringIO(as_csv(sheet))))
    assert [(line["mean"], line["p"]) for line in lines] == [
        ("0.5512345678901234", "0.001"),
        ("inf", ""),
        ("0.6666666666666666", ""),
    ]
    assert (as_html(sheet), as_markdown(sheet)) == (as_html(SHEET), as_markdown(SHEET))


def test_html_escapes_what_could_be_markup():
    page = as_html(Sheet("a < b", (Column("<b>"),), (("<i>",),)))
    assert "<b>" not in page
    assert "<i>" not in page
    assert "&lt;b&gt;" in page
    assert "<caption>a &lt; b</caption>" in page


def test_grouped_columns_stand_under_their_group():
    head = as_html(SHEET).split("</thead>")[0]
    assert head.count("<tr>") == 2
    assert head.count('colspan="2"') == head.count('rowspan="2"') == 2


@pytest.mark.parametrize("write", [as_markdown, as_html])
def test_what_a_row_is_about_is_told_once(write):
    text = write(SHEET)
    assert text.count("10 " if write is as_markdown else ">10<") == 1


def test_numbers_stand_right_and_starred_p_values_stand_out():
    page = as_html(SHEET)
    assert page.count('class="n star"') == 2
    assert '<td class="n">–</td>' in page
    assert '<th scope="row">FT</th>' in page


def test_a_table_that_the_page_may_sort_says_everything_in_every_row():
    assert as_html(Sheet("", columns("N", "x"), (("10", "a"), ("10", "b")), sortable=True)).count(">10<") == 2


def test_each_sheet_is_written_in_each_format():
    files = files_of({"drawn": SHEET})
    assert list(files) == ["drawn.csv", "drawn.md", "drawn.html"]
    assert files["drawn.html"] == as_page(SHEET)
    assert '<meta charset="utf-8">' in files["drawn.html"]
