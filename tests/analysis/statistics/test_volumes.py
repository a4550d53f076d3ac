"""Sensitivity by volume is over the studies of all models, and each reference lesion counts once."""

from __future__ import annotations

from itertools import count

import pytest

from lesionlab.analysis.statistics.conditions import Condition
from lesionlab.analysis.statistics.volumes import sensitivity_by_volume
from storage_schemas.results import LesionRow

FINE_TUNED, DE_NOVO = (
    Condition(arm="fine-tuned", source="glioma", training_size=8),
    Condition(arm="de-novo", source=None, training_size=8),
)
SMALL, LARGE = 2.0, 60.0


def lesion(study: int, number: int, volume_mm3: float, found: bool, seed: int = 0, fold: int = 1) -> LesionRow:
    return LesionRow(
        experiment="drawn",
        run_id="a" * 16,
        task="flair-single",
        arm="de-novo",
        source=None,
        training_size=8,
        trained_on=8,
        fold=fold,
        seed=seed,
        depth=4,
        study=f"sub-{study:03d}",
        patient=f"{study:03d}",
        site="north",
        position=1,
        definition="drawn@0",
        side="reference",
        lesion=number,
        outcome="true-positive" if found else "missed",
        volume_mm3=volume_mm3,
        x_mm=0,
        y_mm=0,
        z_mm=0,
        overlap=0.5 if found else 0,
    )


def shares(found, model):
    return [None if one is None else one.share for one in found.models[model]]


def test_each_reference_lesion_is_counted_once_whatever_the_seeds_and_models():
    own = [lesion(1, number, SMALL, found=number == 1, seed=seed) for number in (1, 2) for seed in (0, 1, 2)]
    found = sensitivity_by_volume({FINE_TUNED: own, DE_NOVO: own[:2]})
    assert found.titles == ("≤ 3", "3–10", "10–50", "50–100", "> 100")
    assert found.lesions == (2, 0, 0, 0, 0)
    assert shares(found, FINE_TUNED) == [0.5, None, None, None, None]


def test_a_lesion_that_some_seeds_found_counts_by_their_part():
    own = [lesion(1, 1, LARGE, found=seed > 0, seed=seed) for seed in range(4)]
    assert shares(sensitivity_by_volume({FINE_TUNED: own}), FINE_TUNED)[3] == 0.75


def test_no_lesion_of_a_class_is_not_the_same_as_none_found():
    found = sensitivity_by_volume({FINE_TUNED: [lesion(1, 1, SMALL, found=False)]})
    assert shares(found, FINE_TUNED)[:2] == [0.0, None]


def test_while_folds_are_missing_all_models_are_judged_on_the_same_studies():
    """The second study has easy lesions, and de novo was not tested on it yet."""
    first = [lesion(1, number, LARGE, found=False) for number in (1, 2)]
    second = [lesion(2, number, LARGE, found=True, fold=2) for number in (1, 2, 3)]
    found = sensitivity_by_volume({FINE_TUNED: first + second, DE_NOVO: first})
    assert shares(found, FINE_TUNED) == shares(found, DE_NOVO)
    assert (found.lesions[3], found.studies, found.left_out) == (2, 1, 1)
    assert found.unit == "patient"


def test_intervals_are_over_the_folds_and_absent_where_nothing_varies():
    numbers = count(1)
    own = [
        lesion(study, next(numbers), volume, found=volume == LARGE and place < parts, fold=study)
        for study, parts in enumerate((1, 2, 3, 3), start=1)
        for place in range(4)
        for volume in (SMALL, LARGE)
    ]
    found = sensitivity_by_volume({FINE_TUNED: own})
    none_found, _, _, some_found, _ = found.models[FINE_TUNED]
    assert found.unit == "fold"
    assert none_found.interval is None
    # Shares of the four folds 0.25, 0.5, 0.75, 0.75: mean 0.5625, SD 0.2394, t(3) = 3.182: reach 0.3809.
    # On the logit scale 0.2513 ± 0.3809 / (0.5625 · 0.4375).
    assert some_found.share == 0.5625
    assert (some_found.interval.low, some_found.interval.high) == pytest.approx((0.2148, 0.8580), abs=1e-4)


def test_predicted_lesions_do_not_count():
    spurious = lesion(1, 1, SMALL, found=False).model_copy(update={"side": "prediction", "outcome": "false-positive"})
    found = sensitivity_by_volume({FINE_TUNED: [lesion(1, 1, SMALL, found=True), spurious]})
    assert (found.lesions[0], shares(found, FINE_TUNED)[0]) == (1, 1.0)
