"""The matrix of training sites by test sites shows a planted loss, its n, and nothing where patients are too few."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from lesionlab.analysis.figures.heat_map import heat_map_figure
from lesionlab.analysis.pages.illustrations import cross_site_pictures
from lesionlab.analysis.sheets.cross_site_tables import cross_site_sheets
from lesionlab.analysis.statistics.conditions import conditions, groups, rows_by_condition
from lesionlab.analysis.statistics.cross_site import CrossSite, cross_site
from lesionlab.analysis.statistics.endpoints import judge_endpoints
from lesionlab.analysis.statistics.further import Further, further
from lesionlab.analysis.statistics.headline import headline
from lesionlab.analysis.statistics.learning import learning
from lesionlab.analysis.statistics.supplementary import Options, Supplementary
from lesionlab.analysis.words.cross_site import cell, panel, sentences
from lesionlab.analysis.words.headline import sentences as headline_sentences
from tests.analysis.drawn_sites import LOSS, SEEN, SITES, drawn_rows

EQUAL = dict.fromkeys(SITES, 30)


def found(patients: Mapping[str, int], **options: object) -> dict[str, CrossSite]:
    rows = drawn_rows(patients)
    return {one.metric: one for one in cross_site(rows_by_condition(rows), conditions(rows), "exclude", **options)}


@pytest.fixture(scope="module")
def matrix() -> CrossSite:
    return found(EQUAL)["sensitivity"]


def test_rows_are_single_sites_then_all_sites_then_all_but_the_tested_one(matrix):
    assert [row.on for row in matrix.rows] == [*SITES, "all-sites", "other-sites"]
    assert matrix.sites == SITES
    assert matrix.model.train_site is None


def test_the_matrix_shows_the_planted_loss_off_the_diagonal_and_where_a_site_is_left_out(matrix):
    for row in matrix.rows:
        for site, tested in row.at.items():
            planted = SEEN if row.on in (site, "all-sites") else SEEN - LOSS[site]
            assert tested.mean.mean == pytest.approx(planted, abs=0.04)
            assert tested.mean.interval.includes(tested.mean.mean)
            assert (tested.mean.n, tested.patients) == (30, 30)


def test_the_gap_of_each_site_is_the_planted_one_with_an_interval_that_holds_it(matrix):
    for new_hospital in (False, True):
        own = {gap.site: gap for gap in matrix.gaps if gap.new_hospital is new_hospital}
        for site, loss in LOSS.items():
            assert own[site].difference == pytest.approx(-loss, abs=0.04)
            assert own[site].interval.low - 0.02 <= -loss <= own[site].interval.high + 0.02
            assert own[site].patients == 30
        assert own[None].difference == pytest.approx(-sum(LOSS.values()) / 3, abs=0.03)
    assert min(own, key=lambda site: own[site].difference) == "skyra"


def test_cells_and_gaps_of_too_few_patients_stay_empty():
    few = found({"hdxt": 30, "mr750": 30, "skyra": 5})["sensitivity"]
    assert {row.at["skyra"].mean for row in few.rows} == {None}
    assert {row.at["skyra"].patients for row in few.rows} == {5}
    assert all(row.at["hdxt"].mean is not None for row in few.rows)
    assert "skyra" not in {gap.site for gap in few.gaps}


def test_a_site_that_may_not_be_shown_is_no_column():
    assert found(EQUAL, shown=("hdxt", "mr750"))["ppv"].sites == ("hdxt", "mr750")


def test_a_design_that_does_not_compare_sites_has_no_matrix():
    rows = [row.model_copy(update={"train_site": None}) for row in drawn_rows(EQUAL) if row.train_site == "other-sites"]
    assert cross_site(rows_by_condition(rows), conditions(rows), "exclude") == ()


@pytest.fixture(scope="module")
def whole() -> Further:
    rows = drawn_rows({"hdxt": 9, "mr750": 9, "skyra": 5}, arms=("fine-tuned", "de-novo"))
    return further(rows, rows, "exclude", None)


def test_the_report_leads_its_sites_with_what_a_new_hospital_may_expect(whole):
    told = sentences(whole.cross_site)
    assert len(told) == 4  # two arms, two metrics
    assert told[0].startswith("A hospital that gave no training study: fine-tuned, 4 studies, sensitivity 0.6")
    assert "with all sites in the training 0.7" in told[0]


def test_table_and_picture_have_every_model_and_mark_what_is_empty(whole):
    sheets = cross_site_sheets(whole.cross_site)
    assert list(sheets) == ["cross-site-sensitivity", "cross-site-ppv", "cross-site-gaps"]
    sheet = sheets["cross-site-sensitivity"]
    assert [column.name for column in sheet.columns] == [
        *("Model", "N", "Trained on", *(f"Tested on: {site}" for site in SITES), "Tested on: every site")
    ]
    assert {row[5] for row in sheet.rows} == {"–"}
    assert all("(n = 9)" in row[3] for row in sheet.rows)
    assert [row[2] for row in sheet.rows[3:5]] == ["all sites", "all but the tested site"]
    pictures = list(cross_site_pictures(whole.cross_site))
    assert [one.name for one in pictures] == ["cross-site-fine-tuned-4-studies", "cross-site-de-novo-4-studies"]
    assert {one.section for one in pictures} == {"sites"}


def test_each_cell_of_the_heat_map_shows_what_the_table_shows(whole):
    first = [one for one in whole.cross_site if one.model == whole.cross_site[0].model]
    shown = {
        axes.get_title(loc="left"): [text.get_text() for text in axes.texts] for axes in heat_map_figure(first).axes
    }
    for one in first:
        cells = [cell(tested) for row in one.rows for tested in (*row.at.values(), row.everywhere)]
        assert any("[" in told for told in cells)
        texts = " ".join(shown[panel(one.metric)])
        assert texts == " ".join(told.replace("(", "").replace(")", "") for told in cells)


def test_with_one_arm_alone_the_headline_is_of_the_sites_that_were_left_out():
    rows = drawn_rows(dict.fromkeys(SITES, 8))
    curves = learning(rows_by_condition(rows), groups(conditions(rows)), None, "exclude", 0)
    nothing = Supplementary(Options(), (), (), (), (), (), curves, ())
    _, how_much, _ = headline_sentences(headline(judge_endpoints(rows, rows, Options()), nothing))
    assert how_much.startswith("With 4 labelled studies their PPV (trained on other-sites) is 0.5")
