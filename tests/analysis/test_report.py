"""The whole statistics job over a store in memory: what it writes, what it says, and what it does with gaps."""

from __future__ import annotations

import csv
import io
import os
import re
import subprocess
import sys
from hashlib import sha256
from html.parser import HTMLParser

import pytest

from lesionlab.analysis.evidence import read_evidence
from lesionlab.analysis.experiment_analysis import analyse
from lesionlab.analysis.pages.hashes import study_digest
from lesionlab.analysis.pages.page import prose
from lesionlab.analysis.report import write_report
from lesionlab.analysis.statistics.cautions import General, Preliminary
from lesionlab.analysis.statistics.conditions import Stratum
from lesionlab.analysis.statistics.verdicts import NotTestable, OneArmOnly
from lesionlab.analysis.words import cautions
from lesionlab.analysis.words import pages as words
from lesionlab.analysis.words import tables as table_words
from lesionlab.experiments.provenance import analysis_versions
from lesionlab.experiments.stored_plans import store_plan
from lesionlab.store.tables import read_rows, write_rows
from storage_schemas import keys
from storage_schemas.facts import StudyFacts
from storage_schemas.metrics import METRICS
from storage_schemas.results import LesionRow, StudyRow
from storage_schemas.verdicts import VerdictRow
from tests.analysis.conftest import NULL_REPETITIONS, WEIGHTS


@pytest.fixture(scope="module")
def store(written):
    """Shared by the tests that only read; the others draw their own."""
    return written[0]


@pytest.fixture(scope="module")
def result(written):
    return written[1]


@pytest.fixture(scope="module")
def html(store, result):
    return store.get(result.key).decode()


def records(store, plan, result, name):
    key = keys.REPORT_TABLE.build(experiment=plan.spec.name, digest=result.digest, table=name)
    return list(csv.DictReader(io.StringIO(store.get(key).decode())))


def remove_run(store, plan, run):
    store.delete(keys.STUDY_ROWS.build(experiment=plan.spec.name, run_id=run.run_id))


def test_report_tables_figures_and_study_pages_lie_under_one_analysis(store, plan, manifest, result):
    folder = f"reports/{plan.spec.name}/{result.digest}/"
    files = [key.removeprefix(folder) for key in store.list(folder)]
    pair = "fine-tuned-from-drawn-glioma-versus-de-novo"
    figures = [
        "answer",
        "rotation",
        "volume-agreement",
        "performance-drawn-glioma",
        "slices-drawn-glioma",
        f"learning-{pair}",
        "lesion-volumes",
    ]
    assert {f"figures/{name}.{ending}" for name in figures for ending in ("png", "svg")} == {
        name for name in files if name.startswith("figures/")
    }
    tables = ["table-3-drawn-glioma", "characteristics-by-site", "scanners-train-test", "sites", "lesion-volumes"]
    assert {f"tables/{name}.{ending}" for name in tables for ending in ("csv", "md", "html")} <= set(files)
    assert {f"tables/{name}.csv" for name in ("effects", "lesions", "learning-curves")} <= set(files)
    assert {f"tables/{name}.csv" for name in ("performance", "studies", "summary")} <= set(files)
    assert [f"studies/{entry.study}.html" for entry in manifest.studies] == [
        name for name in files if name.startswith("studies/")
    ]


def test_every_file_of_the_report_is_in_the_page_with_its_hash(store, plan, result, html):
    folder = f"reports/{plan.spec.name}/{result.digest}/"
    for key in store.list(folder):
        if not key.endswith("/report.html"):
            assert key.removeprefix(folder) in html
            assert sha256(store.get(key)).hexdigest() in html


def test_the_same_results_give_the_same_bytes(store, drawn_store, plan, result):
    folder = f"reports/{plan.spec.name}/"
    first = {key: store.get(key) for key in store.list(folder)}
    assert write_report(drawn_store, plan, NULL_REPETITIONS) == result
    assert {key: drawn_store.get(key) for key in drawn_store.list(folder)} == first


@pytest.mark.slow
def test_the_same_results_give_the_same_bytes_in_another_process(draw_store, plan, tmp_path):
    uri = f"file://{tmp_path / 'store'}"
    store_plan(draw_store(uri), plan)
    # Sets and hashes have another order in each of them.
    for seed in ("1", "2"):
        command = [sys.executable, "-m", "jobs.analyse", plan.spec.name, "--store", uri, "--null-repetitions", "1"]
        subprocess.run(
            [*command, "--out", str(tmp_path / seed)],
            env={**os.environ, "PYTHONHASHSEED": seed},
            check=True,
            capture_output=True,
        )
    one, other = ({p.relative_to(f): p.read_bytes() for p in f.rglob("*.*")} for f in (tmp_path / "1", tmp_path / "2"))
    assert len(one) > 50
    assert one == other


@pytest.fixture
def digest(drawn_store, plan):
    """Names the analysis of what the store holds now."""
    analysis = analyse(drawn_store, plan, NULL_REPETITIONS)
    return lambda: study_digest(plan, analysis, read_evidence(drawn_store, plan))


@pytest.mark.parametrize(
    ("pattern", "row", "change"),
    [
        (keys.LESION_ROWS, LesionRow, {"volume_mm3": 81.0}),
        (keys.FACTS, StudyFacts, {"age_years": 40.0}),
        (keys.VERDICTS, VerdictRow, {"what": "another finding"}),
    ],
    ids=["lesions", "facts", "verdicts"],
)
def test_whatever_the_report_shows_names_the_analysis(
    drawn_store, plan, manifest, result, digest, pattern, row, change
):
    place = {
        "experiment": plan.spec.name,
        "run_id": plan.runs[0].run_id,
        "cohort": manifest.cohort,
        "site": "north",
        "digest": manifest.parts["north"],
    }
    key = pattern.build(**{name: place[name] for name in pattern.fields})
    first, *others = read_rows(drawn_store, [key], row)
    assert digest() == result.made_from
    write_rows(drawn_store, key, [*others, first], row)
    assert digest() == result.made_from
    write_rows(drawn_store, key, [first.model_copy(update=change), *others], row)
    assert digest() != result.made_from


def test_other_code_names_another_analysis(monkeypatch, result, digest):
    assert digest() == result.made_from
    monkeypatch.setattr("lesionlab.experiments.provenance.ANALYSIS", ("lesionlab.analysis", "lesionlab.store"))
    assert digest() != result.made_from


def test_seconds_spent_do_not_name_another_analysis(drawn_store, plan, rows, result):
    def digest():
        return study_digest(plan, analyse(drawn_store, plan, NULL_REPETITIONS), read_evidence(drawn_store, plan))

    run = plan.runs[3]
    key = keys.STUDY_ROWS.build(experiment=plan.spec.name, run_id=run.run_id)
    own = [row for row in rows if row.run_id == run.run_id]
    write_rows(drawn_store, key, [row.model_copy(update={"inference_s": 99.0}) for row in reversed(own)], StudyRow)
    assert digest() == result.made_from
    write_rows(drawn_store, key, [row.model_copy(update={"false_positives": 40}) for row in own], StudyRow)
    assert digest() != result.made_from


class Page(HTMLParser):
    """Collects what the page would load, and whether every element is closed."""

    VOID = frozenset({"meta", "img", "link", "br", "hr", "input"})

    def __init__(self):
        super().__init__()
        self.open, self.loads, self.links, self.tables = [], [], [], 0

    def handle_starttag(self, tag, attrs):
        self.tables += tag == "table"
        there = self.links if tag == "a" else self.loads
        there += [value for name, value in attrs if name in ("src", "href", "xlink:href", "data", "action")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in self.VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def assert_complete(html):
    """Returns the page, whose links are still to be followed."""
    page = Page()
    page.feed(html)
    assert page.open == []
    assert all(value.startswith(("#", "data:")) for value in page.loads)
    assert not re.search(r"@import|url\((?!#)", html)
    return page


def test_the_page_is_complete_and_loads_nothing_from_outside(html):
    assert assert_complete(html).tables > 10


def test_links_lead_to_the_pages_of_the_studies_and_back(store, result, html):
    folder = result.key.rpartition("/")[0]
    links = {link for link in assert_complete(html).links if not link.startswith("#")}
    assert len(links) == 12
    for link in links:
        back = assert_complete(store.get(f"{folder}/{link}").decode()).links
        assert back == ["../report.html#studies"]
    assert {link[1:] for link in assert_complete(html).links if link.startswith("#")} | {"studies"} <= set(
        re.findall(r'<section id="([a-z]+)"', html)
    )


def test_lesion_and_hit_are_defined(html, plan):
    for meaning in (words.lesion_is(plan.spec.metric), words.hit_is(plan.spec.metric)):
        assert meaning in html
    assert f"{plan.spec.metric.connectivity}-" in words.lesion_is(plan.spec.metric)


def test_what_is_ours_is_apart_from_what_is_the_papers(html):
    paper, ours = html.split('<section id="supplementary">')
    assert "Form: Table 3 of Wahlig et al. 2023" in paper
    assert table_words.MIXED not in paper.split('id="performance"')[1]
    assert table_words.MIXED in ours


def test_a_cohort_without_facts_says_that_tables_1_and_2_are_missing(drawn_store, plan, manifest, html):
    missing = str(prose(words.no_facts(manifest.cohort)))
    assert missing not in html
    for pattern in (keys.FACTS, keys.VERDICTS):
        drawn_store.delete(pattern.build(site="north", cohort=manifest.cohort, digest=manifest.parts["north"]))
    without = drawn_store.get(write_report(drawn_store, plan, NULL_REPETITIONS).key).decode()
    assert missing in without
    # The manifest itself still knows why a study was excluded.
    assert "<td>&lt;empty&gt; &amp; not binary: values 0, 1, 7</td>" in without


def test_what_people_wrote_is_escaped(html):
    assert "<td>mask</td><td>&lt;empty&gt; &amp; not binary: values 0, 1, 7</td>" in html
    assert "<empty>" not in html


def test_the_answer_stands_first_and_is_the_one_on_screen(html, result):
    first = result.answer.splitlines()[0]
    assert "drawn-glioma" in first
    assert html.index(first) < html.index("<table")


def test_simulated_studies_are_said_to_be_simulated(html, result):
    assert words.SIMULATED in html
    assert cautions.sentence(General.SIMULATED) in result.answer


def test_hashes_of_all_that_the_analysis_rests_on_are_in_the_page(html, plan, result):
    for value in (result.made_from, plan.id, plan.manifest, "b" * 64, plan.spec.metric.label(), WEIGHTS):
        assert value in html
    for name, version in analysis_versions().items():
        assert re.search(rf"<code>{re.escape(name)}</code></dt><dd><code>{re.escape(version)}</code>", html)


def test_csv_files_agree_with_the_rows(store, plan, rows, result):
    studies = records(store, plan, result, "studies.csv")
    assert len(studies) == len(rows)
    assert "inference_s" not in studies[0]
    de_novo = [row.sensitivity for row in rows if (row.arm, row.training_size) == ("de-novo", 4)]
    line = next(
        record
        for record in records(store, plan, result, "performance.csv")
        if (record["arm"], record["training_size"]) == ("de-novo", "4")
    )
    assert float(line["sensitivity_mean"]) == pytest.approx(sum(de_novo) / len(de_novo))
    assert len(records(store, plan, result, "effects.csv")) == 7 * len(METRICS)
    assert len(records(store, plan, result, "summary.csv")) == 5 * len(METRICS)


def test_missing_cells_are_counted_and_named_and_do_not_stop_the_analysis(drawn_store, plan):
    for run in plan.runs[5:8]:
        remove_run(drawn_store, plan, run)
    result = write_report(drawn_store, plan, NULL_REPETITIONS)
    html = drawn_store.get(result.key).decode()
    assert cautions.sentence(Preliminary(3, 13)) in result.answer
    assert words.preliminary(3, 13) in html
    assert all(run.cell.title() in html for run in plan.runs[5:8])


def test_an_experiment_without_any_result_cannot_answer(drawn_store, plan):
    for run in plan.runs:
        remove_run(drawn_store, plan, run)
    result = write_report(drawn_store, plan, NULL_REPETITIONS)
    (verdict,) = analyse(drawn_store, plan, NULL_REPETITIONS).answer.verdicts
    assert isinstance(verdict, NotTestable)
    assert words.preliminary(13, 13) in drawn_store.get(result.key).decode()


def test_a_missing_prediction_leaves_an_empty_panel_not_an_error(drawn_store, plan):
    drawn_store.delete_prefix("runs/")
    assert write_report(drawn_store, plan, NULL_REPETITIONS).digest


def test_a_study_without_default_models_still_has_its_table(drawn_store, plan):
    alone = plan.model_copy(
        update={
            "spec": plan.spec.model_copy(update={"sources": ()}),
            "runs": tuple(run for run in plan.runs if run.parent is None),
        }
    )
    result = write_report(drawn_store, alone, NULL_REPETITIONS)
    assert analyse(drawn_store, alone, NULL_REPETITIONS).answer.open == (OneArmOnly(Stratum(), ()),)
    assert [line["arm"] for line in records(drawn_store, alone, result, "performance.csv")] == ["de-novo", "de-novo"]
