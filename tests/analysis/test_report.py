"""The whole statistics job over a store in memory: what it writes, what it says, and what it does with gaps."""

from __future__ import annotations

import csv
import io
import re
from html.parser import HTMLParser

import pytest

from lesionlab.analysis.report import write_report
from lesionlab.store.tables import write_rows
from storage_schemas import keys
from storage_schemas.results import StudyRow


@pytest.fixture(scope="module")
def store(draw_store):
    """Shared by the tests that only read; the others draw their own."""
    return draw_store()


@pytest.fixture(scope="module")
def result(store, plan):
    return write_report(store, plan)


@pytest.fixture(scope="module")
def html(store, result):
    return store.get(result.key).decode()


def records(store, plan, result, name):
    key = keys.REPORT_TABLE.build(study_name=plan.spec.name, digest=result.digest, table=name)
    return list(csv.DictReader(io.StringIO(store.get(key).decode())))


def remove_run(store, plan, run):
    store.delete(keys.STUDY_ROWS.build(study_name=plan.spec.name, run_id=run.run_id))


def test_report_tables_and_figures_lie_under_one_analysis(store, plan, result):
    folder = f"reports/{plan.spec.name}/{result.digest}/"
    assert [key.removeprefix(folder) for key in store.list(folder)] == [
        "figures/performance-drawn-glioma.png",
        "figures/performance-drawn-glioma.svg",
        "figures/slices-drawn-glioma.png",
        "figures/slices-drawn-glioma.svg",
        "report.html",
        "tables/effects.csv",
        "tables/performance.csv",
        "tables/studies.csv",
        "tables/summary.csv",
    ]


def test_the_same_results_give_the_same_bytes(store, drawn_store, plan, result):
    folder = f"reports/{plan.spec.name}/"
    first = {key: store.get(key) for key in store.list(folder)}
    assert write_report(drawn_store, plan) == result
    assert {key: drawn_store.get(key) for key in drawn_store.list(folder)} == first


def test_seconds_spent_do_not_name_another_analysis(drawn_store, plan, rows, result):
    run = plan.runs[3]
    key = keys.STUDY_ROWS.build(study_name=plan.spec.name, run_id=run.run_id)
    own = [row for row in rows if row.run_id == run.run_id]
    write_rows(drawn_store, key, [row.model_copy(update={"inference_s": 99.0}) for row in reversed(own)], StudyRow)
    assert write_report(drawn_store, plan) == result
    write_rows(drawn_store, key, [row.model_copy(update={"spurious": 40}) for row in own], StudyRow)
    assert write_report(drawn_store, plan).digest != result.digest


class Page(HTMLParser):
    """Collects what the page would load, and whether every element is closed."""

    VOID = frozenset({"meta", "img", "link", "br", "hr", "input"})

    def __init__(self):
        super().__init__()
        self.open, self.loads, self.tables = [], [], 0

    def handle_starttag(self, tag, attrs):
        self.tables += tag == "table"
        self.loads += [value for name, value in attrs if name in ("src", "href", "xlink:href", "data", "action")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in self.VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_is_complete_and_loads_nothing_from_outside(html):
    page = Page()
    page.feed(html)
    assert page.open == []
    assert page.tables == 4
    assert all(value.startswith(("#", "data:")) for value in page.loads)
    assert not re.search(r"@import|url\((?!#)", html)


def test_what_people_wrote_is_escaped(html):
    assert "mask: &lt;empty&gt; &amp; not binary: values 0, 1, 7" in html
    assert "<empty>" not in html


def test_the_answer_stands_first_and_is_the_one_on_screen(html, result):
    first = result.answer.splitlines()[0]
    assert first.startswith("With 8 labelled studies, fine-tuning from drawn-glioma ")
    assert html.index(first) < html.index("<table")


def test_simulated_studies_are_said_to_be_simulated(html, result):
    assert "Simulated studies" in html
    assert "The studies are simulated" in result.answer


def test_hashes_of_all_that_the_analysis_rests_on_are_in_the_page(html, plan, result):
    for value in (result.digest, plan.digest(), plan.manifest, "b" * 64, "c" * 16, plan.spec.metric.label()):
        assert value in html


def test_csv_files_agree_with_the_rows(store, plan, rows, result):
    studies = records(store, plan, result, "studies.csv")
    assert len(studies) == len(rows)
    assert "inference_s" not in studies[0]
    fresh = [row.sensitivity for row in rows if (row.arm, row.training_size) == ("de-novo", 4)]
    line = next(
        record
        for record in records(store, plan, result, "performance.csv")
        if (record["arm"], record["training_size"]) == ("de-novo", "4")
    )
    assert float(line["sensitivity_mean"]) == pytest.approx(sum(fresh) / len(fresh))
    assert len(records(store, plan, result, "effects.csv")) == 21
    assert len(records(store, plan, result, "summary.csv")) == 15


def test_missing_cells_are_counted_and_named_and_do_not_stop_the_analysis(drawn_store, plan):
    for run in plan.runs[5:8]:
        remove_run(drawn_store, plan, run)
    result = write_report(drawn_store, plan)
    html = drawn_store.get(result.key).decode()
    assert "3 of 13 cells have no results yet" in result.answer
    assert "Preliminary: 3 of 13 cells have no results yet" in html
    assert all(run.cell.title() in html for run in plan.runs[5:8])


def test_a_study_without_any_result_says_that_it_cannot_answer(drawn_store, plan):
    for run in plan.runs:
        remove_run(drawn_store, plan, run)
    result = write_report(drawn_store, plan)
    assert result.answer.startswith("These data cannot say whether fine-tuning from drawn-glioma helps")
    assert "13 of 13 cells have no results yet" in drawn_store.get(result.key).decode()


def test_a_missing_prediction_leaves_an_empty_panel_not_an_error(drawn_store, plan):
    drawn_store.delete_prefix("runs/")
    assert write_report(drawn_store, plan).digest


def test_a_study_without_default_models_still_has_its_table(drawn_store, plan):
    alone = plan.model_copy(
        update={
            "spec": plan.spec.model_copy(update={"sources": ()}),
            "runs": tuple(run for run in plan.runs if run.parent is None),
        }
    )
    result = write_report(drawn_store, alone)
    assert result.answer.startswith("These data cannot say whether fine-tuning helps")
    assert [line["arm"] for line in records(drawn_store, alone, result, "performance.csv")] == ["de-novo", "de-novo"]
