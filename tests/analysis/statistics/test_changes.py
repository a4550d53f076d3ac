"""Effects of one design by two definitions in; the conclusions that change, in words, out."""

import pytest

from lesionlab.analysis.statistics.changes import changes
from lesionlab.analysis.statistics.comparisons import compare
from storage_schemas.results import EffectRow

EFFECT = EffectRow(
    metric="sensitivity",
    test="paired-t",
    comparison="fine-tuned from glioma against de novo",
    training_size=10,
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
    ("update", "what"),
    [
        ({"p": 0.009, "difference": 0.3}, None),
        (WEAKER, ("not significant any more",)),
        ({"difference": -0.1}, ("other direction",)),
        (WEAKER | {"difference": -0.1}, ("not significant any more", "other direction")),
        (NO_TEST, ("cannot be computed any more",)),
        ({"difference": 0.0}, None),
    ],
)
def test_a_conclusion_changes_with_significance_direction_or_computability(update, what):
    found = changes([EFFECT], [EFFECT.model_copy(update=update)])
    assert [change.what for change in found] == ([what] if what else [])


@pytest.mark.parametrize(("update", "what"), [(WEAKER, "significant now"), (NO_TEST, "can be computed now")])
def test_the_other_way_round_it_is_gained(update, what):
    (change,) = changes([EFFECT.model_copy(update=update)], [EFFECT])
    assert change.what == (what,)
    assert change.after == EFFECT


def test_effects_of_two_designs_are_not_compared():
    with pytest.raises(ValueError, match="the same comparisons in the same order"):
        changes([EFFECT], [EFFECT.model_copy(update={"training_size": 20})])


def test_in_a_whole_study_only_what_was_turned_round_changes(rows, cells):
    """Fine-tuned and de novo exchange their sensitivities at one size: that comparison turns, and no other metric's."""
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
    assert {metric for metric, *_ in found} == {"sensitivity"}
    assert changes(before, before) == ()
