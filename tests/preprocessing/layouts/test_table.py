"""Tables of paths give the files of each row's study, or faults by line and column."""

import json
from pathlib import Path

import pytest

from lesionlab.errors import DatasetError
from lesionlab.preprocessing.integrity import read_scans
from lesionlab.preprocessing.layouts.table import find_in_table
from storage_schemas.tasks import TASKS, ScanInput
from tests.preprocessing.layouts.drawn_layouts import draw_table, write_table

SINGLE, PAIR = TASKS["flair-single"], TASKS["flair-new"]


def row(study: str = "sub-01", **cells: str) -> dict[str, str]:
    name = study.removeprefix("sub-")
    return {"study": study, "patient": name, "flair": f"{name}/a.nii.gz", "mask": f"{name}/a-mask.nii.gz"} | cells


def the_faults(table: Path, task=SINGLE) -> tuple[str, ...]:
    (faulty,) = find_in_table(table, task).faulty
    return faulty.faults


@pytest.mark.parametrize("name", ["paths.csv", "paths.tsv"])
def test_rows_are_studies_sorted_by_name(tmp_path, name):
    table = draw_table(tmp_path / name, [row("sub-02", patient="sub-7", site="Site B"), row("sub-01", age="34")])
    found = find_in_table(table, SINGLE, site="clinic")
    assert [(files.study, files.patient, files.site) for files in found.studies] == [
        ("sub-01", "01", "clinic"),
        ("sub-02", "7", "site-b"),
    ]
    assert dict(found.studies[0].images) == {"flair": tmp_path / "01" / "a.nii.gz"}
    assert found.studies[0].reference.mask == tmp_path / "01" / "a-mask.nii.gz"
    assert dict(found.studies[0].participant) == {"age": "34"}


def test_a_pair_may_have_a_transform_and_a_second_raters_mask(tmp_path):
    (tmp_path / "midway.txt").touch()
    cells = {"study": "sub-01_ses-02", "patient": "01", "initial": "1.nii", "follow-up": "2.nii", "mask": "mask.nii"}
    table = draw_table(tmp_path / "t.csv", [cells | {"mask_transform": "midway.txt", "second_mask": "mask2.nii"}])
    (study,) = find_in_table(table, PAIR).studies
    assert list(study.images) == ["initial", "follow-up"]
    assert study.reference.transform == tmp_path / "midway.txt"
    assert study.second is not None
    assert (study.second.mask, study.second.transform) == (tmp_path / "mask2.nii", tmp_path / "midway.txt")


def test_the_users_own_registration_of_a_moved_image_stands_in_a_column_of_its_role(tmp_path):
    (tmp_path / "xfm.mat").touch()
    cells = {"study": "sub-01_ses-02", "patient": "01", "initial": "1.nii", "follow-up": "2.nii", "mask": "mask.nii"}
    table = draw_table(tmp_path / "t.csv", [cells | {"follow-up_transform": "xfm.mat", "initial_transform": "a"}])
    (study,) = find_in_table(table, PAIR).studies
    assert study.transforms == {"follow-up": tmp_path / "xfm.mat"}
    assert study.participant == {"initial_transform": "a"}, "the native image is never moved"
    (faulty,) = find_in_table(write_table(table, [cells | {"follow-up_transform": "no.mat"}]), PAIR).faulty
    assert "column follow-up_transform names a file that does not exist" in faulty.faults[0]


@pytest.mark.parametrize("task", TASKS)
def test_columns_are_named_by_the_roles_of_every_task(tmp_path, task):
    images = {role: f"{role}.nii.gz" for role in TASKS[task].roles}
    table = draw_table(tmp_path / "t.csv", [{"study": "sub-1", "patient": "1", **images, "mask": "mask.nii.gz"}])
    (study,) = find_in_table(table, TASKS[task]).studies
    assert list(read_scans(study, TASKS[task]).images) == list(TASKS[task].roles)


def test_the_columns_of_a_sites_own_task_are_no_facts_about_the_patient(tmp_path):
    own = SINGLE.model_copy(update={"native": "t2", "inputs": (ScanInput(role="t2", suffix="T2w"),)})
    table = draw_table(tmp_path / "t.csv", [{**row(age="34"), "t2": "t2.nii.gz"}])
    (study,) = find_in_table(table, own).studies
    assert dict(study.images) == {"t2": tmp_path / "t2.nii.gz"}
    assert dict(study.participant) == {"age": "34"}


def test_spreadsheet_formatting_and_empty_lines_are_accepted(tmp_path):
    table = draw_table(tmp_path / "t.csv", [row()])
    text = table.read_text().replace("sub-01,01", ' sub-01 ,"01"')
    table.write_bytes(("\ufeff" + text + "\r\n,,,\r\n").encode())
    assert [files.study for files in find_in_table(table, SINGLE).studies] == ["sub-01"]


def test_a_json_file_next_to_an_image_is_its_sidecar(tmp_path):
    table = draw_table(tmp_path / "t.csv", [row()])
    sidecar = tmp_path / "01" / "a.json"
    sidecar.write_text(json.dumps({"EchoTime": 0.1}))
    assert find_in_table(table, SINGLE).studies[0].sidecars == {"flair": {"EchoTime": 0.1}}
    sidecar.write_text("{")
    assert the_faults(table) == (
        "FLAIR: line 2: its JSON file is not valid JSON "
        "(line 1, column 2: Expecting property name enclosed in double quotes); correct it",
    )


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b'{"FrameDuration": [1200,],}', "is not valid JSON (line 1, column 25: Expecting value); correct it"),
        (b'{"EchoTime": 1,\n "Note": }', "is not valid JSON (line 2, column 10: Expecting value); correct it"),
        ('{"EchoTime": 1,\n "Note": "Zürich"}'.encode("latin-1"), "is not in UTF-8 (line 2); save it as UTF-8"),
        (b"[1]", "is not a JSON object; correct it"),
        (b"[" * 100_000, "is nested too deeply to be read; correct it"),
    ],
)
def test_a_faulty_sidecar_is_refused_with_line_and_column(tmp_path, content, fault):
    table = draw_table(tmp_path / "t.csv", [row()])
    (tmp_path / "01" / "a.json").write_bytes(content)
    assert the_faults(table) == (f"FLAIR: line 2: its JSON file {fault}",)


def test_all_faults_of_all_lines_are_reported_at_once_by_line_and_column(tmp_path):
    (tmp_path / "outside.nii.gz").touch()
    table = draw_table(tmp_path / "data" / "t.csv", [row("sub-01")])
    good = row("sub-01")
    rows = [
        good,
        good | {"study": "sub-02", "flair": "", "mask": "nowhere.nii.gz"},
        good | {"study": "Smith John", "patient": "Smith John"},
        good | {"study": "sub-04", "flair": str(tmp_path / "outside.nii.gz"), "mask": "../outside.nii.gz"},
        good | {"study": "sub-05", "flair": "C:\\scans\\a.nii", "mask": "~/a.nii"},
        good | {"study": "sub-06", "second_mask": "nowhere.nii.gz"},
    ]
    found = find_in_table(write_table(table, [{"second_mask": "", **cells} for cells in rows]), SINGLE)
    assert [files.study for files in found.studies] == ["sub-01"]
    absolute = "has an absolute path; wanted a path relative to the table's folder, or --absolute-paths"
    nowhere = "names a file that does not exist; add the file or correct its name"
    assert {fault.study: fault.faults for fault in found.faulty} == {
        "sub-02": ("FLAIR: line 3: column flair has no path; add it", f"mask: line 3: column mask {nowhere}"),
        "line 4": (
            "study: line 4: wanted sub-<letters and digits>, optionally with _ses-<letters and digits>; rename it",
            "patient: line 4: wanted only letters and digits; rename it",
        ),
        "sub-04": (
            f"FLAIR: line 5: column flair {absolute}",
            "mask: line 5: column mask leads out of the table's folder; move the table to a folder above the data",
        ),
        "sub-05": (f"FLAIR: line 6: column flair {absolute}", f"mask: line 6: column mask {absolute}"),
        "sub-06": (f"second mask: line 7: column second_mask {nowhere}",),
    }
    told = str([(fault.study, fault.findings) for fault in found.faulty])
    assert "Smith" not in told
    assert str(tmp_path) not in told


def test_files_may_lie_anywhere_if_that_is_allowed(tmp_path):
    draw_table(tmp_path / "scans" / "t.csv", [row()])
    outside = {"flair": str(tmp_path / "scans/01/a.nii.gz"), "mask": "../scans/01/a-mask.nii.gz"}
    table = write_table(tmp_path / "tables" / "t.csv", [row() | outside])
    assert len(find_in_table(table, SINGLE).faulty) == 1
    (study,) = find_in_table(table, SINGLE, absolute_paths=True).studies
    assert [path.resolve() for path in (study.images["flair"], study.reference.mask)] == [
        tmp_path / "scans/01/a.nii.gz",
        tmp_path / "scans/01/a-mask.nii.gz",
    ]
    assert read_scans(study, SINGLE).reference.voxels.any()


def test_a_study_on_two_lines_is_refused_on_both(tmp_path):
    table = draw_table(tmp_path / "t.csv", [row("sub-01"), row("sub-02"), row("sub-01", flair="01/b.nii.gz")])
    found = find_in_table(table, SINGLE)
    assert [files.study for files in found.studies] == ["sub-02"]
    assert [fault.faults[0].split(" wanted")[0] for fault in found.faulty] == ["study: line 2:", "study: line 4:"]


def test_a_line_with_too_many_or_too_few_cells_is_reported(tmp_path):
    table = draw_table(tmp_path / "t.csv", [row("sub-01"), row("sub-02"), row("sub-03", age="3")])
    lines = table.read_text().splitlines()
    lines[1] += ",Smith"
    lines[2] = lines[2].removesuffix(",")
    table.write_text("\n".join(lines))
    found = find_in_table(table, SINGLE)
    assert [files.study for files in found.studies] == ["sub-03"]
    assert [fault.faults for fault in found.faulty] == [
        ("row: line 2: wanted 5 cells, as in the first line, found 6; correct the line",),
        ("row: line 3: wanted 5 cells, as in the first line, found 4; correct the line",),
    ]


def test_a_link_out_of_the_tables_folder_is_not_followed(tmp_path):
    table = draw_table(tmp_path / "data" / "t.csv", [row()])
    image = tmp_path / "data" / "01" / "a.nii.gz"
    image.rename(tmp_path / "outside.nii.gz")
    image.symlink_to(tmp_path / "outside.nii.gz")
    (fault,) = the_faults(table)
    assert "a link out of the dataset" in fault


def test_missing_and_duplicate_columns_are_reported_at_once(tmp_path):
    (tmp_path / "t.csv").write_text("study;patient,follow-up,follow-up\n1,2,3,4\n")
    with pytest.raises(DatasetError) as refusal:
        find_in_table(tmp_path / "t.csv", PAIR)
    assert [fault.split(": ", 2)[1:] for fault in refusal.value.args] == [
        ["line 1", "wanted a column study, found none; add it"],
        ["line 1", "wanted a column patient, found none; add it"],
        ["line 1", "wanted a column initial, found none; add it"],
        ["line 1", "wanted a column mask, found none; add it"],
        ["line 1", "wanted one column follow-up, found several; keep one"],
    ]


@pytest.mark.parametrize("text", ["", "study,patient,flair,mask\n"], ids=["nothing", "no row"])
def test_a_table_without_rows_is_refused(tmp_path, text):
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(DatasetError, match="wanted one row per study"):
        find_in_table(tmp_path / "t.csv", SINGLE)


@pytest.mark.parametrize(
    ("note", "found"),
    [
        (('"left', "", ""), "line 2: found a quote that is never closed"),
        (("", '"left', 'right"'), "line 3: wanted one row per line, found a quote that is only closed on line 4"),
        (('"left" side', "", ""), "line 2: found text after a closed quote"),
    ],
)
@pytest.mark.parametrize("name", ["t.csv", "t.tsv"])
def test_a_wrong_quote_never_hides_a_line(tmp_path, note, found, name):
    table = draw_table(tmp_path / name, [row(f"sub-0{n}", note=f"NOTE{n}") for n in range(3)])
    text = table.read_text()
    for n, cell in enumerate(note):
        text = text.replace(f"NOTE{n}", cell)
    table.write_text(text)
    with pytest.raises(DatasetError, match=found):
        find_in_table(table, SINGLE)


def test_semicolons_of_a_spreadsheet_separate_cells(tmp_path):
    table = draw_table(tmp_path / "t.csv", [row("sub-01", site="Nord, West"), row("sub-02")])
    table.write_text(table.read_text().replace('"Nord, West"', "Nord. West").replace(",", ";").replace(". ", ", "))
    assert [files.site for files in find_in_table(table, SINGLE).studies] == ["nord-west", "site-1"]


@pytest.mark.parametrize("missing", ["", "NA", "n/a", "N/A", "nan", "NaN", "null"])
def test_words_for_a_missing_value_are_neither_a_site_nor_a_path(tmp_path, missing):
    table = draw_table(tmp_path / "t.csv", [row(site=missing, second_mask=missing)])
    (study,) = find_in_table(table, SINGLE).studies
    assert (study.site, study.second) == ("site-1", None)


def test_a_column_in_upper_case_is_said_to_be_renamed(tmp_path):
    table = draw_table(tmp_path / "t.csv", [row(second_mask="")])
    table.write_text(table.read_text().replace("study,", "Study,").replace("second_mask", "Second_Mask"))
    with pytest.raises(DatasetError) as refusal:
        find_in_table(table, SINGLE)
    assert [fault.split(": ", 2)[2] for fault in refusal.value.args] == [
        "wanted the column study, found Study; rename it",
        "wanted the column second_mask, found Second_Mask; rename it",
    ]


def test_a_table_in_another_encoding_is_refused(tmp_path):
    table = draw_table(tmp_path / "t.csv", [row(site="Zürich")])
    table.write_bytes(table.read_text().encode("latin-1"))
    with pytest.raises(DatasetError, match="save it as UTF-8 with commas"):
        find_in_table(table, SINGLE)


@pytest.mark.parametrize(
    "text", ["study|patient|flair|mask\na|b|c|d\n", "# from R\nstudy,patient\n", "<table>\n<tr>\n"]
)
def test_a_table_without_any_of_the_columns_is_told_so_once(tmp_path, text):
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(DatasetError) as refusal:
        find_in_table(tmp_path / "t.csv", SINGLE)
    (fault,) = refusal.value.args
    assert "study, patient, flair, mask, separated by commas, tabs or semicolons, found none of them" in fault


@pytest.mark.parametrize(("one", "other"), [("01", "1"), ("a7", "A7"), ("sub-3", "003")])
def test_one_patient_under_two_labels_is_refused_on_both_lines(tmp_path, one, other):
    rows = [row("sub-01_ses-1", patient=one), row("sub-01_ses-2", patient=other), row("sub-09", patient="9")]
    found = find_in_table(draw_table(tmp_path / "t.csv", rows), SINGLE)
    assert [files.study for files in found.studies] == ["sub-09"]
    assert ["wanted one label for each patient" in fault.faults[0] for fault in found.faulty] == [True, True]


def test_a_cell_that_was_merged_with_the_one_above_is_said_to_be_empty(tmp_path):
    table = draw_table(tmp_path / "t.csv", [row("sub-01"), row("sub-02", patient="")])
    assert the_faults(table) == ("patient: line 3: wanted a label in every row, found none; fill it in",)


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("https://server/01/a.nii.gz", "an address with ://"),
        ("s3://bucket/01/a.nii.gz", "an address with ://"),
        ("01\\a.nii.gz", "write / between folders"),
        ("x" * 5000, "names a file that does not exist"),
    ],
)
def test_a_path_that_cannot_be_one_is_refused_with_the_reason(tmp_path, path, reason):
    table = draw_table(tmp_path / "t.csv", [row()])
    table.write_text(table.read_text().replace("01/a.nii.gz", path))
    assert reason in the_faults(table)[0]


@pytest.mark.parametrize("twice", ["age", "sex"])
def test_a_fact_about_the_patient_stands_in_one_column(tmp_path, twice):
    table = draw_table(tmp_path / "t.csv", [row(**{twice: "1", twice.upper(): "2"})])
    with pytest.raises(DatasetError, match=f"wanted one column {twice}, found several; keep one"):
        find_in_table(table, SINGLE)


@pytest.mark.parametrize(
    ("column", "sites", "note"),
    [
        ("site", ("North", ""), "1 of 2 rows have no site; counted at site-1; fill in the column site"),
        ("site", ("n. a.", "Unknown"), "2 of 2 rows have no site"),
        ("centre", ("North", "South"), "all are counted at site-1; if centre holds the sites, rename it to site"),
        ("Study Center", ("North", "South"), "if Study Center holds the sites, rename it to site"),
    ],
)
def test_nobody_is_counted_at_the_default_site_without_a_word(tmp_path, column, sites, note):
    rows = [row(f"sub-0{n}", patient=f"0{n}", **{column: site}) for n, site in enumerate(sites)]
    (found,) = find_in_table(draw_table(tmp_path / "t.csv", rows), SINGLE).notes
    assert note in found
