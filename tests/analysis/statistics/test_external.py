"""Tables that were made elsewhere: what is read, what it means for the statistics, and every fault with its line."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from lesionlab.analysis.sheets.records import csv_text, studies_csv
from lesionlab.analysis.statistics import external
from lesionlab.analysis.statistics.comparisons import compare
from lesionlab.analysis.statistics.conditions import value_of
from lesionlab.analysis.statistics.external import REQUIRED, TableRow, read_table, unit_of
from lesionlab.errors import InputError
from storage_schemas.metrics import PRIMARY
from tests.analysis.drawn_rows import drawn_rows

HEADER = "study,patient,site,arm,training_size,fold,sensitivity,ppv"
LINES = [
    "sub-01,p01,north,Default,0,1,0.35,0.95",
    "sub-01,p01,north,FT,10,1,0.55,0.66",
    "sub-01,p01,north,DN,10,1,0.48,",
    "sub-11,p11,south,FT,10,2,0.61,0.70",
    "sub-11,p11,south,DN,10,2,0.52,0.31",
]


@pytest.fixture
def table(tmp_path: Path):
    def write(*lines: str, header: str = HEADER, encoding: str = "utf-8") -> Path:
        path = tmp_path / "rows.csv"
        path.write_text("\n".join([header, *lines]) + "\n", encoding=encoding)
        return path

    return write


def faults_of(path: Path) -> list[str]:
    with pytest.raises(InputError) as refused:
        read_table(path)
    return [fault.removeprefix(str(path)).removeprefix(", ").removeprefix(": ") for fault in refused.value.args]


def test_the_example_of_the_documentation_is_read(table):
    assert external.__doc__ is not None
    example = [line.strip() for line in external.__doc__.splitlines() if line.startswith("    ")]
    rows = read_table(table(*example[1:], header=example[0])).rows
    assert [row.arm for row in rows] == ["default", "fine-tuned", "de-novo", "fine-tuned", "de-novo"]
    assert rows[2].ppv is None
    assert rows[1].sensitivity == 0.55


@pytest.mark.parametrize(
    ("name", "arm"),
    [
        ("FT", "fine-tuned"),
        ("fine-tuned", "fine-tuned"),
        ("DN", "de-novo"),
        ("De novo", "de-novo"),
        ("Default", "default"),
        ("Grader 2", "rater"),
        ("rater", "rater"),
    ],
)
def test_arms_have_our_names_or_the_papers(table, name, arm):
    size = 10 if arm in ("fine-tuned", "de-novo") else 0
    (row,) = read_table(table(f"sub-01,p01,north,{name},{size},1,0.5,0.5")).rows
    assert row.arm == arm


def test_columns_come_in_any_order_and_further_ones_are_ignored(table):
    read = read_table(
        table("0.2,0.1,3,10,DN,x,p,s,57", header="PPV,Sensitivity,fold,training_size,arm,site,patient,study,age")
    )
    (row,) = read.rows
    assert read.columns == REQUIRED
    assert row == TableRow(
        study="s", patient="p", site="x", arm="de-novo", training_size=10, fold=3, sensitivity=0.1, ppv=0.2
    )


def test_a_table_saved_by_a_spreadsheet_is_read(table):
    path = table(*LINES, encoding="utf-8-sig")
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n") + b",,,,,,,\r\n")
    assert len(read_table(path).rows) == len(LINES)


def unpaired(rows, unit):
    return [(effect.metric, effect.p) for effect in compare(rows, rows, unit) if effect.test == "unpaired-t"]


def as_table(rows, path, columns):
    path.write_text(csv_text([row.model_dump(include=set(columns)) for row in rows]))
    return read_table(path)


def test_no_p_value_depends_on_what_studies_are_called(tmp_path):
    rows = drawn_rows(3, {"fine-tuned": 0.7, "de-novo": 1.0}, sizes=(10, 50))
    # Each study's name is handed on to another one of its fold: only the order of the names changes.
    called = {f"sub-{number:03d}": f"sub-{10 * (number // 10) + (7 * number + 3) % 10:03d}" for number in range(60)}
    renamed = [row.model_copy(update={"study": called[row.study]}) for row in rows]
    one, other = (as_table(own, tmp_path / "rows.csv", [*REQUIRED, "source"]) for own in (rows, renamed))
    assert unit_of(one, None) == "per-study"
    for before, after in zip(unpaired(one.rows, "per-study"), unpaired(other.rows, "per-study"), strict=True):
        assert before == (after[0], pytest.approx(after[1]))


def test_places_are_averaged_over_the_folds_where_the_table_has_them(tmp_path):
    rows = drawn_rows(3, {"fine-tuned": 0.7, "de-novo": 1.0}, sizes=(10, 50))
    table = as_table(rows, tmp_path / "rows.csv", TableRow.model_fields)
    assert unit_of(table, None) == unit_of(table, "fold-averaged") == "fold-averaged"
    assert unit_of(table, "per-study") == "per-study"


def test_our_own_rows_written_as_a_table_give_the_same_comparisons(rows, cells, tmp_path):
    path = tmp_path / "studies.csv"
    path.write_text(studies_csv(rows))
    again = read_table(path)
    assert compare(again.rows, again.rows, unit_of(again, None)) == compare(rows, cells, "fold-averaged")


@pytest.mark.parametrize(
    ("lines", "header", "reason"),
    [
        (LINES, HEADER, "add the column position (from 1 in each fold, drawn by chance), or take --unit per-study"),
        (
            ["s1,p1,x,FT,10,1,0.5,0.5,1,a", "s1,p1,x,FT,10,2,0.5,0.5,1,b"],
            HEADER + ",position,train_site",
            "wanted a rotation, which tests a study in one fold; s1 is in folds 1, 2",
        ),
        (
            ["s1,p1,x,FT,10,1,0.5,0.5,1", "s2,p2,x,FT,10,1,0.5,0.5,2", "s3,p3,y,FT,10,2,0.5,0.5,1"],
            HEADER + ",position",
            "wanted the same places in every fold; fold 2 lacks 2",
        ),
    ],
    ids=["no places", "no rotation", "folds of other sizes"],
)
def test_where_places_mean_nothing_they_are_not_averaged(table, lines, header, reason):
    read = read_table(table(*lines, header=header))
    assert unit_of(read, None) == "per-study"
    with pytest.raises(InputError, match=re.escape(reason)):
        unit_of(read, "fold-averaged")


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("sub-02,p,x,fine_tuned,10,1,0.5,0.5", "arm: wanted fine-tuned (FT), de-novo (DN), default"),
        ("sub-02,p,x,FT,10,1,55,0.5", "sensitivity: Input should be less than or equal to 1; found '55'"),
        ("sub-02,p,x,FT,10,1,inf,0.5", "sensitivity: Input should be less than or equal to 1; found 'inf'"),
        ("sub-02,p,x,FT,10,1,0.5,high", "ppv: wanted a number, or an empty cell"),
        ('sub-02,p,x,FT,10,1,0.5,"1,234"', "ppv: wanted a number, or an empty cell"),
        ("sub-02,p,x,FT,10,1,1.001,0.5", "sensitivity: Input should be less than or equal to 1; found '1.001'"),
        ("sub-02,NA,x,FT,10,1,0.5,0.5", "patient: wanted a value; found 'NA'"),
        ("sub-02,p,x,FT,10,1,0,35,0.5", "found 9; if numbers have decimal commas, separate the columns by semicolons"),
        ('sub-02,p,x,FT,10,1,0.5,"0.5', "a quote that is never closed"),
        ("sub-02,p,x,FT,ten,1,0.5,0.5", "training_size: wanted a whole number"),
        ("sub-02,p,x,FT,0,1,0.5,0.5", "training_size: wanted 1 at least for fine-tuned, found 0"),
        ("sub-02,p,x,Default,10,1,0.5,0.5", "training_size: wanted 0 for default, found 10"),
        ("sub-02,p,x,FT,10,0,0.5,0.5", "fold: Input should be greater than or equal to 1"),
        ("sub-02,,x,FT,10,1,0.5,0.5", "patient: wanted a value; found nothing"),
        ("sub-02,p,x,FT,10,1,0.5", "wanted 8 fields as in line 1, found 7"),
        (
            "sub-01,p01,north,FT,10,1,0.5,0.5",
            "sub-01 is tested under fine-tuned, training_size 10, fold 1, and already on",
        ),
        ("sub-01,p01,north,FT,10,2,0.5,0.5", "fold 2, and already on line 3, fold 1; wanted each study once"),
        ("sub-01,p99,north,FT,20,1,0.5,0.5", "patient: sub-01 belongs to 'p99' here and to 'p01' on line 2"),
        ("sub-01,p01,west,FT,20,1,0.5,0.5", "site: sub-01 belongs to 'west' here and to 'north' on line 2"),
    ],
)
def test_a_fault_is_said_with_its_line(table, line, fault):
    (said,) = faults_of(table(*LINES, line))
    assert said.startswith("line 7")
    assert fault in said


@pytest.mark.parametrize("missing", ["", "NA", "n/a", "N/A", "nan", "NaN", "null", "#N/A"])
def test_a_word_for_a_missing_value_is_no_value(table, missing):
    (row,) = read_table(table(f"s,p,x,FT,10,1,{missing},0.5")).rows
    assert (row.sensitivity, row.ppv) == (None, 0.5)


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("55%", 0.55),
        ("55.5 %", 0.555),
        ("1.0000000000000002", 1),
        ("-1e-17", 0),
        ('"0,35"', 0.35),
        ('"35,5"', None),
        ("5.5e-1", 0.55),
    ],
)
def test_numbers_are_read_as_spreadsheets_and_programs_write_them(table, written, value):
    path = table(f"s,p,x,FT,10,1,{written},0.5")
    if value is None:
        assert len(faults_of(path)) == 1
    else:
        assert read_table(path).rows[0].sensitivity == pytest.approx(value, abs=0)


@pytest.mark.parametrize("divider", [";", "\t"])
def test_semicolons_and_tabs_are_read_with_decimal_commas(table, divider):
    lines = [line.replace(",", divider).replace(".", ",") for line in LINES]
    read = read_table(
        table(*lines, "s;p;x;FT;10;1;55,5%;1,0".replace(";", divider), header=HEADER.replace(",", divider))
    )
    assert [row.sensitivity for row in read.rows] == [0.35, 0.55, 0.48, 0.61, 0.52, pytest.approx(0.555)]
    assert read.rows[2].ppv is None


def test_a_fault_of_many_lines_is_said_once(table):
    (said,) = faults_of(table(*(f"s{number},p,x,FT,10,1,{number}.5,0.5" for number in range(50, 60))))
    assert said == (
        "line 2, sensitivity: Input should be less than or equal to 1; found '50.5'; if these are percentages, divide "
        "the column by 100 or write 55% (the same on 9 more lines: 3, 4, 5, …)"
    )


def test_a_table_in_another_encoding_is_refused_once(table):
    (said,) = faults_of(table("s,Zürich,Genève,FT,10,1,0.5,0.5", LINES[0], encoding="latin-1"))
    assert "line 2 is in another encoding, such as Latin-1 or UTF-16; save it as UTF-8 with commas" in said


def test_all_faults_are_said_at_once(table):
    said = faults_of(
        table("sub-01,p,x,FT,10,1,1.5,-1", LINES[1], "sub-01,p,x,fine-tuend,10,0,0.1,0.1", LINES[2], LINES[2])
    )
    assert [fault.split(",")[0].split(":")[0] for fault in said] == ["line 2", "line 2", "line 4", "line 4", "line 6"]


@pytest.mark.parametrize(
    ("header", "fault"),
    [
        ("study,patient,site,arm,training_size,fold,ppv", "missing are sensitivity"),
        (HEADER + ",ppv", "column 'ppv' is there 2 times"),
        (HEADER + ",postion", "column 'postion' is not known; if 'position' is meant, call it that"),
    ],
)
def test_faults_of_the_header(table, header, fault):
    assert any(said.startswith("line 1") and fault in said for said in faults_of(table(header=header)))


POSITIONED = HEADER + ",position"


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("sub-01,p,x,DN,10,1,0.5,0.5,2", "sub-01 of fold 1 is at 2 here and at 1 on line 2"),
        ("sub-02,q,x,FT,10,1,0.5,0.5,1", "sub-02 of fold 1 is at 1, where sub-01 is on line 2"),
    ],
)
def test_positions_that_contradict_each_other_are_refused(table, line, fault):
    assert faults_of(table("sub-01,p,x,FT,10,1,0.5,0.5,1", line, header=POSITIONED)) == [f"line 3, position: {fault}"]


def test_files_that_are_no_table_are_refused(tmp_path):
    absent, empty, binary, bare = (tmp_path / name for name in ("absent.csv", "empty.csv", "binary.csv", "bare.csv"))
    empty.write_text("")
    binary.write_bytes(b"\xff\xfe\x00study")
    bare.write_text(HEADER + "\n")
    assert "not readable as CSV" in faults_of(absent)[0]
    assert "found an empty file" in faults_of(empty)[0]
    assert "not readable as CSV in UTF-8" in faults_of(binary)[0]
    assert "found column names only" in faults_of(bare)[0]


def test_dice_that_nobody_computed_does_not_count_as_0(table):
    (row,) = read_table(table(LINES[2])).rows
    assert value_of(row, "dice", "worst") is None


@pytest.mark.parametrize(
    ("sensitivity", "ppv", "counted"),
    [("0", "", (0.0, 0.0)), ("", "", (None, None)), ("", "0", (None, 0.0)), ("0", "0", (0.0, 0.0))],
    ids=["lesions, none predicted", "nothing to find or predicted", "predictions without a lesion", "all missed"],
)
def test_predicting_nothing_is_the_worst_only_where_there_is_a_lesion(table, sensitivity, ppv, counted):
    (row,) = read_table(table(f"s1,p1,x,DN,10,1,{sensitivity},{ppv}")).rows
    assert tuple(value_of(row, metric, "worst") for metric in PRIMARY) == counted
