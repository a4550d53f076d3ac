"""Each metric is declared once, with everything that rows and goals need."""

from __future__ import annotations

from typing import get_args

import pytest
from pydantic import ValidationError

from storage_schemas.experiments import Goal
from storage_schemas.metrics import COLUMNS, FRACTIONS, METRICS, PRIMARY, Measured, Metric, Worst
from storage_schemas.results import StudyRow


def test_every_metric_is_a_column_of_the_study_rows() -> None:
    assert METRICS == get_args(Metric) == tuple(name for name in Measured.model_fields if name in COLUMNS)
    assert set(METRICS) <= StudyRow.model_fields.keys()
    assert set(PRIMARY) <= set(FRACTIONS) <= set(METRICS)


def test_a_metric_that_may_be_undefined_has_a_reason() -> None:
    assert all(COLUMNS[metric].undefined for metric in FRACTIONS)
    assert all(column.undefined for column in COLUMNS.values() if column.worst is not None)


def test_only_ppv_has_a_worst_value_and_only_where_there_was_a_lesion_to_find() -> None:
    worst = {metric: column.worst for metric, column in COLUMNS.items() if column.worst is not None}
    assert worst == {"ppv": Worst(0.0, if_defined="sensitivity")}


@pytest.mark.parametrize("metric", FRACTIONS)
def test_a_fraction_is_from_0_to_1_and_may_have_a_goal(metric: str) -> None:
    for value in (-0.1, 1.1):
        with pytest.raises(ValidationError):
            Measured(**{metric: value})
    assert Goal(metric=metric, target=0.5).metric == metric


def test_a_count_has_no_upper_bound_and_cannot_have_a_goal() -> None:
    assert Measured(false_positives=7).measured("false_positives") == 7
    with pytest.raises(ValidationError):
        Measured(false_positives=-1)
    with pytest.raises(ValidationError):
        Goal(metric="false_positives", target=0.5)
