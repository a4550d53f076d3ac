"""A moved threshold is told from a better network; no test study takes part in the choice of its threshold."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from lesionlab.analysis.statistics.comparisons import compare
from lesionlab.analysis.statistics.conditions import Condition
from lesionlab.analysis.statistics.matched import Fate, MatchedFinding, _fate
from lesionlab.analysis.statistics.operating import average_precision, curves, one_false_positive
from lesionlab.analysis.statistics.operating_analysis import OperatingAnalysis, operating_analysis
from lesionlab.analysis.words.operating import survival
from storage_schemas.experiments import Plan
from storage_schemas.probabilities import THRESHOLDS
from storage_schemas.results import OperatingRow, StudyRow
from storage_schemas.runs import RunSpec
from tests.analysis.drawn_points import Scores, draw, logistic

LESIONS, CANDIDATES = 40, 40


def moved_threshold(run: RunSpec, study: str, rng: np.random.Generator) -> Scores:
    """The same scores under every model, but fine-tuning is more reluctant: PPV rises, sensitivity falls."""
    shift = -1.5 if run.cell and run.cell.arm == "fine-tuned" else 0.0
    difficulty = rng.normal(0, 0.3)
    return (
        logistic(rng.normal(1 + shift + difficulty, 2, LESIONS)),
        logistic(rng.normal(-1 + shift - difficulty, 2, CANDIDATES)),
    )


def better_network(run: RunSpec, study: str, rng: np.random.Generator) -> Scores:
    """Fine-tuning tells lesions from other candidates better."""
    gain = 1.5 if run.cell and run.cell.arm == "fine-tuned" else 0.0
    difficulty = rng.normal(0, 0.3)
    return (
        logistic(rng.normal(1 + gain + difficulty, 2, LESIONS)),
        logistic(rng.normal(-1 - gain - difficulty, 2, CANDIDATES)),
    )


def trained_on(plan: Plan) -> dict[str, set[str]]:
    return {run.run_id: {entry.study for entry in run.train} for run in plan.runs}


def analysed(plan: Plan, points: list[OperatingRow], rows: list[StudyRow]) -> OperatingAnalysis:
    effects = compare(rows, [run.cell for run in plan.runs if run.cell], "per-study")
    found = operating_analysis(points, rows, effects, {}, trained_on(plan), "per-study", "exclude")
    assert found is not None
    return found


def fates(found: OperatingAnalysis) -> set[tuple[str, Fate]]:
    return {(one.effect.metric, one.fate) for one in paired(found)}


def paired(found: OperatingAnalysis) -> list[MatchedFinding]:
    return [one for one in found.findings if one.effect.test == "paired-t"]


def test_a_moved_threshold_does_not_survive(plan: Plan) -> None:
    found = analysed(plan, *draw(plan, moved_threshold))
    assert fates(found) == {("sensitivity", Fate.LOST), ("ppv", Fate.LOST)}
    assert "may be an effect of the threshold: sensitivity of fine-tuned" in survival(found.findings)


def test_a_better_network_survives(plan: Plan) -> None:
    found = analysed(plan, *draw(plan, better_network))
    assert fates(found) == {("sensitivity", Fate.SURVIVES), ("ppv", Fate.SURVIVES)}
    assert {len(one.moves) for one in paired(found)} == {2}, "each model is moved in turn"
    differences = [(moved.difference, one.effect.difference) for one in paired(found) for moved in one.moves]
    assert all(now is None or now * own > 0 for now, own in differences)
    assert survival(paired(found)).startswith(f"{len(paired(found))} of {len(paired(found))} paper-style findings")


@pytest.mark.parametrize(("bolder", "own"), [(0.9, True), (0.35, False)])
def test_a_better_network_that_marks_more_of_everything(plan: Plan, bolder: float, own: bool) -> None:
    """Its higher sensitivity survives. Its rival's higher PPV is lost; where PPV is equal, the better one emerges."""

    def bold(run: RunSpec, study: str, rng: np.random.Generator) -> Scores:
        tuned = run.cell is not None and run.cell.arm == "fine-tuned"
        lesions, wrong = rng.normal(1, 1.5, LESIONS), rng.normal(-1, 1.5, CANDIDATES)
        return logistic(lesions + 2.6 * tuned), logistic(wrong + bolder * tuned)

    found = analysed(plan, *draw(plan, bold))
    assert {one.fate for one in paired(found) if one.effect.metric == "sensitivity"} == {Fate.SURVIVES}
    ppv = [one for one in paired(found) if one.effect.metric == "ppv"]
    assert {one.effect.significant for one in ppv} == {own}
    assert {one.fate for one in ppv} == {Fate.LOST if own else Fate.EMERGES}
    assert all(moved.difference and moved.difference > 0 for one in ppv for moved in one.moves), "fine-tuned is better"


def test_a_reversal_that_is_significant_when_matched_is_told(plan: Plan) -> None:
    """A better network at a reluctant threshold: equal or lower sensitivity at its own, higher when matched on PPV."""

    def reluctant(run: RunSpec, study: str, rng: np.random.Generator) -> Scores:
        tuned = run.cell is not None and run.cell.arm == "fine-tuned"
        lesions, wrong = rng.normal(1, 1.5, LESIONS), rng.normal(-1, 1.5, CANDIDATES)
        return logistic(lesions + rng.normal(-0.08, 0.3) * tuned), logistic(wrong - 2.5 * tuned)

    every = [one for one in paired(analysed(plan, *draw(plan, reluctant))) if one.effect.metric == "sensitivity"]
    found = [one for one in every if (one.effect.difference or 0) < 0 and not one.effect.significant]
    assert found, [(one.effect.difference, one.effect.p, one.fate) for one in every]
    assert {one.fate for one in found} == {Fate.EMERGES}
    assert f"{len(found)} further {'are' if len(found) > 1 else 'is'} significant only" in survival(found)


def test_a_finding_that_holds_only_if_one_model_is_moved_is_told_apart(plan: Plan) -> None:
    found = analysed(plan, *draw(plan, better_network))
    one = next(one for one in paired(found) if one.effect.significant)
    kept, other = one.moves
    mixed = replace(one, fate=_fate(one.effect, [kept, replace(other, reached=True, difference=0.01, p=0.9)]))
    assert mixed.fate is Fate.DEPENDS
    assert "1 only if one of the two models is moved and not the other" in survival([mixed])
    nothing = replace(one.effect, significant=False)
    assert _fate(nothing, [replace(kept, p=0.9), replace(other, p=0.9)]) is Fate.NO_FINDING
    assert _fate(nothing, one.moves) is Fate.EMERGES


def test_the_metric_that_is_matched_is_about_equal_on_the_test_studies(plan: Plan) -> None:
    found = analysed(plan, *draw(plan, moved_threshold))
    beside = [moved.other_difference for one in paired(found) for moved in one.moves]
    assert len(beside) == 8
    assert all(difference is not None and abs(difference) < 0.1 for difference in beside), beside


def test_without_a_common_training_study_a_finding_cannot_be_examined(plan: Plan) -> None:
    """The default model was tested on fold 1 alone, so only networks trained on that subset have a target."""
    points, rows = draw(plan, better_network)
    effects = compare(rows, [run.cell for run in plan.runs if run.cell], "per-study")
    nobody = operating_analysis(points, rows, effects, {}, {}, "per-study", "exclude")
    assert nobody is not None
    known = operating_analysis(points, rows, effects, {}, trained_on(plan), "per-study", "exclude")
    assert known is not None
    assert {one.fate for one in known.findings if one.effect.test != "paired-t"} == {Fate.NOT_EXAMINED}
    assert {one.fate for one in nobody.findings} == {Fate.NOT_EXAMINED}
    assert "cannot be examined" in survival(nobody.findings)
    assert {one.at_wanted.thresholds for one in nobody.models.values()} == {()}
    assert survival(()).startswith("There is no paper-style finding")


@pytest.mark.parametrize("size", [4, 8])
def test_results_on_a_test_study_do_not_move_its_own_threshold(plan: Plan, size: int) -> None:
    """Replace everything that is known of one study by nonsense: thresholds of networks that test it stay."""
    points, _ = draw(plan, better_network)
    victim = plan.runs[1].test[0].study
    nonsense = [
        row.model_copy(update={"true_positives": 0, "false_positives": 9, "predicted_lesions": 9})
        if row.study == victim
        else row
        for row in points
    ]
    model = Condition(arm="de-novo", source=None, training_size=size)
    before, after = (curves(rows, trained_on(plan), "exclude")[model] for rows in (points, nonsense))
    chosen = [
        {network.run_id: one_false_positive(curve, network.trained_on) for network in curve.networks}
        for curve in (before, after)
    ]
    testing = before.network_of[victim]
    assert {run: chosen[0][run] for run in testing} == {run: chosen[1][run] for run in testing}
    assert all(victim not in network.trained_on for network in before.networks if network.run_id in testing)
    assert chosen[0] != chosen[1], "networks that were trained on it do use it"


def test_the_chosen_threshold_gives_about_one_false_positive_a_study(plan: Plan) -> None:
    found = analysed(plan, *draw(plan, better_network))
    for model, one in found.models.items():
        if model.trained:
            point = one.at_wanted
            assert point.folds == 3
            assert point.false_positives is not None
            assert 0 < point.false_positives.mean < 3
            assert point.sensitivity is not None
            assert (point.sensitivity.unit, point.sensitivity.n) == ("fold", 12)
            assert point.sensitivity.low is not None


def test_average_precision_of_perfect_useless_and_half_found() -> None:
    ones = np.ones(len(THRESHOLDS))
    assert average_precision(10 * ones, 10 * ones, 10 * ones, 0 * ones) == 1
    assert average_precision(10 * ones, 10 * ones, 0 * ones, 10 * ones) == 0
    assert average_precision(10 * ones, 5 * ones, 5 * ones, 0 * ones) == 0.5
    assert average_precision(0 * ones, 5 * ones, 0 * ones, 5 * ones) is None


def test_scores_that_are_right_are_calibrated_and_overconfident_ones_are_not(plan: Plan) -> None:
    def calibrated(run: RunSpec, study: str, rng: np.random.Generator) -> Scores:
        scores = rng.random(400)
        true = rng.random(400) < scores
        over = run.cell is not None and run.cell.arm == "fine-tuned"
        told = logistic(3 * np.log(scores / (1 - scores))) if over else scores
        return told[true], told[~true]

    found = analysed(plan, *draw(plan, calibrated))
    errors = {model.arm: one.expected_error for model, one in found.calibration.items()}
    assert errors["de-novo"] is not None
    assert errors["fine-tuned"] is not None
    assert errors["de-novo"].mean < 0.05 < 0.1 < errors["fine-tuned"].mean
