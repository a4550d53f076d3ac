"""The answer as lines: in order, by stratum, with the numbers of the statistics."""

from __future__ import annotations

import re

import pytest

from lesionlab.analysis.statistics.compute import statistics
from lesionlab.analysis.statistics.supplementary import Options
from lesionlab.analysis.words.answer import AnswerText, answer_text
from lesionlab.analysis.words.numbers import mean_se, p_equals, signed
from tests.analysis.drawn_rows import drawn_rows


def text_of(rows) -> AnswerText:
    return answer_text(statistics(rows, rows, "per-study", Options(null_repetitions=0)).answer)


def test_each_stratum_has_its_verdicts_together(rows):
    deeper = [row.model_copy(update={"depth": 5, "sensitivity": 0.5, "ppv": 0.5}) for row in rows]
    found = text_of(rows + deeper)
    strata = [line.partition(":")[0] for line in (*found.paper, *found.curves)]
    assert strata == ["Depth 4", "Depth 5"] + ["Depth 4"] * 2 + ["Depth 5"] * 2


def test_what_holds_in_every_stratum_is_said_once(rows):
    deeper = [row.model_copy(update={"depth": 5}) for row in rows]
    alone, both = text_of(rows).paper, text_of(rows + deeper).paper
    assert [line.removeprefix("Depth 4, depth 5: ") for line in both] == list(alone)


def test_findings_have_the_means_and_the_tests(rows):
    found = statistics(rows, rows, "per-study", Options(null_repetitions=0))
    lines = answer_text(found.answer).findings
    for finding, line in zip(found.answer.findings[:2], lines[:2], strict=True):
        for test in finding.tests.values():
            for own in (test.paired.model, test.paired.other):
                assert f"{mean_se(own)} (n = {own.n})" in line
            assert f"{signed(test.difference, 2)} ({p_equals(test.p)}, n = {test.n} " in line


@pytest.mark.parametrize(("unit", "n"), [("fold-averaged", "n = 10 "), ("per-study", "n = 60 versus 10 ")])
def test_tests_against_the_rater_have_the_n_of_their_unit(unit, n):
    rows = drawn_rows(1, {"fine-tuned": 0.75, "de-novo": 1.1}, sizes=(10,), rater=0.6)
    lines = answer_text(statistics(rows, rows, unit, Options(null_repetitions=0)).answer).findings
    assert sum(line.count(n) for line in lines[-2:]) == 4


def test_means_and_differences_of_one_line_are_over_the_same_studies(rows, cells):
    some = [row for row in rows if (row.arm, row.training_size, row.fold) != ("de-novo", 8, 2)]
    found = statistics(some, cells, "per-study", Options(null_repetitions=0))
    (line,) = (line for line in answer_text(found.answer).findings if line.startswith("8 "))
    assert re.findall(r"n = (\d+)", line) == ["8"] * 6


def test_lost_pairs_are_told_with_the_arm_that_has_no_ppv(rows):
    silent = [
        row.model_copy(update={"ppv": None}) if (row.arm, row.fold, row.position) == ("de-novo", 1, 2) else row
        for row in rows
    ]
    found = text_of(silent)
    (line,) = (line for line in found.findings if line.startswith("8 "))
    assert "PPV leaves out 1 of 12 studies: undefined for de novo in 1." in line
    curve = found.curves[1]
    assert curve.count("11 with N = ") == curve.count("undefined for de novo in 1") == 2
    assert "undefined" not in found.curves[0]


def test_the_text_of_a_screen_has_every_line(rows):
    found = text_of(rows)
    lines = found.text().splitlines()
    assert tuple(lines[:3]) == found.headline
    assert {line.strip() for line in lines} >= {
        *(*found.notes, *found.secondary, *found.paper, *found.curves, *found.findings, *found.cautions)
    }
