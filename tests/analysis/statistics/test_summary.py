"""Mean ± SE by hand, and what is left out of it."""

from __future__ import annotations

import pytest

from lesionlab.analysis.statistics.conditions import Condition, conditions
from lesionlab.analysis.statistics.summary import summarise
from storage_schemas.metrics import METRICS

DE_NOVO = Condition(arm="de-novo", source=None, training_size=4)


def test_mean_and_standard_error_by_hand(table_of):
    # 0.2, 0.4, 0.6: SD 0.2 with n − 1, SE 0.2/√3. The fourth study is undefined and left out.
    rows = table_of({("de-novo", 4): {(1, 1): 0.2, (1, 2): 0.4, (2, 1): 0.6, (2, 2): None}})
    summary = summarise(rows, [DE_NOVO])[0]
    assert (summary.mean, summary.se) == (pytest.approx(0.4), pytest.approx(0.2 / 3**0.5))
    assert (summary.n, summary.undefined) == (3, 1)


def test_under_worst_a_mean_says_which_studies_count_as_the_worst_and_which_are_left_out(table_of):
    rows = [
        row.model_copy(update={"ppv": ppv, "sensitivity": sensitivity})
        for row, ppv, sensitivity in zip(
            table_of({("de-novo", 4): dict.fromkeys(((1, 1), (1, 2), (2, 1), (2, 2)), 0.5)}),
            (0.6, 0.0, None, None),
            (0.5, None, 0.0, None),
            strict=True,
        )
    ]
    sensitivity, ppv, *_ = summarise(rows, [DE_NOVO], "worst")
    assert (ppv.mean, ppv.n, ppv.undefined, ppv.as_worst, ppv.tested) == (pytest.approx(0.2), 3, 2, 1, 4)
    assert (sensitivity.mean, sensitivity.n, sensitivity.undefined, sensitivity.as_worst) == (0.25, 2, 2, 0)


@pytest.mark.parametrize(("values", "wanted"), [([], (None, None)), ([None], (None, None)), ([0.5], (0.5, None))])
def test_too_few_values_give_null(table_of, values, wanted):
    rows = table_of({("de-novo", 4): {(1, i): value for i, value in enumerate(values, start=1)}})
    summary = summarise(rows, [DE_NOVO])[0]
    assert (summary.mean, summary.se) == wanted


def test_a_study_counts_once_however_many_seeds_were_trained(table_of):
    one = table_of({("de-novo", 4): {(1, 1): 0.2, (1, 2): 0.4}})
    two = table_of({("de-novo", 4): {(1, 1): 0.4, (1, 2): None}}, seed=1)
    summary = summarise(one + two, [DE_NOVO])[0]
    assert (summary.n, summary.mean) == (2, pytest.approx(0.35))


def test_conditions_stand_in_the_order_of_the_papers_tables(cells):
    assert [(model.arm, model.source, model.training_size) for model in conditions(reversed(cells))] == [
        ("default", "drawn-glioma", 0),
        ("fine-tuned", "drawn-glioma", 4),
        ("de-novo", None, 4),
        ("fine-tuned", "drawn-glioma", 8),
        ("de-novo", None, 8),
    ]


def test_every_condition_has_every_metric(rows, cells):
    found = [(s.condition, s.metric) for s in summarise(rows, conditions(cells))]
    assert len(set(found)) == len(found) == len(METRICS) * 5
