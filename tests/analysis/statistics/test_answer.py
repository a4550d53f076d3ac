"""The answer never says more than the numbers: what it claims, and when it declines."""

from __future__ import annotations

import pytest

from lesionlab.analysis.statistics.answer import answer
from lesionlab.analysis.statistics.comparisons import compare
from lesionlab.analysis.statistics.conditions import condition_of, conditions, places
from lesionlab.analysis.statistics.summary import summarise
from lesionlab.analysis.statistics.supplementary import Options, supplementary_analyses
from lesionlab.analysis.statistics.tables import performance_tables
from lesionlab.analysis.statistics.verdicts import LEAST_PATIENTS
from storage_schemas.axes import Budget
from storage_schemas.experiments import Goal
from storage_schemas.runs import TrainingConfig
from tests.analysis.drawn_rows import drawn_rows


def answer_to(
    rows,
    planned,
    simulated=False,
    undefined="exclude",
    goal=None,
    null_repetitions=0,
    unit="fold-averaged",
    trainings=None,
):
    effects = compare(rows, planned, unit, undefined)
    tables = performance_tables(summarise(rows, conditions(planned), undefined), effects, unit)
    ours = supplementary_analyses(rows, planned, effects, Options(undefined, goal, null_repetitions, trainings or {}))
    return answer(tables, ours, len(places(planned) - places(rows)), len(places(planned)), simulated)


def drawn(table_of, fine_tuned, de_novo, **changes):
    """Six studies under both arms at size 4, with these sensitivities; PPV the same everywhere unless changed."""
    places = [(fold, position) for fold in (1, 2) for position in (1, 2, 3)]
    rows = table_of(
        {
            ("fine-tuned", 4): dict(zip(places, fine_tuned, strict=True)),
            ("de-novo", 4): dict(zip(places, de_novo, strict=True)),
        }
    )
    return [row.model_copy(update=changes) for row in rows]


LOW, HIGH = [0.1, 0.2, 0.15, 0.12, 0.25, 0.18], [0.7, 0.75, 0.8, 0.72, 0.79, 0.81]
MIXED = [0.25, 0.1, 0.2, 0.18, 0.13, 0.16]


@pytest.mark.parametrize(
    ("fine_tuned", "de_novo", "said"),
    [
        (HIGH, LOW, "had significantly higher sensitivity"),
        (LOW, HIGH, "had significantly lower sensitivity"),
        (LOW, MIXED, "showed no significant difference in sensitivity"),
        (LOW, LOW, "could not be tested in sensitivity"),
    ],
    ids=["better", "worse", "not shown", "identical"],
)
def test_the_verdict_follows_the_test(table_of, fine_tuned, de_novo, said):
    rows = drawn(table_of, fine_tuned, de_novo)
    rows = [row.model_copy(update={"ppv": value}) for row, value in zip(rows, [*MIXED, *LOW], strict=True)]
    verdict = answer_to(rows, rows).verdicts[0]
    assert verdict.startswith("Fine-tuning from drawn-glioma, compared with de novo training, ")
    assert said in verdict
    assert verdict.count("with 4 labelled studies") == 1
    assert verdict.endswith("; paired over 6 test studies.")


def at_sizes(rows, differences):
    """The drawn rows at each of these sizes; de novo scored 0.3, fine-tuned so much more, and unevenly."""
    uneven = [-0.02, 0.01, 0.02, -0.01, 0.015, -0.015]
    return [
        row.model_copy(
            update={"training_size": size}
            | ({metric: 0.3 + change + uneven[place % 6] for metric, change in changes.items()})
            if row.arm == "fine-tuned"
            else {"training_size": size, "sensitivity": 0.3, "ppv": 0.3}
        )
        for size, changes in differences.items()
        for place, row in enumerate(rows)
    ]


def test_the_verdict_tells_every_size(table_of):
    much, none, less = 0.3, 0.0, -0.2
    rows = at_sizes(
        drawn(table_of, LOW, HIGH),
        {
            10: {"sensitivity": much, "ppv": much},
            20: {"sensitivity": none, "ppv": much},
            30: {"sensitivity": much, "ppv": much},
            40: {"sensitivity": none, "ppv": much},
            50: {"sensitivity": less, "ppv": much},
        },
    )
    assert answer_to(rows, rows).verdicts[0] == (
        "Fine-tuning from drawn-glioma, compared with de novo training, had significantly higher sensitivity with 10 "
        "and 30 labelled studies and significantly lower with 50 (not shown with 20 and 40), and significantly "
        "higher PPV with 10 to 50; paired over 6 test studies."
    )


def test_metrics_with_the_same_outcome_at_every_size_share_a_clause(table_of):
    rows = at_sizes(drawn(table_of, LOW, HIGH), {size: {"sensitivity": 0.3, "ppv": 0.3} for size in (10, 20)})
    assert (
        "had significantly higher sensitivity and PPV with 10 and 20 labelled studies;"
        in (answer_to(rows, rows).verdicts[0])
    )


def test_sizes_that_could_not_be_tested_or_have_few_patients_are_said(table_of):
    rows = at_sizes(drawn(table_of, LOW, HIGH), {size: {"sensitivity": 0.3, "ppv": 0.3} for size in (10, 20, 30)})
    some = [row for row in rows if row.training_size != 20 and (row.training_size != 30 or row.position != 3)]
    (verdict, *_) = answer_to(some, rows).verdicts
    assert "with 10 labelled studies (could not be tested with 20; fewer than 6 patients with 30)" in verdict
    assert verdict.endswith("paired over 4 to 6 test studies.")


def of_two_ways(table_of):
    """Two learning rates of each arm: fine-tuning is better at one, and de novo better at one."""
    sensitivities = {
        ("fine-tuned", 1e-5): 0.8,
        ("fine-tuned", 1e-4): 0.5,
        ("de-novo", 1e-3): 0.1,
        ("de-novo", 3e-3): 0.6,
    }
    drawn_rows = {row.arm: [] for row in drawn(table_of, LOW, LOW)}
    for row in drawn(table_of, LOW, LOW):
        drawn_rows[row.arm].append(row)
    uneven = {"fine-tuned": [0.02, 0.0, -0.02, 0.01, 0.01, -0.02], "de-novo": [0.0] * 6}
    return [
        row.model_copy(update={"learning_rate": rate, "sensitivity": mean + change, "ppv": mean + change})
        for (arm, rate), mean in sensitivities.items()
        for row, change in zip(drawn_rows[arm], uneven[arm], strict=True)
    ]


def test_every_way_of_fine_tuning_has_its_verdict_against_every_way_of_training_de_novo(table_of):
    rows = of_two_ways(table_of)
    said = [line.split(" sensitivity and PPV")[0] for line in answer_to(rows, rows).verdicts[:4]]
    assert said == [
        f"Fine-tuning from drawn-glioma (learning rate {fine_tuned}), compared with de novo training "
        f"(learning rate {de_novo}), had significantly {outcome}"
        for fine_tuned, de_novo, outcome in (
            ("1e-05", "0.001", "higher"),
            ("1e-05", "0.003", "higher"),
            ("0.0001", "0.001", "higher"),
            ("0.0001", "0.003", "lower"),
        )
    ]


def test_every_finding_shows_the_difference_of_its_own_pair(table_of):
    rows = of_two_ways(table_of)
    findings = [line for line in answer_to(rows, rows).findings if "Difference" in line]
    assert [line.split("Difference: sensitivity ")[1].split(" ")[0] for line in findings] == [
        "+0.70",
        "+0.20",
        "+0.40",
        "−0.10",
    ]


@pytest.mark.parametrize(
    ("unit", "counted"), [("fold-averaged", "10 positions"), ("per-study", "60 against 10 studies")]
)
def test_the_answer_says_what_n_counts(unit, counted):
    rows = drawn_rows(1, {"fine-tuned": 0.75, "de-novo": 1.1}, sizes=(10,), rater=0.6)
    found = answer_to(rows, rows, unit=unit).findings
    assert any("Difference" in line and "n = 60 studies" in line for line in found)
    assert all(f"n = {counted}" in line for line in found if "against Grader 2" in line)
    assert any(line.startswith("Grader 2: ") and "(n = 10 studies)" in line for line in found)


def test_a_difference_that_was_not_shown_is_not_called_none(table_of):
    rows = drawn(table_of, LOW, MIXED)
    assert "Not significant means not shown; it does not mean that there is no difference." in (
        answer_to(rows, rows).cautions
    )


def test_the_numbers_in_the_answer_are_the_means(table_of):
    rows = drawn(table_of, HIGH, LOW, ppv=0.5)
    finding = answer_to(rows, rows).findings[0]
    assert "fine-tuned from drawn-glioma found 0.76 ± 0.02 of the lesions with PPV 0.50 ± 0.00" in finding
    assert "de novo found 0.17 ± 0.02 of the lesions" in finding
    assert "sensitivity +0.60 (p < 0.001, n = 6 studies, significant)" in finding


def test_one_study_cannot_answer(table_of):
    rows = table_of({("fine-tuned", 4): {(1, 1): 0.9}, ("de-novo", 4): {(1, 1): 0.1}})
    found = answer_to(rows, rows)
    assert "cannot say" in found.verdicts[0]
    assert "one pair only" in found.verdicts[0]


@pytest.mark.parametrize("patients", [LEAST_PATIENTS - 1, LEAST_PATIENTS])
def test_a_verdict_needs_so_many_patients_that_a_sign_test_could_speak(table_of, patients):
    rows = [row for row in drawn(table_of, HIGH, LOW) if row.study in {f"sub-1{p:02d}" for p in (1, 2, 3)}]
    more = [row for row in drawn(table_of, HIGH, LOW) if row.study.startswith("sub-2")]
    rows += [row for row in more if int(row.study[4:]) - 200 <= patients - 3]
    found = answer_to(rows, rows)
    assert ("had significantly higher sensitivity" in found.verdicts[0]) == (patients == LEAST_PATIENTS)
    if patients < LEAST_PATIENTS:
        assert len(found.verdicts) == 1
        assert "both arms were tested on 5 patients, and a verdict needs 6 at least" in found.verdicts[0]
        assert any("Fewer than 6 patients: no verdict." in line for line in found.findings)


def test_many_studies_of_few_patients_make_no_verdict(table_of):
    rows = [row.model_copy(update={"patient": str(row.fold)}) for row in drawn(table_of, HIGH, LOW)]
    found = answer_to(rows, rows)
    assert "tested on 2 patients" in found.verdicts[0]
    assert any(line.startswith("The 6 test studies are of 2 patients") for line in found.cautions)


def test_one_arm_alone_cannot_answer(rows):
    alone = [row for row in rows if row.arm == "fine-tuned"]
    assert "does not have both arms" in answer_to(alone, alone).verdicts[0]


def test_sizes_without_results_yet_are_said(rows, cells):
    some = [row for row in rows if row.training_size != 8]
    found = answer_to(some, cells)
    assert "with 4 labelled studies (could not be tested with 8)" in found.verdicts[0]
    assert found.cautions[0] == "Preliminary: 6 of 13 cells have no results yet."


def test_a_mean_over_other_studies_than_the_pairs_says_its_n(rows, cells):
    some = [row for row in rows if (row.arm, row.training_size, row.fold) != ("de-novo", 8, 2)]
    assert any("8 labelled studies" in line and "(n = 12 studies)" in line for line in answer_to(some, cells).findings)


def test_the_answer_says_how_many_labelled_studies_the_goal_takes(rows, cells):
    found = answer_to(rows, cells, goal=Goal(target=0.45, annotation_minutes=30))
    assert "fine-tuned from drawn-glioma reaches it at N ≤ 4" in found.verdicts[1]
    assert "fine-tuning saves at least" in found.verdicts[1]
    assert "hours of annotation at 30 minutes a study" in found.verdicts[1]


def test_sources_without_a_de_novo_arm_are_named_in_one_sentence(rows):
    fine_tuned = [row for row in rows if row.arm == "fine-tuned"]
    other = [row.model_copy(update={"source": "drawn-metastases"}) for row in fine_tuned]
    found = answer_to(fine_tuned + other, fine_tuned + other)
    said = [line for line in found.verdicts if "does not have both arms" in line]
    assert len(said) == 1
    assert "fine-tuning from drawn-glioma, drawn-metastases helps" in said[0]
    assert sum("No goal to reach" in line for line in (*found.verdicts, *found.findings)) == 1


def test_each_setting_has_its_verdicts_together(rows):
    deeper = [row.model_copy(update={"depth": 5, "sensitivity": 0.5, "ppv": 0.5}) for row in rows]
    verdicts = answer_to(rows + deeper, rows + deeper).verdicts
    strata = [verdict.partition(":")[0] for verdict in verdicts]
    assert strata == ["Depth 4"] * 3 + ["Depth 5"] * 3


def test_what_holds_in_every_setting_is_said_once(rows):
    deeper = [row.model_copy(update={"depth": 5}) for row in rows]
    alone, both = answer_to(rows, rows).verdicts, answer_to(rows + deeper, rows + deeper).verdicts
    assert [verdict.removeprefix("Depth 4, depth 5: ") for verdict in both] == list(alone)


def test_the_largest_models_are_set_beside_the_second_rater(rows):
    graded = [
        row.model_copy(update={"arm": "rater", "source": None, "sensitivity": 0.9, "ppv": 0.9})
        for row in rows
        if row.arm == "default"
    ]
    findings = answer_to(rows + graded, rows + graded).findings
    assert any(line.startswith("Grader 2: found 0.90") for line in findings)
    assert [line.partition(": ")[0] for line in findings if "against Grader 2" in line] == [
        "Fine-tuned from drawn-glioma, 8 studies, against Grader 2",
        "De novo, 8 studies, against Grader 2",
    ]


def test_a_method_that_is_wrong_too_often_is_named(rows, cells):
    """Networks that share a fold's chance: one fold of the fine-tuned networks is far better, the others worse."""
    shift = {1: 0.3, 2: -0.15, 3: -0.15}
    uneven = [
        row.model_copy(update={"sensitivity": min(1.0, max(0.0, row.sensitivity + shift[row.fold]))})
        if row.arm == "fine-tuned"
        else row
        for row in rows
    ]
    said = [line for line in answer_to(uneven, cells, null_repetitions=400).cautions if "by this method" in line]
    assert any("sensitivity" in line and "repeated-measures ANOVA" in line for line in said)
    assert all("of 400 simulated studies" in line for line in said)


@pytest.mark.parametrize(
    ("budget", "said"),
    [
        (Budget(epochs=30), "not run. Larger training sets here also mean more optimiser steps"),
        (None, "does not say how long"),
    ],
)
def test_without_a_budget_control_the_answer_says_what_stays_open(rows, budget, said):
    trained = [row.model_copy(update={"budget": budget}) for row in rows]
    (line,) = (line for line in answer_to(trained, trained).cautions if line.startswith("Budget control"))
    assert said in line


def test_equal_steps_at_every_size_leave_nothing_open(rows, cells):
    trained = [row.model_copy(update={"budget": Budget(steps=2000)}) for row in rows]
    assert not any(line.startswith("Budget control") for line in answer_to(trained, trained).cautions)
    trainings = {condition_of(cell): TrainingConfig(steps=2000) for cell in cells}
    assert not any(line.startswith("Budget control") for line in answer_to(rows, cells, trainings=trainings).cautions)


def test_arms_that_were_trained_at_other_learning_rates_are_said_to_be(rows, cells):
    rates = {"fine-tuned": 1e-5, "de-novo": 1e-4, "default": 1e-4}
    declared = {condition_of(cell): TrainingConfig(learning_rate=rates[cell.arm]) for cell in cells}
    listed = [row.model_copy(update={"learning_rate": rates[row.arm]}) for row in rows]
    for found in (answer_to(rows, cells, trainings=declared), answer_to(listed, listed)):
        assert any("differ in learning rate (1e-05 against 0.0001)" in line for line in found.cautions)
    alike = {condition_of(cell): TrainingConfig() for cell in cells}
    assert not any("learning rate" in line for line in answer_to(rows, cells, trainings=alike).cautions)


def test_intervals_over_patients_are_said_to_hold_for_these_networks_only(rows):
    two_folds = [row for row in rows if row.fold < 3]
    assert not any("these very networks" in line for line in answer_to(rows, rows).cautions)
    assert any("these very networks" in line for line in answer_to(two_folds, two_folds).cautions)


def test_undefined_values_are_pointed_out(rows, cells):
    silent = [row.model_copy(update={"ppv": None}) if row.arm == "de-novo" and row.fold == 1 else row for row in rows]
    assert (
        "PPV of de novo, 4 studies: undefined in 4 of 12 studies (no lesion predicted), which are left out of its mean."
        in answer_to(silent, cells).cautions
    )


def test_undefined_values_that_count_as_0_are_said_to(rows, cells):
    silent = [row.model_copy(update={"ppv": None}) if row.arm == "de-novo" and row.fold == 1 else row for row in rows]
    found = answer_to(silent, cells, undefined="worst")
    assert "PPV of de novo, 4 studies: undefined in 4 of 12 studies (no lesion predicted), which count as 0." in (
        found.cautions
    )


def test_simulated_studies_are_said_to_be_simulated(rows, cells):
    assert any("simulated" in line for line in answer_to(rows, cells, simulated=True).cautions)
    assert not any("simulated" in line for line in answer_to(rows, cells).cautions)
