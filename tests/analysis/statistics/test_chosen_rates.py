"""A learning rate of each arm's own is chosen within the training studies: no test study decides on its own network."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import pytest
from pydantic import ValidationError

from lesionlab.analysis.experiment_analysis import analyse
from lesionlab.analysis.report import write_report
from lesionlab.analysis.statistics.cautions import LearningRatesDiffer
from lesionlab.analysis.statistics.chosen_rates import as_planned, at_chosen_rates, choose_rates
from lesionlab.analysis.statistics.conditions import condition_of
from lesionlab.analysis.words.rates import CHOSEN_RATES
from lesionlab.errors import ObjectExists
from lesionlab.store.objects import Store
from lesionlab.store.tables import write_rows
from storage_schemas import keys
from storage_schemas.experiments import ExperimentSpec, Plan
from storage_schemas.results import StudyRow
from storage_schemas.runs import RunSpec

RATES = (1e-5, 1e-4)
BEST = {("fine-tuned", 4): {1: 1e-5, 2: 1e-4, 3: 1e-5}}
"""Rate that is best on the *test* studies of a fold; 1e-4 for every other model."""


def spec_of(spec: ExperimentSpec) -> ExperimentSpec:
    rates = {"fine-tuned": RATES, "de-novo": RATES}
    return ExperimentSpec.model_validate(
        spec.model_dump() | {"learning_rates": rates, "learning_rate_choice": "training-folds"}
    )


@pytest.fixture(scope="module")
def listed(plan: Plan) -> Plan:
    """The drawn plan with each trained network at two rates."""

    def at(run: RunSpec, rate: float) -> RunSpec:
        assert run.cell is not None
        fields = dict(run) | {
            "cell": run.cell.model_copy(update={"learning_rate": rate}),
            "training": run.training.model_copy(update={"learning_rate": rate}),
        }
        return RunSpec.named(**{name: value for name, value in fields.items() if name not in ("run_id", "id")})

    runs = [
        one
        for run in plan.runs
        for one in ([run] if run.cell and run.cell.arm == "default" else [at(run, rate) for rate in RATES])
    ]
    return Plan.named(
        spec=spec_of(plan.spec), manifest=plan.manifest, split=plan.split, versions=plan.versions, runs=tuple(runs)
    )


def drawn(run: RunSpec) -> list[StudyRow]:
    """Every lesion found and nothing else at the best rate; half of them at the other one."""
    cell = run.cell
    assert cell is not None
    best = BEST.get((cell.arm, cell.training_size), {}).get(cell.fold, 1e-4)
    sensitivity = 0.4 if cell.arm == "default" else 0.9 if cell.learning_rate == best else 0.5
    return [
        StudyRow(
            **run.columns().model_dump(),
            study=entry.study,
            patient=entry.patient,
            site=entry.site,
            position=position,
            definition=run.metric.label(),
            reference_lesions=10,
            predicted_lesions=10,
            true_positives=round(sensitivity * 10),
            false_positives=position,
            sensitivity=sensitivity,
            ppv=1 - position / 10,
            dice=sensitivity,
            reference_ml=1.0,
            predicted_ml=1.0,
            inference_s=1.0,
        )
        for position, entry in enumerate(run.test, start=1)
    ]


def rows_of(plan: Plan) -> list[StudyRow]:
    return [row for run in plan.runs if run.cell for row in drawn(run)]


def test_a_rate_is_judged_on_the_training_studies_and_never_on_the_test_studies(listed: Plan) -> None:
    chosen = {
        (choice.model.arm, choice.model.training_size, choice.fold): choice.rate
        for choice in choose_rates(listed, rows_of(listed))
    }
    # A network of size 4 is trained on the subset before its own: fold 1 on subset 3, fold 2 on 1, fold 3 on 2.
    assert [chosen["fine-tuned", 4, fold] for fold in (1, 2, 3)] == [1e-5, 1e-5, 1e-4]
    assert {rate for (arm, size, _), rate in chosen.items() if (arm, size) != ("fine-tuned", 4)} == {1e-4}


def test_rows_of_the_test_fold_change_no_choice_of_its_networks(listed: Plan) -> None:
    rows = rows_of(listed)
    other = [row.model_copy(update={"true_positives": 0, "sensitivity": 0.0}) if row.fold == 1 else row for row in rows]
    first, second = ([c for c in choose_rates(listed, found) if c.fold == 1] for found in (rows, other))
    assert first == second


def test_one_network_is_left_for_each_place_of_the_design(listed: Plan, plan: Plan) -> None:
    rows = rows_of(listed)
    chosen = at_chosen_rates(listed, choose_rates(listed, rows))
    assert [run.cell for run in chosen.runs] == [run.cell for run in plan.runs]
    kept = as_planned(rows, chosen)
    assert {row.run_id for row in kept} == {run.run_id for run in chosen.runs}
    assert {condition_of(row) for row in kept} == {condition_of(run.cell) for run in plan.runs if run.cell}


def test_a_rate_without_any_training_study_tested_elsewhere_is_the_first_listed_one(listed: Plan) -> None:
    alone = [row for row in rows_of(listed) if row.fold == 1]
    assert {choice.rate for choice in choose_rates(listed, alone) if choice.fold == 1} == {1e-5}


def test_every_listed_rate_is_compared_if_no_choice_is_wanted(listed: Plan) -> None:
    every = listed.model_copy(update={"spec": listed.spec.model_copy(update={"learning_rate_choice": "every"})})
    rows = rows_of(every)
    assert choose_rates(every, rows) == ()
    assert at_chosen_rates(every, ()) == every
    assert as_planned(rows, every) == rows


def test_the_report_compares_the_arms_at_chosen_rates_without_a_caution(
    listed: Plan, draw_store: Callable[[], Store]
) -> None:
    store = draw_store()
    for run in listed.runs:
        key = keys.STUDY_ROWS.build(experiment=listed.spec.name, run_id=run.run_id)
        with suppress(ObjectExists):  # that of the default model
            write_rows(store, key, drawn(run), StudyRow)
    analysis = analyse(store, listed, null_repetitions=0)
    assert {row.learning_rate for row in analysis.rows} == {None}
    assert not analysis.missing
    assert len(analysis.tables) == 1
    assert analysis.endpoints.primary is not None
    assert not [caution for caution in analysis.answer.cautions if isinstance(caution, LearningRatesDiffer)]
    report = write_report(store, listed, null_repetitions=0)
    html = store.get(report.key).decode()
    assert CHOSEN_RATES in html


@pytest.mark.parametrize(
    "rates",
    [{}, {"fine-tuned": RATES}, {"fine-tuned": RATES, "de-novo": (1e-4,)}, {"fine-tuned": (1e-4,), "de-novo": (1e-4,)}],
    ids=["none", "one arm", "unequal lists", "nothing to choose from"],
)
def test_a_choice_needs_the_same_list_for_both_arms(spec: ExperimentSpec, rates: dict[str, tuple[float, ...]]) -> None:
    with pytest.raises(ValidationError, match="the same two or more learning_rates for fine-tuned and de-novo"):
        ExperimentSpec.model_validate(
            spec.model_dump() | {"learning_rates": rates, "learning_rate_choice": "training-folds"}
        )
