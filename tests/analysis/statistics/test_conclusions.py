"""One study by two definitions in; which verdicts, crossings and savings change, out."""

from __future__ import annotations

import csv
from io import StringIO

import pytest

from lesionlab.analysis.sheets.rescored import comparisons_sheet, conclusions_sheet, rescored_volumes_sheet
from lesionlab.analysis.sheets.sheet import as_csv
from lesionlab.analysis.statistics.changes import compared
from lesionlab.analysis.statistics.compute import statistics
from lesionlab.analysis.statistics.conclusions import conclusions
from lesionlab.analysis.statistics.supplementary import Options
from lesionlab.analysis.statistics.volumes import sensitivity_by_volume
from tests.analysis.statistics.test_volumes import FINE_TUNED, LARGE, lesion


@pytest.fixture(scope="module")
def judged(cells):
    return lambda rows: statistics(rows, cells, "per-study", Options(null_repetitions=0))


@pytest.fixture(scope="module")
def before(judged, rows):
    return judged(rows)


def test_by_the_same_definition_nothing_changes(before):
    found = conclusions(before, before)
    assert {one.about.partition(":")[0] for one in found} == {"verdict", "sensitivity", "ppv"}
    assert [one.what for one in found] == [""] * len(found)


def test_a_way_of_training_that_finds_nothing_any_more_loses_its_verdict_and_its_crossing(before, judged, rows):
    blind = [row.model_copy(update={"sensitivity": 0.0}) if row.arm == "fine-tuned" else row for row in rows]
    changed = {one.about: one for one in conclusions(before, judged(blind)) if one.what}
    verdict = changed.pop("verdict")
    assert "significantly higher sensitivity" in verdict.before
    assert "significantly lower sensitivity" in verdict.after
    crossing = changed["sensitivity: fine-tuned from drawn-glioma reaches de novo with 8 studies"]
    assert (crossing.before[:5], crossing.what) == ("N ≤ 4", "not reached any more")
    assert "not reached with 8" in crossing.after
    assert not any(about.startswith("ppv") for about in changed)


def test_fewer_studies_behind_a_verdict_are_no_other_verdict(before, judged, rows):
    one_less = [row.model_copy(update={"ppv": None}) if row.study == "sub-012" else row for row in rows]
    assert [one.what for one in conclusions(before, judged(one_less)) if one.about == "verdict"] == [""]


def test_the_tables_hold_every_comparison_and_conclusion_whether_changed_or_not(before, judged, rows):
    blind = judged([row.model_copy(update={"sensitivity": 0.0}) if row.arm == "fine-tuned" else row for row in rows])
    told = list(csv.DictReader(StringIO(as_csv(comparisons_sheet(compared(before.effects, blind.effects), "both")))))
    assert len(told) == len(before.effects)
    assert {bool(line["What changes"]) for line in told} == {True, False}
    assert {line["Metric"] for line in told if line["What changes"]} == {"sensitivity"}
    assert {"Before: p", "Now: p"} <= set(told[0])
    every = conclusions(before, blind)
    assert len(conclusions_sheet(every, "both").rows) == len(every)


def test_sensitivity_by_volume_stands_side_by_side_with_the_lesions_of_either_definition():
    strict = sensitivity_by_volume({FINE_TUNED: [lesion(1, number, LARGE, found=number == 1) for number in (1, 2)]})
    lenient = sensitivity_by_volume({FINE_TUNED: [lesion(1, 1, LARGE, found=True)]})
    (line,) = [row for row in rescored_volumes_sheet(strict, lenient, "both").rows if row[1] == "50–100"]
    assert line[2:] == ("2", "0.50", "1", "1.00")
