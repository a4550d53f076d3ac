"""The answer never says more than the numbers: what it claims, and when it declines."""

from __future__ import annotations

import pytest

from lesionlab.analysis.answer import answer
from lesionlab.analysis.comparisons import compare
from lesionlab.analysis.conditions import conditions, places
from lesionlab.analysis.summary import summarise
from lesionlab.analysis.tables import performance_tables


def answer_to(rows, planned, simulated=False):
    planned = list(planned)
    tables = performance_tables(summarise(rows, conditions(planned)), compare(rows, planned, "fold-averaged"))
    return answer(tables, len(places(planned) - places(rows)), len(planned), simulated)


def drawn(table_of, tuned, fresh, **changes):
    """Six studies under both arms at size 4, with these sensitivities; PPV the same everywhere unless changed."""
    places = [(fold, position) for fold in (1, 2) for position in (1, 2, 3)]
    rows = table_of(
        {
            ("fine-tuned", 4): dict(zip(places, tuned, strict=True)),
            ("de-novo", 4): dict(zip(places, fresh, strict=True)),
        }
    )
    return [row.model_copy(update=changes) for row in rows]


LOW, HIGH = [0.1, 0.2, 0.15, 0.12, 0.25, 0.18], [0.7, 0.75, 0.8, 0.72, 0.79, 0.81]
MIXED = [0.25, 0.1, 0.2, 0.18, 0.13, 0.16]


@pytest.mark.parametrize(
    ("tuned", "fresh", "said"),
    [
        (HIGH, LOW, "had significantly higher sensitivity"),
        (LOW, HIGH, "had significantly lower sensitivity"),
        (LOW, MIXED, "showed no significant difference in sensitivity"),
        (LOW, LOW, "could not be tested in sensitivity"),
    ],
    ids=["better", "worse", "not shown", "identical"],
)
def test_the_verdict_follows_the_test(table_of, tuned, fresh, said):
    rows = drawn(table_of, tuned, fresh)
    rows = [row.model_copy(update={"ppv": value}) for row, value in zip(rows, [*MIXED, *LOW], strict=True)]
    verdict = answer_to(rows, rows).verdicts[0]
    assert verdict.startswith("With 4 labelled studies, fine-tuning from drawn-glioma ")
    assert said in verdict


def test_a_difference_that_was_not_shown_is_not_called_none(table_of):
    rows = drawn(table_of, LOW, MIXED)
    assert "Not significant means not shown; it does not mean that there is no difference." in (
        answer_to(rows, rows).cautions
    )


def test_the_numbers_in_the_answer_are_the_means(table_of):
    rows = drawn(table_of, HIGH, LOW, ppv=0.5)
    finding = answer_to(rows, rows).findings[0]
    assert "fine-tuned from drawn-glioma found 0.76 ± 0.02 of the lesions with PPV 0.50 ± 0.00" in finding
    assert "de novo found 0.17 ± 0.02 of the lesions" in finding
    assert "sensitivity +0.60 (p < 0.001, n = 6, significant)" in finding


def test_one_study_cannot_answer(table_of):
    rows = table_of({("fine-tuned", 4): {(1, 1): 0.9}, ("de-novo", 4): {(1, 1): 0.1}})
    found = answer_to(rows, rows)
    assert "cannot say" in found.verdicts[0]
    assert "one pair only" in found.verdicts[0]


def test_one_arm_alone_cannot_answer(rows):
    alone = [row for row in rows if row.arm == "fine-tuned"]
    assert "does not have both arms" in answer_to(alone, alone).verdicts[0]


def test_the_largest_size_that_can_be_tested_speaks(rows, cells):
    some = [row for row in rows if row.training_size != 8]
    found = answer_to(some, cells)
    assert found.verdicts[0].startswith("With 4 labelled studies")
    assert found.cautions[0] == "Preliminary: 6 of 13 cells have no results yet."


def test_means_over_different_studies_are_not_compared_and_their_n_is_said(rows, cells):
    some = [row for row in rows if (row.arm, row.training_size, row.fold) != ("de-novo", 8, 2)]
    assert any("By the means alone" in line for line in answer_to(rows, cells).findings)
    found = answer_to(some, cells)
    assert not any("By the means alone" in line for line in found.findings)
    assert any("8 labelled studies" in line and "(n = 12)" in line for line in found.findings)


def test_undefined_values_are_pointed_out(rows, cells):
    silent = [row.model_copy(update={"ppv": None}) if row.arm == "de-novo" and row.fold == 1 else row for row in rows]
    assert (
        "PPV of de novo, 4 studies: undefined in 4 of 12 studies (no lesion predicted), which are left out of its mean."
        in answer_to(silent, cells).cautions
    )


def test_simulated_studies_are_said_to_be_simulated(rows, cells):
    assert any("simulated" in line for line in answer_to(rows, cells, simulated=True).cautions)
    assert not any("simulated" in line for line in answer_to(rows, cells).cautions)
