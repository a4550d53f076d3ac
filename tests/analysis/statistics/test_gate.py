"""A candidate passes a rule only if every condition is shown on patients, one-sided, at the level of one look."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from lesionlab.analysis.statistics.gate import judge
from lesionlab.errors import InputError
from storage_schemas.rules import Rule
from tests.analysis.drawn_gates import rows, rule

NOT_WORSE = {"kind": "non-inferior", "metric": "sensitivity", "margin": 0.05}
BETTER = {"kind": "superior", "metric": "ppv"}
EVERY_SITE = {"kind": "no-site-worse", "metric": "sensitivity", "margin": 0.1}
ENOUGH = {"kind": "least-patients", "patients": 30}


def drawn(gain: float, count: int = 30, sd: float = 0.05, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    before = rng.uniform(0.3, 0.7, count)
    return before, before + gain + rng.normal(0, sd, count)


@pytest.mark.parametrize(("gain", "passed"), [(0.0, True), (-0.05, False), (0.1, True)])
def test_not_worse_by_a_margin_is_a_one_sided_paired_t_test(gain: float, passed: bool) -> None:
    before, now = drawn(gain)
    (found,) = judge(rule(NOT_WORSE), rows(before), rows(now))
    expected = stats.ttest_1samp(now - before, -0.05, alternative="greater")
    assert found.passed == passed
    assert found.p == pytest.approx(expected.pvalue)
    assert found.estimate == pytest.approx(float(np.mean(now - before)))
    assert (found.limit > -0.05) == found.passed


def test_each_look_has_its_share_of_alpha() -> None:
    before, _ = drawn(0.0)
    wave = np.sin(np.arange(30))
    now = before + 0.02 + 0.05 * (wave - wave.mean()) / wave.std(ddof=1)  # t = 2.2
    p = judge(rule(BETTER), rows(before), rows(now))[0].p
    assert p is not None
    assert 0.005 < p < 0.05
    outcome = [judge(rule(BETTER, looks=looks), rows(before), rows(now))[0].passed for looks in (1, 10)]
    assert outcome == [True, False]


def test_one_bad_site_fails_the_rule_and_is_named() -> None:
    before, now = drawn(0.0)
    now[1::3] -= 0.2
    (found,) = judge(rule(EVERY_SITE), rows(before), rows(now))
    assert (found.passed, found.site, found.patients) == (False, "south", 10)
    assert judge(rule(EVERY_SITE), rows(before), rows(before + 0.01 * np.sin(np.arange(30))))[0].passed


def test_two_hospitals_may_both_have_a_patient_of_the_same_label() -> None:
    before, now = drawn(0.0)
    namesakes = [[row.model_copy(update={"patient": "sub-01"}) for row in rows(values)] for values in (before, now)]
    (found,) = judge(rule(EVERY_SITE), *namesakes)
    assert found.patients == 1
    (found,) = judge(rule(NOT_WORSE), *namesakes)
    assert found.patients == 3


def test_several_studies_of_one_patient_are_one_cluster() -> None:
    before, now = drawn(0.0, count=6)
    twice = [
        [*rows(values), *(r.model_copy(update={"study": f"{r.study}-b"}) for r in rows(values))]
        for values in (before, now)
    ]
    once = judge(rule(NOT_WORSE), rows(before), rows(now))[0]
    again = judge(rule(NOT_WORSE), *twice)[0]
    assert again.p == pytest.approx(once.p)
    assert again.patients == 6


@pytest.mark.parametrize(
    ("count", "spread", "why"), [(2, 0.05, "few patients"), (10, 0.0, "no spread")], ids=["few", "no spread"]
)
def test_what_cannot_be_tested_does_not_pass(count: int, spread: float, why: str) -> None:
    before, now = drawn(0.2, count=count, sd=spread)
    (found,) = judge(rule(NOT_WORSE), rows(before), rows(now))
    assert (found.passed, found.untested, found.p) == (False, why, None)


def test_finding_nothing_does_not_pay() -> None:
    """Without a predicted lesion PPV is undefined; by the default policy it counts as 0."""
    before, now = drawn(0.1)
    silent = [value if number % 3 else None for number, value in enumerate(now)]
    counted = judge(rule(BETTER), rows(before), rows(now, silent))[0]
    left_out = judge(rule(BETTER, undefined="exclude"), rows(before), rows(now, silent))[0]
    assert (counted.passed, counted.patients) == (False, 30)
    assert (left_out.passed, left_out.patients) == (True, 20)


def test_the_smallest_number_counts_patients_with_every_metric() -> None:
    before, now = drawn(0.1)
    some: list[float | None] = [None, *now[1:].tolist()]
    by = rule(NOT_WORSE, BETTER, ENOUGH, undefined="exclude")
    assert [found.passed for found in judge(by, rows(before), rows(now))] == [True, True, True]
    found = judge(by, rows(before), rows(now, some))
    assert ([outcome.passed for outcome in found], found[-1].patients) == ([True, True, False], 29)


def test_both_models_must_have_been_tested_on_the_same_studies() -> None:
    before, now = drawn(0.0)
    with pytest.raises(InputError, match="south/sub-028, west/sub-029 of one"):
        judge(rule(NOT_WORSE), rows(before)[:-2], rows(now))
    with pytest.raises(InputError, match="31 rows of 30 studies"):
        judge(rule(NOT_WORSE), rows(before), [*rows(now), rows(now)[0]])


@pytest.mark.parametrize(
    ("conditions", "wanted"),
    [([NOT_WORSE, NOT_WORSE], "found one twice"), ([ENOUGH], "at least one that tests a metric")],
    ids=["twice", "no test"],
)
def test_a_rule_that_says_nothing_or_something_twice_is_refused(
    conditions: list[dict[str, object]], wanted: str
) -> None:
    with pytest.raises(ValueError, match=wanted):
        rule(*conditions)


def test_a_rule_is_named_by_every_part_of_it() -> None:
    first = rule(NOT_WORSE)
    others = [rule(BETTER), rule(NOT_WORSE, looks=4), rule(NOT_WORSE, alpha=0.01), rule(NOT_WORSE, undefined="exclude")]
    assert len({first.id, *(other.id for other in others)}) == 5
    assert Rule.from_stored(first.stored_form()) == first
