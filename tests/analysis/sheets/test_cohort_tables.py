"""The cohort tables, counted by hand, from facts drawn by hand."""

from __future__ import annotations

import pytest

from lesionlab.analysis.sheets.cohort_tables import characteristics, groups_by_site, groups_of, scanners
from lesionlab.analysis.sheets.sheet import Sheet
from storage_schemas.facts import StudyFacts


def study(number: int, patient: int | None = None, site: str = "north", **known: object) -> StudyFacts:
    label = f"{patient or number:02d}"
    session = f"_ses-{number:02d}" if patient else ""
    return StudyFacts(study=f"sub-{label}{session}", patient=label, site=site, **known)


FACTS = [
    study(
        1,
        sex="F",
        age_years=30,
        field_strength_t=3,
        echo_time_ms=388,
        repetition_time_ms=5000,
        acquisition="3D",
        manufacturer="Siemens",
        model="Skyra",
    ),
    study(
        2,
        sex="F",
        age_years=50,
        field_strength_t=2.89362,
        echo_time_ms=130,
        repetition_time_ms=7202,
        acquisition="3D",
        manufacturer="GE",
        model="Discovery MR750",
    ),
    study(
        3,
        sex="M",
        site="south",
        field_strength_t=1.5,
        echo_time_ms=2.98,
        acquisition="2D",
        manufacturer="GE",
        model="Signa HDxt",
    ),
    study(4, site="south", manufacturer="GE"),
]


def cells(table: Sheet, subject: str, level: str = "") -> dict[str, str]:
    (row,) = [row for row in table.rows if row[:2] == (subject, level)]
    return dict(zip([column.title for column in table.columns[2:]], row[2:], strict=True))


@pytest.fixture
def table():
    return characteristics(groups_by_site(FACTS), "drawn")


def test_each_site_is_a_column_beside_all(table):
    assert [column.title for column in table.columns] == ["Characteristic", "Value", "all", "north", "south"]
    assert cells(table, "Studies") == {"all": "4", "north": "2", "south": "2"}


@pytest.mark.parametrize(
    ("subject", "level", "wanted"),
    [
        ("Sex", "female", ("2 (50%)", "2 (100%)", "0")),
        ("Sex", "male", ("1 (25%)", "0", "1 (50%)")),
        ("Sex", "not known", ("1 (25%)", "0", "1 (50%)")),
        ("Age (years)", "", ("40 ± 14 (30–50)", "40 ± 14 (30–50)", "–")),
        ("Age (years)", "not known", ("2 (50%)", "0", "2 (100%)")),
        ("Field strength", "3 T", ("2 (50%)", "2 (100%)", "0")),
        ("Field strength", "1.5 T", ("1 (25%)", "0", "1 (50%)")),
        ("TE (ms)", "", ("130 (3.0–388)", "259 (130–388)", "3.0 (3.0–3.0)")),
        ("TR (ms)", "", ("6,101 (5,000–7,202)", "6,101 (5,000–7,202)", "–")),
        ("TR (ms)", "not known", ("2 (50%)", "0", "2 (100%)")),
        ("Acquisition", "3D", ("2 (50%)", "2 (100%)", "0")),
        ("Acquisition", "2D", ("1 (25%)", "0", "1 (50%)")),
    ],
)
def test_what_is_known_is_told_as_in_the_paper_and_what_is_not_is_counted(table, subject, level, wanted):
    assert tuple(cells(table, subject, level).values()) == wanted


def test_a_patient_scanned_at_two_sites_is_one_patient_of_the_cohort():
    facts = [study(1, patient=7, site="north", sex="F"), study(2, patient=7, site="south", sex="F")]
    table = characteristics(groups_by_site(facts), "drawn")
    assert cells(table, "Studies") == {"all": "2", "north": "1", "south": "1"}
    assert cells(table, "Patients") == {"all": "1", "north": "1", "south": "1"}
    assert cells(table, "Sex", "female")["all"] == "1 (100%)"


def test_scanners_are_counted_by_maker_and_model():
    table = scanners(groups_by_site(FACTS), "drawn")
    assert [row[:3] for row in table.rows] == [
        ("GE", "Discovery MR750", "1 (25%)"),
        ("GE", "Signa HDxt", "1 (25%)"),
        ("GE", "not known", "1 (25%)"),
        ("Siemens", "Skyra", "1 (25%)"),
    ]


def test_every_study_is_counted_once_in_each_block():
    facts = [*FACTS, study(5), study(6, site="east", sex="O")]
    for column, group in enumerate(groups_by_site(facts).values()):
        for table in (characteristics(groups_by_site(facts), ""), scanners(groups_by_site(facts), "")):
            for subject in ("Sex", "Field strength", "Acquisition"):
                counts = [int(row[2 + column].split()[0]) for row in table.rows if row[0] == subject]
                assert sum(counts) in (len(group), 0)
        assert sum(int(row[2 + column].split()[0]) for row in scanners(groups_by_site(facts), "").rows) == len(group)


def test_a_patient_with_several_visits_has_one_sex_and_one_age():
    visits = [study(visit, patient=7, sex="F", age_years=40, field_strength_t=3) for visit in (1, 2, 3)]
    table = characteristics(groups_of(visits, {}), "drawn")
    assert cells(table, "Studies") == {"all": "3"}
    assert cells(table, "Patients") == {"all": "1"}
    assert cells(table, "Sex", "female") == {"all": "1 (100%)"}
    assert cells(table, "Age (years)") == {"all": "40 (40–40)"}
    assert cells(table, "Field strength", "3 T") == {"all": "3 (100%)"}


def test_groups_may_share_studies_and_keep_their_order():
    groups = groups_of(FACTS, {"training": {"sub-02", "sub-03"}, "testing": {"sub-01"}, "subset 2": {"sub-02"}})
    assert {name: [fact.study for fact in group] for name, group in groups.items()} == {
        "all": ["sub-01", "sub-02", "sub-03", "sub-04"],
        "training": ["sub-02", "sub-03"],
        "testing": ["sub-01"],
        "subset 2": ["sub-02"],
    }


def test_one_site_is_all_there_is():
    assert list(groups_by_site(FACTS[:2])) == ["all"]


def test_an_empty_group_has_nothing_to_share():
    table = characteristics(groups_of(FACTS, {"empty": set()}), "drawn")
    assert {row[3] for row in table.rows if row[0] not in ("Studies", "Patients")} == {"–"}


def test_nothing_known_of_a_whole_cohort_is_said():
    table = characteristics(groups_of([study(1), study(2)], {}), "drawn")
    assert [row[2] for row in table.rows if row[1] == "not known"] == ["2 (100%)"] * 6
    assert [row[2] for row in scanners(groups_of([study(1)], {}), "").rows] == ["1 (100%)"]


def test_of_studies_of_two_visits_each_visit_has_its_own_rows_and_a_study_counts_once():
    pair = [
        study(1, sex="F", age_years=40, field_strength_t=3, manufacturer="GE", model="Signa HDxt"),
        study(1, visit="initial", sex="F", field_strength_t=1.5, manufacturer="Siemens", model="Avanto"),
    ]
    table = characteristics(groups_by_site(pair), "Pairs")
    assert cells(table, "Studies") == cells(table, "Patients") == {"all": "1"}
    assert cells(table, "Age (years)") == {"all": "40 (40–40)"}
    assert cells(table, "Field strength, initial", "1.5 T") == {"all": "1 (100%)"}
    assert cells(table, "Field strength, follow-up", "3 T") == {"all": "1 (100%)"}
    table = scanners(groups_by_site(pair), "Pairs")
    assert (
        cells(table, "Siemens, initial", "Avanto") == cells(table, "GE, follow-up", "Signa HDxt") == {"all": "1 (100%)"}
    )
