"""`rule check` says how often an equal candidate passes; 2,000 simulated gates agree. Bad ones pass alpha at most."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from lesionlab.analysis.methods.gate_power import OneSided, rejections
from lesionlab.analysis.statistics.gate import judge
from lesionlab.analysis.statistics.rule_power import chance_when_equal
from storage_schemas.rules import Rule
from tests.analysis.drawn_gates import rows, rule

GATES, PATIENTS, LOOKS = 2000, 60, 5
SD = 0.2
NOT_WORSE = {"kind": "non-inferior", "metric": "sensitivity", "margin": 0.1}
BETTER = {"kind": "superior", "metric": "ppv"}
PPV_NOT_WORSE = {"kind": "non-inferior", "metric": "ppv", "margin": 0.1}
EVERY_SITE = {"kind": "no-site-worse", "metric": "sensitivity", "margin": 0.3}


def standardised(rng: np.random.Generator) -> np.ndarray:
    """Results of the champion with exactly this mean and SD."""
    values = rng.permutation(np.linspace(-1, 1, PATIENTS))
    return 0.5 + SD * (values - values.mean()) / values.std(ddof=1)


def promoted(by: Rule, differences_GLNM: np.ndarray) -> np.ndarray:
    """Whether each of G gates promotes each of its L candidates, from differences in N patients and M metrics."""
    gates, looks, patients, _ = differences_GLNM.shape
    sites = np.arange(patients) % 3
    everyone = np.arange(patients)
    tests = []
    for condition in by.conditions:
        place = by.metrics.index(condition.metric)
        bound = -getattr(condition, "margin", 0.0)
        groups = [everyone[sites == site] for site in range(3)] if condition.kind == "no-site-worse" else [everyone]
        tests += [OneSided(place, bound, group) for group in groups]
    found = rejections(differences_GLNM.reshape(gates * looks, patients, -1), tests, by.level)
    return found.all(axis=1).reshape(gates, looks)


def within_noise_of(share: float, expected: float) -> bool:
    """Whether a share of GATES differs by at most three standard errors, and the half per cent of drawn chances."""
    return abs(share - expected) <= 3 * np.sqrt(expected * (1 - expected) / GATES) + 0.005


@pytest.mark.parametrize("kind", ["worse by the margin", "equal where superiority is asked"])
def test_candidates_at_the_boundary_are_promoted_at_most_alpha_over_all_looks(kind: str) -> None:
    rng = np.random.default_rng(1)
    by = rule(NOT_WORSE if kind == "worse by the margin" else BETTER, PPV_NOT_WORSE, EVERY_SITE, looks=LOOKS)
    shift = {"sensitivity": 0.1 if kind != "worse by the margin" else -0.1, "ppv": 0.0}
    if kind == "worse by the margin":
        shift["ppv"] = 0.3
    mean = np.array([shift[metric] for metric in by.metrics])
    differences = rng.normal(mean, SD, (GATES, LOOKS, PATIENTS, 2))
    share = float(promoted(by, differences).any(axis=1).mean())
    assert share <= by.alpha + 3 * np.sqrt(by.alpha * (1 - by.alpha) / GATES)
    assert share > by.alpha / 3, "the level is used, not thrown away"


def test_counts_of_lesions_instead_of_normal_values_keep_the_level_too() -> None:
    """Sensitivities of few lesions, with patients that differ: the candidate finds 0.1 less everywhere."""
    rng = np.random.default_rng(2)
    by = rule(NOT_WORSE, looks=LOOKS)
    lesions = rng.integers(2, 30, (GATES, 1, PATIENTS))
    hit = np.clip(rng.beta(7, 3, (GATES, 1, PATIENTS)), 0.1, 1.0)
    shape = (GATES, LOOKS, PATIENTS)
    champion = np.broadcast_to(rng.binomial(lesions, hit) / lesions, shape)
    candidate = rng.binomial(np.broadcast_to(lesions, shape), np.broadcast_to(hit - 0.1, shape)) / lesions
    share = float(promoted(by, (candidate - champion)[..., None]).any(axis=1).mean())
    assert share <= by.alpha + 3 * np.sqrt(by.alpha * (1 - by.alpha) / GATES)


@pytest.mark.parametrize("correlation", [0.0, 0.5, 0.8])
def test_an_equal_candidate_passes_as_often_as_the_check_says(correlation: float) -> None:
    rng = np.random.default_rng(3)
    by = rule(NOT_WORSE, PPV_NOT_WORSE, EVERY_SITE, looks=2)
    champion = rows(standardised(rng), standardised(rng))
    said = chance_when_equal(by, champion, correlation)
    between = np.corrcoef([[row.sensitivity for row in champion], [row.ppv for row in champion]])[0, 1]
    covariance = SD**2 * np.array([[1, between], [between, 1]])
    shared = rng.multivariate_normal([0, 0], correlation * covariance, (GATES, PATIENTS))
    own = rng.multivariate_normal([0, 0], (1 - correlation) * covariance, (2, GATES, PATIENTS))
    differences = (shared + own[0]) - (shared + own[1])
    share = float(promoted(by, differences[:, None]).mean())
    assert within_noise_of(share, said.passes), (share, said.passes)
    assert said.passes <= min(said.each)


def test_one_test_alone_has_the_power_of_the_noncentral_t() -> None:
    by = rule(NOT_WORSE, looks=1)
    said = chance_when_equal(by, rows(standardised(np.random.default_rng(4))))
    critical, centre = stats.t.isf(by.level, PATIENTS - 1), 0.1 / (SD / np.sqrt(PATIENTS))
    assert said.passes == pytest.approx(stats.nct.sf(critical, PATIENTS - 1, centre), abs=0.015)
    assert (said.patients["sensitivity"], said.sd["sensitivity"]) == (PATIENTS, pytest.approx(SD))


def test_the_drawn_gates_are_the_gate_itself() -> None:
    rng = np.random.default_rng(5)
    by = rule(NOT_WORSE, BETTER, EVERY_SITE)
    before = np.full(30, 0.5)
    differences = rng.normal([0.0, 0.02], 0.08, (40, 1, 30, 2))
    drawn = promoted(by, differences)[:, 0]
    found = [
        all(outcome.passed for outcome in judge(by, rows(before), rows(before + d[:, 0], before + d[:, 1])))
        for d in differences[:, 0]
    ]
    assert found == drawn.tolist()
    assert 0 < sum(found) < 40


def test_too_few_patients_never_pass() -> None:
    least = {"kind": "least-patients", "patients": PATIENTS + 1}
    said = chance_when_equal(rule(NOT_WORSE, least), rows(standardised(np.random.default_rng(6))))
    assert (said.passes, said.each[1]) == (0.0, 0.0)
    assert said.each[0] > 0.5


@pytest.mark.parametrize("condition", [NOT_WORSE, BETTER], ids=["non-inferior", "superior"])
def test_a_champion_without_spread_promises_no_chance_because_the_gate_tests_none(condition: dict[str, object]) -> None:
    by, same = rule(condition, looks=1), rows(np.zeros(PATIENTS))
    assert judge(by, same, same)[0].untested == "no spread"
    assert chance_when_equal(by, same).passes == 0.0
