"""Which comparisons change between two definitions, and how."""

from dataclasses import replace

import pytest

from lesionlab.analysis.statistics.changes import Difference, changes
from lesionlab.analysis.statistics.comparisons import compare
from lesionlab.analysis.statistics.conditions import Condition, Stratum
from lesionlab.analysis.statistics.effects import Effect, Pair

EFFECT = Effect(
    metric="sensitivity",
    test="paired-t",
    stratum=Stratum(),
    pair=Pair(
        Condition(arm="fine-tuned", source="glioma", training_size=10),
        Condition(arm="de-novo", source=None, training_size=10),
    ),
    n=20,
    n_other=None,
    undefined=0,
    difference=0.1,
    statistic=3.0,
    p=0.004,
    p_bonferroni=0.02,
    family=5,
    significant=True,
)
WEAKER = {"p": 0.2, "p_bonferroni": 1.0, "significant": False}
NO_TEST = {"p": None, "p_bonferroni": None, "significant": False, "statistic": None}


@pytest.mark.parametrize(
    ("update", "differences"),
    [
        ({"p": 0.009, "difference": 0.3}, None),
        (WEAKER, (Difference.NO_LONGER_SIGNIFICANT,)),
        ({"difference": -0.1}, (Difference.REVERSED,)),
        (WEAKER | {"difference": -0.1}, (Difference.NO_LONGER_SIGNIFICANT, Difference.REVERSED)),
        (NO_TEST, (Difference.NO_LONGER_TESTABLE,)),
        ({"difference": 0.0}, None),
    ],
)
def test_a_result_changes_with_significance_direction_or_testability(update, differences):
    found = changes([EFFECT], [replace(EFFECT, **update)])
    assert [change.differences for change in found] == ([differences] if differences else [])


@pytest.mark.parametrize(
    ("update", "gained"), [(WEAKER, Difference.NOW_SIGNIFICANT), (NO_TEST, Difference.NOW_TESTABLE)]
)
def test_the_other_way_round_it_is_gained(update, gained):
    (change,) = changes([replace(EFFECT, **update)], [EFFECT])
    assert change.differences == (gained,)
    assert change.after == EFFECT


def test_effects_of_two_designs_are_not_compared():
    with pytest.raises(ValueError, match="the same comparisons in the same order"):
        changes([EFFECT], [replace(EFFECT, metric="ppv")])


def test_in_a_whole_study_only_what_was_turned_round_changes(rows, cells):
    """Fine-tuned and de novo exchange their sensitivities at one size: that comparison turns, and its F1, no other."""
    exchanged = {
        (row.arm, row.study): row.sensitivity for row in rows if row.training_size == 4 and row.arm != "default"
    }
    other_arm = {"fine-tuned": "de-novo", "de-novo": "fine-tuned"}
    turned = [
        row.model_copy(update={"sensitivity": exchanged[other_arm[row.arm], row.study]})
        if (row.arm, row.study) in exchanged and row.training_size == 4
        else row
        for row in rows
    ]
    before, after = compare(rows, cells, "per-study"), compare(turned, cells, "per-study")
    found = {
        (change.before.metric, change.before.test, change.before.training_size) for change in changes(before, after)
    }
    assert ("sensitivity", "paired-t", 4) in found
    assert {metric for metric, *_ in found} == {"sensitivity", "f1"}  # F1 follows from sensitivity and PPV
    assert changes(before, before) == ()
