"""Rows of participants.tsv reach their patients, or the dataset says which do not."""

from pathlib import Path

import pytest

from lesionlab.errors import DatasetError
from lesionlab.preprocessing.files import Dataset
from lesionlab.preprocessing.layouts.bids import find_studies
from lesionlab.preprocessing.layouts.tabular import site_of
from lesionlab.preprocessing.privacy import pseudonymised, refuse_identifying_names
from storage_schemas.tasks import TASKS
from tests.preprocessing.drawn import draw_dataset

SITES = "participant_id\tage\tsex\tsite\n"


def found(root: Path, table: str, *subjects: str) -> Dataset:
    draw_dataset(root, *(subjects or ("sub-01", "sub-02")))
    (root / "participants.tsv").write_text(table, encoding="utf-8")
    return find_studies(root, TASKS["flair-single"])


@pytest.mark.parametrize(
    "labels", [("sub-1", "sub-2"), ("01", "02"), ("1", "2"), ("Sub-01", "SUB-02"), ("sub_01", "sub-002")]
)
def test_labels_that_are_spelled_otherwise_are_refused_with_the_right_spelling(tmp_path, labels):
    with pytest.raises(DatasetError) as refusal:
        found(tmp_path / "bids", SITES + "".join(f"{label}\t45\tF\tNorth\n" for label in labels))
    (fault,) = refusal.value.args
    assert "2 rows match no subject" in fault
    assert "2 subjects have no row (sub-01, sub-02); write sub-01 for " in fault


def test_one_row_that_is_spelled_otherwise_is_refused_among_right_ones(tmp_path):
    with pytest.raises(DatasetError, match=r"1 row matches no subject \(sub-2\) and 1 subject has no row \(sub-02\); "):
        found(tmp_path / "bids", SITES + "sub-01\t45\tF\tNorth\nsub-2\t50\tM\tSouth\n")


def test_a_table_of_other_patients_is_refused(tmp_path):
    with pytest.raises(DatasetError, match="write each label as its folder is called"):
        found(tmp_path / "bids", SITES + "sub-77\t45\tF\tNorth\n")


def test_missing_and_surplus_rows_are_noted_and_the_others_used(tmp_path):
    dataset = found(tmp_path / "bids", SITES + "sub-01\t45\tF\tNorth\nsub-77\t50\tM\tSouth\n")
    assert [files.site for files in dataset.studies] == ["north", "site-1"]
    assert dataset.notes == (
        "participants.tsv: 1 row matches no subject (sub-77); not used",
        "participants.tsv: 1 subject has no row (sub-02); counted at site-1, without age and sex; add the rows",
    )


def test_a_table_that_matches_needs_no_note(tmp_path):
    assert found(tmp_path / "bids", SITES + "sub-01\t45\tF\tNorth\nsub-02\t50\tM\tSouth\n").notes == ()


def test_no_note_repeats_a_name(tmp_path):
    table = SITES + "sub-01\t45\tF\tNorth\nJane Roe\t50\tM\tSouth\nsub-Kowalski\t50\tM\tSouth\n"
    dataset = found(tmp_path / "bids", table)
    assert "(xxxx xxx, xxx-xxxxxxxx)" in dataset.notes[0]
    for screened in (
        refuse_identifying_names(dataset, TASKS["flair-single"]),
        pseudonymised(dataset, "a salt that nobody guesses"),
    ):
        assert len(screened.notes) == 2
    assert "sub-02" not in screened.notes[1]


@pytest.mark.parametrize(
    ("table", "fault"),
    [
        ("Participant_ID\tage\nsub-01\t45\n", "there is no column participant_id, found Participant_ID; rename it"),
        ("subject\tage\nsub-01\t45\n", "there is no column participant_id, found subject; rename it"),
        ("age\tsex\n45\tF\n", "there is no column participant_id, found none; add it"),
        ("participant_id\tage\tAge\nsub-01\t45\t46\n", "wanted one column age, found several; keep one"),
        ("participant_id\tage\nsub-01\t45\tF\n", "line 2: wanted 2 cells, as in the first line, found 3"),
        ("participant_id\tage\tsex\nsub-01\tF\n", "line 2: wanted 3 cells, as in the first line, found 2"),
        ('participant_id\tage\nsub-01\t"45\nsub-02\t50\n', "line 2: found a quote that is never closed"),
        ("", "wanted a line with the names of the columns"),
    ],
)
def test_a_table_that_would_lose_a_cell_is_refused(tmp_path, table, fault):
    with pytest.raises(DatasetError, match=fault):
        found(tmp_path / "bids", table)


@pytest.mark.parametrize("divider", [",", ";"])
def test_other_dividers_are_read(tmp_path, divider):
    table = SITES + "sub-01\t45\tF\tNorth\nsub-02\t50\tM\tSouth\t\n"
    dataset = found(tmp_path / "bids", table.replace("\t", divider))
    assert [(files.site, files.participant["sex"]) for files in dataset.studies] == [("north", "F"), ("south", "M")]


def test_the_site_column_may_be_in_upper_case(tmp_path):
    dataset = found(tmp_path / "bids", "participant_id\tSite\nsub-01\tNorth\nsub-02\tNA\n")
    assert [files.site for files in dataset.studies] == ["north", "site-1"]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("東京", "大阪"),
        ("Zürich", "Zurich"),
        ("Malmö", "Malmø"),
        ("A+", "A-"),
        ("+", "/"),
        ("x" * 70, "x" * 71),
    ],
)
def test_two_sites_stay_two(one, other):
    assert site_of(one) != site_of(other)
    assert None not in (site_of(one), site_of(other))


def test_one_site_stays_one_in_any_case_and_unicode_form():
    assert site_of("ZÜRICH") == site_of("Zu\u0308rich") == "zurich-201f10"
    assert site_of("Site A") == site_of("site a ") == "site-a"


@pytest.mark.parametrize("name", ["participants.csv", "Participants.tsv", "participants.xlsx"])
def test_a_table_under_another_name_is_said_not_to_be_read(tmp_path, name):
    root = draw_dataset(tmp_path / "bids", "sub-01")
    (root / name).touch()
    (note,) = find_studies(root, TASKS["flair-single"]).notes
    assert note.startswith(f"{name} is not read, so all are counted at site-1")


@pytest.mark.parametrize("header", ["centre", "site_id", "Hospital"])
def test_a_column_that_seems_to_hold_the_sites_is_named(tmp_path, header):
    (note,) = found(tmp_path / "bids", f"participant_id\t{header}\nsub-01\tNorth\nsub-02\tSouth\n").notes
    assert f"if {header} holds the sites, rename it to site" in note


def test_rows_without_a_site_are_counted(tmp_path):
    (note,) = found(tmp_path / "bids", "participant_id\tsite\nsub-01\tNorth\nsub-02\tunknown\n").notes
    assert "1 of 2 rows have no site; counted at site-1" in note


def test_ages_and_sexes_that_cannot_be_read_are_counted_and_never_quoted(tmp_path):
    table = "participant_id\tAge\tsex\nsub-01\tforty\tF\nsub-02\t47\tn/a\nsub-03\t1e400\tJohn\n"
    ages, sexes = found(tmp_path / "bids", table, "sub-01", "sub-02", "sub-03").notes
    assert "2 of 3 rows have no readable age" in ages
    assert "1 of 3 rows have no readable sex" in sexes
    assert "forty" not in ages
    assert "John" not in sexes


@pytest.mark.parametrize(
    ("table", "fault"),
    [
        ("participant_id age\nsub-01 45\nsub-02 46\n", "not separated by tabs; save the table with tabs"),
        ("# exported\nparticipant_id\tage\nsub-01\t45\nsub-02\t46\n", "in the line below; remove what stands before"),
    ],
)
def test_a_line_of_column_names_that_is_none_is_the_only_fault(tmp_path, table, fault):
    with pytest.raises(DatasetError) as refusal:
        found(tmp_path / "bids", table)
    (said,) = refusal.value.args
    assert fault in said
