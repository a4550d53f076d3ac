"""Values drawn from known effects in; the mixed model finds them again, and says so where it cannot."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from lesionlab.analysis.methods.mixed import Observation, fit_mixed

SIZES = (10, 20, 40)
FOLDS, PER_FOLD = 6, 10


def drawn(
    rng: np.random.Generator, tuned: float = 0.0, doubling: float = 0.0, patient_sd: float = 0.15, set_sd: float = 0.04
) -> list[Observation]:
    """The paper's rotation: every patient under both arms at each size, six folds that each share training sets."""
    patients = rng.normal(0.5, patient_sd, FOLDS * PER_FOLD)
    observations = []
    for fold, size in product(range(FOLDS), SIZES):
        shared = rng.normal(0, set_sd)
        for arm, place in product((False, True), range(PER_FOLD)):
            patient = fold * PER_FOLD + place
            value = patients[patient] + shared + tuned * arm + doubling * np.log2(size / 20) + rng.normal(0, 0.08)
            trained = f"{fold}-{size}"
            site = f"s{patient % 4}"
            observations.append(Observation(value, arm, size, f"{patient:03d}", trained, f"{trained}-{arm}", site))
    return observations


def test_a_planted_effect_of_arm_and_size_lies_in_its_interval():
    fitted = fit_mixed(drawn(np.random.default_rng(1), tuned=0.05, doubling=0.03))
    arm, doubling, interaction = fitted.terms
    assert (arm.name, doubling.name) == ("fine-tuned − de novo", "doubling of the training size")
    assert arm.low < 0.05 < arm.high
    assert doubling.low < 0.03 < doubling.high
    assert interaction.low < 0 < interaction.high
    assert arm.p < 0.001


def test_what_patients_and_training_sets_add_is_told_apart():
    sd = fit_mixed(drawn(np.random.default_rng(2))).sd
    assert sd["patient"] == pytest.approx(0.15, rel=0.25)
    assert sd["training_set"] == pytest.approx(0.04, rel=0.6)
    assert sd["residual"] == pytest.approx(0.08, rel=0.15)


def test_shared_training_sets_widen_the_interval_of_the_size_but_not_of_the_arm():
    alone = fit_mixed(drawn(np.random.default_rng(3), set_sd=0.0))
    shared = fit_mixed(drawn(np.random.default_rng(3), set_sd=0.08))
    width = [[term.high - term.low for term in fitted.terms[:2]] for fitted in (alone, shared)]
    assert width[1][1] > 1.5 * width[0][1]
    assert width[1][0] == pytest.approx(width[0][0], rel=0.2)


def test_the_order_of_the_values_changes_nothing():
    observations = drawn(np.random.default_rng(4))
    forth, back = fit_mixed(observations), fit_mixed(observations[::-1])
    assert [t.estimate for t in back.terms] == pytest.approx([t.estimate for t in forth.terms], abs=1e-5)


def test_one_size_leaves_the_arm_alone():
    fitted = fit_mixed([o for o in drawn(np.random.default_rng(5), tuned=0.1) if o.training_size == 20])
    assert [term.name for term in fitted.terms] == ["fine-tuned − de novo"]


@pytest.mark.parametrize(
    ("observations", "why"),
    [
        ([], "no variance"),
        (
            [Observation(0.5, arm, 10, str(p), "1", "1", "a") for arm, p in product((True, False), range(9))],
            "no variance",
        ),
        ([o for o in drawn(np.random.default_rng(6)) if o.tuned and o.training_size == 10], "nothing to compare"),
    ],
    ids=["nothing", "constant", "one-condition"],
)
def test_what_cannot_be_fitted_has_no_terms_and_says_why(observations, why):
    fitted = fit_mixed(observations)
    assert fitted.terms == ()
    assert why in fitted.note


def test_too_few_sites_are_left_out_and_named():
    observations = [o for o in drawn(np.random.default_rng(7)) if o.site in {"s0", "s1"}]
    fitted = fit_mixed(observations)
    assert "site" not in fitted.sd
    assert "site (2)" in fitted.note
