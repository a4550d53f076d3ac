"""The shared table of patients counts rightly, and no group of few follows from the counts that it shows."""

from __future__ import annotations

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from lesionlab.analysis.methods.suppression import telling
from lesionlab.analysis.sheets.shared_cohort import CHARACTERISTICS, shared_cohort_sheet
from lesionlab.analysis.statistics.sharing import Narrowed, Share
from lesionlab.analysis.words.sharing import OTHER_VALUES, WITHHELD, age_band
from storage_schemas.facts import StudyFacts

SMALLEST = 5
PEOPLE = st.tuples(st.sampled_from("FFMO"), st.sampled_from([25, 35, 35, 45, 45, 55]), st.sampled_from("aaabbc"))


def facts_of(people):
    return [
        StudyFacts(study=f"sub-{number:03d}", patient=f"p{number}", site=site, sex=sex, age_years=age, model="Skyra")
        for number, (sex, age, site) in enumerate(people)
    ]


def sheet_of(facts):
    sites = {one.site for one in facts}
    patients = frozenset(one.patient for one in facts)
    narrowed = Narrowed((), tuple(sorted(sites)), (), (), {site: site for site in sites}, patients)
    return shared_cohort_sheet(facts, narrowed, Share("consortium", SMALLEST))


@settings(max_examples=25, deadline=None)
@given(st.lists(PEOPLE, min_size=SMALLEST, max_size=45))
def test_counts_are_right_and_no_group_of_few_follows_from_them(people):
    facts = facts_of(people)
    sheet = sheet_of(facts)
    sites = [column.title for column in sheet.columns[3:]]
    (total, *lines) = sheet.rows
    assert total[2] == str(len(facts))
    for name, value in CHARACTERISTICS.items():
        own = [row for row in lines if row[0] == name]
        if not own:
            continue
        listed = {row[1] for row in own}
        level_of = {one.patient: level if (level := value(one)) in listed else OTHER_VALUES for one in facts}
        sizes = Counter((level_of[one.patient], one.site) for one in facts)
        shown = [set(sizes), *({leaf for leaf in sizes if leaf[1] == site} for site in sites)]
        for row in own:
            for site, text in zip((None, *sites), row[2:], strict=True):
                cell = {leaf for leaf in sizes if leaf[0] == row[1] and site in (None, leaf[1])}
                if text != WITHHELD:
                    assert int(text.partition(" ")[0]) == sum(sizes[leaf] for leaf in cell)
                    shown.append(cell)
        assert telling(shown, sizes, SMALLEST) == ()


def test_values_of_few_are_put_together_and_ages_are_bands():
    sheet = sheet_of(facts_of([("F", 34, "a")] * 12 + [("M", 35, "a")] * 8 + [("O", 36, "a")] * 1))
    assert [row for row in sheet.rows if row[0] == "Sex"] == [
        ("Sex", "female", "12 (57%)", "12 (57%)"),
        ("Sex", "male", WITHHELD, WITHHELD),
        ("Sex", OTHER_VALUES, WITHHELD, WITHHELD),
    ]
    assert [row[1] for row in sheet.rows if row[0] == "Age (years)"] == ["30–39"]
    assert [age_band(years) for years in (12, 20, 39.9, 79, 90)] == [
        "under 20",
        "20–29",
        "30–39",
        "70–79",
        "80 and older",
    ]


def test_too_few_patients_have_no_table():
    assert sheet_of(facts_of([("F", 34, "a")] * (SMALLEST - 1))) is None
