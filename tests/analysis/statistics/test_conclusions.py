"""Which verdicts, crossings and savings change between two metric definitions."""

from __future__ import annotations

import csv
from io import StringIO

import pytest

from lesionlab.analysis.sheets.sheet import as_csv
from lesionlab.analysis.sheets.two_definitions import comparisons_sheet, conclusions_sheet, volumes_sheet
from lesionlab.analysis.statistics.changes import compared
from lesionlab.analysis.statistics.compute import statistics
from lesionlab.analysis.statistics.conclusions import (
    CrossingChange,
    CrossingConclusion,
    EndpointConclusion,
    SavingConclusion,
    VerdictConclusion,
    conclusions,
)
from lesionlab.analysis.statistics.headline import SavingClaim
from lesionlab.analysis.statistics.supplementary import Options
from lesionlab.analysis.statistics.verdicts import Outcome
from lesionlab.analysis.statistics.volumes import sensitivity_by_volume
from lesionlab.analysis.words import tables as words
from tests.analysis.statistics.test_volumes import FINE_TUNED, LARGE, lesion


@pytest.fixture(scope="module")
def judged(cells):
    return lambda rows: statistics(rows, cells, "per-study", Options(null_repetitions=0))


@pytest.fixture(scope="module")
def before(judged, rows):
    return judged(rows)


@pytest.fixture(scope="module")
def blind(judged, rows):
    """Fine-tuned networks find nothing any more."""
    return judged([row.model_copy(update={"sensitivity": 0.0}) if row.arm == "fine-tuned" else row for row in rows])


def test_by_the_same_definition_nothing_changes(before):
    found = conclusions(before, before)
    assert {type(one) for one in found} == {EndpointConclusion, VerdictConclusion, CrossingConclusion, SavingConclusion}
    assert not any(one.changed for one in found)


def test_a_way_of_training_that_finds_nothing_any_more_loses_its_verdict_its_crossing_and_its_saving(before, blind):
    endpoint, verdict, crossing, saving = (one for one in conclusions(before, blind) if one.changed)
    assert (endpoint.before.metric, endpoint.primary) == ("sensitivity", False)
    outcomes = [set(one.outcomes["sensitivity"].values()) for one in (verdict.before, verdict.after)]
    assert outcomes == [{Outcome.HIGHER}, {Outcome.LOWER}]
    assert verdict.before.outcomes["ppv"] == verdict.after.outcomes["ppv"]
    assert (crossing.metric, crossing.way.arm, crossing.change) == (
        "sensitivity",
        "fine-tuned",
        CrossingChange.NO_LONGER_REACHED,
    )
    assert (crossing.before.studies, crossing.after.reached) == (4, False)
    assert (saving.curves.metric, saving.before) == ("sensitivity", SavingClaim.CLAIMED)
    assert saving.after is not SavingClaim.CLAIMED


def test_a_crossing_that_is_reached_by_the_other_definition_is_said_to_be(before, blind):
    (found,) = (one.change for one in conclusions(blind, before) if isinstance(one, CrossingConclusion) and one.changed)
    assert found is CrossingChange.NOW_REACHED


def test_fewer_studies_behind_a_verdict_are_no_other_verdict(before, judged, rows):
    one_less = judged([row.model_copy(update={"ppv": None}) if row.study == "sub-012" else row for row in rows])
    (verdict,) = (one for one in conclusions(before, one_less) if isinstance(one, VerdictConclusion))
    assert (verdict.before.n, verdict.after.n, verdict.changed) == ((12, 12), (11, 12), False)


def test_the_tables_hold_every_comparison_and_conclusion_whether_changed_or_not(before, blind):
    lines = list(csv.DictReader(StringIO(as_csv(comparisons_sheet(compared(before.effects, blind.effects), "both")))))
    assert len(lines) == len(before.effects)
    changed = [line["Metric"] for line in lines if line[words.CHANGE]]
    assert set(changed) == {"sensitivity", "f1"}
    assert len(changed) < len(lines)
    assert {f"{words.BEFORE}: p", f"{words.NOW}: p"} <= set(lines[0])
    every = conclusions(before, blind)
    assert len(conclusions_sheet(every, "both").rows) == len(every)


def test_sensitivity_by_volume_is_given_with_the_lesions_of_either_definition():
    strict = sensitivity_by_volume({FINE_TUNED: [lesion(1, number, LARGE, found=number == 1) for number in (1, 2)]})
    lenient = sensitivity_by_volume({FINE_TUNED: [lesion(1, 1, LARGE, found=True)]})
    (line,) = [row for row in volumes_sheet(strict, lenient, "both").rows if row[1] == "50–100"]
    assert line[2:] == ("2", "0.50", "1", "1.00")
