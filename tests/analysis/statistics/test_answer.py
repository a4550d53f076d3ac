"""The answer never claims more than the numbers show: its verdicts, findings and cautions, as values."""

from __future__ import annotations

import pytest

from lesionlab.analysis.methods.student import Untestable
from lesionlab.analysis.statistics.answer import PairFinding, RaterFinding, UntrainedFinding, answer
from lesionlab.analysis.statistics.budget import BudgetCaution
from lesionlab.analysis.statistics.cautions import (
    Alarm,
    FewComplete,
    FewStudies,
    General,
    LearningRatesDiffer,
    NoMeaningYet,
    Preliminary,
    SharedPatients,
    UndefinedValues,
)
from lesionlab.analysis.statistics.comparisons import compare
from lesionlab.analysis.statistics.conditions import Condition, Stratum, condition_of, conditions, places
from lesionlab.analysis.statistics.effects import Lost
from lesionlab.analysis.statistics.endpoints import judge_endpoints
from lesionlab.analysis.statistics.summary import summarise
from lesionlab.analysis.statistics.supplementary import Options, supplementary_analyses
from lesionlab.analysis.statistics.tables import performance_tables
from lesionlab.analysis.statistics.verdicts import (
    LEAST_PATIENTS,
    Judged,
    NotTestable,
    OneArmOnly,
    Outcome,
    TooFewPatients,
)
from lesionlab.analysis.words.answer import answer_text
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
    options = Options(undefined, goal, null_repetitions, trainings or {})
    ours, judged = supplementary_analyses(rows, planned, effects, options), judge_endpoints(rows, planned, options)
    return answer(tables, ours, judged, len(places(planned) - places(rows)), len(places(planned)), simulated)


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


HIGHER, LOWER, NOT_SHOWN = Outcome.HIGHER, Outcome.LOWER, Outcome.NOT_SHOWN


@pytest.mark.parametrize(
    ("fine_tuned", "de_novo", "outcome"),
    [
        (HIGH, LOW, HIGHER),
        (LOW, HIGH, LOWER),
        (LOW, MIXED, NOT_SHOWN),
        (LOW, LOW, Outcome.NOT_TESTABLE),
    ],
    ids=["better", "worse", "not shown", "identical"],
)
def test_the_verdict_follows_the_test(table_of, fine_tuned, de_novo, outcome):
    rows = drawn(table_of, fine_tuned, de_novo)
    rows = [row.model_copy(update={"ppv": value}) for row, value in zip(rows, [*MIXED, *LOW], strict=True)]
    (verdict,) = answer_to(rows, rows).verdicts
    assert verdict.outcomes["sensitivity"] == {4: outcome}
    assert verdict.contest.source == "drawn-glioma"
    assert verdict.n == (6, 6)


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


def test_the_verdict_has_every_size(table_of):
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
    assert answer_to(rows, rows).verdicts[0].outcomes == {
        "sensitivity": {10: HIGHER, 20: NOT_SHOWN, 30: HIGHER, 40: NOT_SHOWN, 50: LOWER},
        "ppv": dict.fromkeys((10, 20, 30, 40, 50), HIGHER),
    }


def test_sizes_that_could_not_be_tested_or_have_few_patients_are_outcomes_of_their_own(table_of):
    rows = at_sizes(drawn(table_of, LOW, HIGH), {size: {"sensitivity": 0.3, "ppv": 0.3} for size in (10, 20, 30)})
    some = [row for row in rows if row.training_size != 20 and (row.training_size != 30 or row.position != 3)]
    (verdict,) = answer_to(some, rows).verdicts
    assert verdict.outcomes["ppv"] == {10: HIGHER, 20: Outcome.NOT_TESTABLE, 30: Outcome.FEW_PATIENTS}
    assert verdict.n == (4, 6)


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
    found = answer_to(rows, rows).verdicts
    assert [(*(way.learning_rate for way in v.contest.comparison.ways), v.outcomes["ppv"][4]) for v in found] == [
        (1e-5, 1e-3, HIGHER),
        (1e-5, 3e-3, HIGHER),
        (1e-4, 1e-3, HIGHER),
        (1e-4, 3e-3, LOWER),
    ]


def pair_findings(answer):
    return [finding for finding in answer.findings if isinstance(finding, PairFinding)]


def test_every_finding_has_the_difference_of_its_own_pair(table_of):
    rows = of_two_ways(table_of)
    differences = [finding.tests["sensitivity"].difference for finding in pair_findings(answer_to(rows, rows))]
    assert differences == pytest.approx([0.7, 0.2, 0.4, -0.1])


@pytest.mark.parametrize(("unit", "n"), [("fold-averaged", (10, 10)), ("per-study", (60, 10))])
def test_findings_against_the_rater_have_the_n_of_their_unit(unit, n):
    rows = drawn_rows(1, {"fine-tuned": 0.75, "de-novo": 1.1}, sizes=(10,), rater=0.6)
    found = answer_to(rows, rows, unit=unit)
    (paired,) = pair_findings(found)
    assert {test.n for test in paired.tests.values()} == {60}
    graded = [finding for finding in found.findings if isinstance(finding, RaterFinding)]
    assert {(test.n, test.n_other) for finding in graded for test in finding.tests.values()} == {n}
    assert {finding.unit for finding in graded} == {unit}


def test_a_difference_that_was_not_shown_calls_for_a_caution(table_of):
    rows, clear = drawn(table_of, LOW, MIXED), drawn(table_of, HIGH, LOW)
    assert General.NOT_SIGNIFICANT in answer_to(rows, rows).cautions
    assert General.NOT_SIGNIFICANT not in answer_to(clear, clear).cautions


def test_the_numbers_in_the_findings_are_the_means(table_of):
    rows = drawn(table_of, HIGH, LOW, ppv=0.5)
    (finding,) = pair_findings(answer_to(rows, rows))
    found, ppv = finding.tests["sensitivity"].paired, finding.tests["ppv"].paired
    assert found.model.mean == pytest.approx(0.7617, abs=1e-4)
    assert found.model.se == pytest.approx(0.0185, abs=1e-4)
    assert ppv.model.mean == 0.5
    assert found.other.mean == pytest.approx(0.1667, abs=1e-4)
    test = finding.tests["sensitivity"]
    assert (test.difference, test.n, test.significant) == (pytest.approx(0.595), 6, True)
    assert test.p < 0.001


def test_one_study_cannot_answer(table_of):
    rows = table_of({("fine-tuned", 4): {(1, 1): 0.9}, ("de-novo", 4): {(1, 1): 0.1}})
    (verdict,) = answer_to(rows, rows).verdicts
    assert isinstance(verdict, NotTestable)
    assert {test.untestable for test in verdict.tests} == {Untestable.ONE_PAIR}


@pytest.mark.parametrize("patients", [LEAST_PATIENTS - 1, LEAST_PATIENTS])
def test_a_verdict_needs_so_many_patients_that_a_sign_test_could_speak(table_of, patients):
    rows = [row for row in drawn(table_of, HIGH, LOW) if row.study in {f"sub-1{p:02d}" for p in (1, 2, 3)}]
    more = [row for row in drawn(table_of, HIGH, LOW) if row.study.startswith("sub-2")]
    rows += [row for row in more if int(row.study[4:]) - 200 <= patients - 3]
    found = answer_to(rows, rows)
    (verdict,) = found.verdicts
    if patients == LEAST_PATIENTS:
        assert verdict.outcomes["sensitivity"] == {4: HIGHER}
        assert len(found.curves) == 2
        assert found.curves_of_few == ()
    else:
        assert (type(verdict), verdict.patients) == (TooFewPatients, 5)
        assert found.curves == ()
        assert [own.learned.patients for own in found.curves_of_few] == [5, 5]


def test_many_studies_of_few_patients_make_no_verdict(table_of):
    rows = [row.model_copy(update={"patient": str(row.fold)}) for row in drawn(table_of, HIGH, LOW)]
    found = answer_to(rows, rows)
    assert (type(found.verdicts[0]), found.verdicts[0].patients) == (TooFewPatients, 2)
    assert SharedPatients(studies=6, patients=2) in found.cautions


def test_one_arm_alone_cannot_answer(rows):
    alone = [row for row in rows if row.arm == "fine-tuned"]
    found = answer_to(alone, alone)
    assert (found.open, found.verdicts) == ((OneArmOnly(Stratum(), ("drawn-glioma",)),), ())


def test_sizes_without_results_yet_are_in_the_verdict(rows, cells):
    some = [row for row in rows if row.training_size != 8]
    found = answer_to(some, cells)
    assert found.verdicts[0].outcomes["ppv"][8] is Outcome.NOT_TESTABLE
    assert found.verdicts[0].outcomes["ppv"][4] is not Outcome.NOT_TESTABLE
    assert found.cautions[0] == Preliminary(missing=6, planned=13)


def test_means_that_are_compared_are_over_the_same_studies_as_their_difference(rows, cells):
    some = [row for row in rows if (row.arm, row.training_size, row.fold) != ("de-novo", 8, 2)]
    (finding,) = (f for f in pair_findings(answer_to(some, cells)) if f.pair.model.training_size == 8)
    test = finding.tests["ppv"]
    assert (test.paired.model.n, test.paired.other.n, test.n) == (8, 8, 8)
    assert test.paired.model.mean - test.paired.other.mean == pytest.approx(test.difference)


def test_lost_pairs_are_counted_by_the_arm_whose_ppv_is_undefined(rows):
    without = {("fine-tuned", 1): {1, 2}, ("de-novo", 1): {2, 3}, ("de-novo", 3): {4}}
    silent = [
        row.model_copy(update={"ppv": None}) if row.position in without.get((row.arm, row.fold), ()) else row
        for row in rows
    ]
    found = answer_to(silent, silent)
    for finding in pair_findings(found):
        assert finding.tests["sensitivity"].paired.lost == Lost(0, 0, 0)
        test = finding.tests["ppv"]
        assert (test.paired.lost, test.n) == (Lost(model=1, other=2, both=1), 8)
        assert test.paired.model.mean - test.paired.other.mean == pytest.approx(test.difference)
    ppv = found.curves[1].learned
    assert ppv.lost == dict.fromkeys((4, 8), Lost(model=1, other=2, both=1))
    assert {point.n for arm in ppv.arms for point in arm.points} == {ppv.aim.n} == {8}


def test_a_size_of_one_arm_alone_keeps_every_study_with_a_value(rows):
    some = [row for row in rows if (row.arm, row.training_size) != ("de-novo", 4)]
    for own in answer_to(some, rows).curves:
        points = [(arm.fine_tuned, point.training_size, point.n) for arm in own.learned.arms for point in arm.points]
        assert points == [(True, 4, 12), (True, 8, 12), (False, 8, 12)]


def test_the_answer_has_the_labelled_studies_that_the_goal_takes(rows, cells):
    (own,) = answer_to(rows, cells, goal=Goal(target=0.45, annotation_minutes=30)).curves
    learned = own.learned
    crossing = learned.arms[0].crossing
    assert crossing.studies == crossing.smallest == 4
    assert learned.saving.least > 0
    assert learned.annotation_minutes == 30


def test_sources_without_a_de_novo_arm_are_collected(rows):
    fine_tuned = [row for row in rows if row.arm == "fine-tuned"]
    other = [row.model_copy(update={"source": "drawn-metastases"}) for row in fine_tuned]
    found = answer_to(fine_tuned + other, fine_tuned + other)
    assert found.open == (OneArmOnly(Stratum(), ("drawn-glioma", "drawn-metastases")),)
    assert found.verdicts == ()
    assert {own.learned.aim for own in (*found.curves, *found.curves_of_few)} == {None}


def test_each_stratum_has_its_verdict(rows):
    deeper = [row.model_copy(update={"depth": 5, "sensitivity": 0.5, "ppv": 0.5}) for row in rows]
    found = answer_to(rows + deeper, rows + deeper)
    assert [verdict.stratum for verdict in found.verdicts] == [Stratum((("depth", depth),)) for depth in (4, 5)]
    assert [type(verdict) for verdict in found.verdicts] == [Judged, NotTestable]


def test_the_largest_models_are_compared_with_the_second_rater(rows):
    graded = [
        row.model_copy(update={"arm": "rater", "source": None, "sensitivity": 0.9, "ppv": 0.9})
        for row in rows
        if row.arm == "default"
    ]
    findings = answer_to(rows + graded, rows + graded).findings
    untrained = {f.line.condition.arm: f.line for f in findings if isinstance(f, UntrainedFinding)}
    assert set(untrained) == {"default", "rater"}
    assert untrained["rater"].measures["sensitivity"].summary.mean == pytest.approx(0.9)
    assert [f.model for f in findings if isinstance(f, RaterFinding)] == [
        Condition(arm="fine-tuned", source="drawn-glioma", training_size=8),
        Condition(arm="de-novo", source=None, training_size=8),
    ]


def test_a_method_that_is_wrong_too_often_raises_an_alarm(rows, cells):
    """Networks that share a fold's chance: one fold of the fine-tuned networks is far better, the others worse."""
    shift = {1: 0.3, 2: -0.15, 3: -0.15}
    uneven = [
        row.model_copy(update={"sensitivity": min(1.0, max(0.0, row.sensitivity + shift[row.fold]))})
        if row.arm == "fine-tuned"
        else row
        for row in rows
    ]
    alarms = [one for one in answer_to(uneven, cells, null_repetitions=400).cautions if isinstance(one, Alarm)]
    assert "sensitivity" in {alarm.metric for alarm in alarms}
    assert all(alarm.rate.alarming for alarm in alarms)
    assert {alarm.rate.repetitions for alarm in alarms} == {400}


@pytest.mark.parametrize(
    ("budget", "caution"), [(Budget(epochs=30), BudgetCaution.NOT_RUN), (None, BudgetCaution.NOT_KNOWN)]
)
def test_without_a_budget_control_something_stays_open(rows, budget, caution):
    trained = [row.model_copy(update={"budget": budget}) for row in rows]
    assert [one for one in answer_to(trained, trained).cautions if isinstance(one, BudgetCaution)] == [caution]


def test_equal_steps_at_every_size_leave_nothing_open(rows, cells):
    trained = [row.model_copy(update={"budget": Budget(steps=2000)}) for row in rows]
    trainings = {condition_of(cell): TrainingConfig(steps=2000) for cell in cells}
    for found in (answer_to(trained, trained), answer_to(rows, cells, trainings=trainings)):
        assert not any(isinstance(one, BudgetCaution) for one in found.cautions)


def test_arms_that_were_trained_at_other_learning_rates_call_for_a_caution(rows, cells):
    rates = {"fine-tuned": 1e-5, "de-novo": 1e-4, "default": 1e-4}
    declared = {condition_of(cell): TrainingConfig(learning_rate=rates[cell.arm]) for cell in cells}
    listed = [row.model_copy(update={"learning_rate": rates[row.arm]}) for row in rows]
    for found in (answer_to(rows, cells, trainings=declared), answer_to(listed, listed)):
        assert LearningRatesDiffer(((1e-5, 1e-4),)) in found.cautions
    alike = {condition_of(cell): TrainingConfig() for cell in cells}
    assert not any(isinstance(one, LearningRatesDiffer) for one in answer_to(rows, cells, trainings=alike).cautions)


def test_intervals_over_patients_call_for_a_caution(rows):
    two_folds = [row for row in rows if row.fold < 3]
    assert General.PATIENT_INTERVALS not in answer_to(rows, rows).cautions
    assert General.PATIENT_INTERVALS in answer_to(two_folds, two_folds).cautions


@pytest.mark.parametrize("policy", ["exclude", "worst"])
def test_undefined_values_are_counted_with_what_becomes_of_them(rows, cells, policy):
    silent = [row.model_copy(update={"ppv": None}) if row.arm == "de-novo" and row.fold == 1 else row for row in rows]
    found = [one for one in answer_to(silent, cells, undefined=policy).cautions if isinstance(one, UndefinedValues)]
    for size, caution in zip((4, 8), found, strict=True):
        summary = caution.summary
        assert (caution.stratum, summary.metric) == (Stratum(), "ppv")
        assert summary.condition == Condition(arm="de-novo", source=None, training_size=size)
        assert (summary.undefined, summary.tested) == (4, 12)
        assert (summary.as_worst, summary.n) == ((4, 12) if policy == "worst" else (0, 8))


def test_few_test_studies_call_for_a_caution(rows, cells):
    assert FewStudies(n=12) in answer_to(rows, cells).cautions
    many = drawn_rows(1, {"fine-tuned": 0.75, "de-novo": 1.1}, sizes=(10,))
    assert not any(isinstance(one, FewStudies) for one in answer_to(many, many).cautions)


@pytest.mark.parametrize(
    ("silent", "caution"),
    [(0, None), (6, None), (7, FewComplete(Stratum(), "ppv", 5, 12))],
    ids=["all complete", "half of them", "five"],
)
def test_an_anova_over_few_complete_studies_calls_for_a_caution(rows, silent, caution):
    without = sorted({row.study for row in rows if row.training_size})[:silent]
    lacking = [
        row.model_copy(update={"ppv": None}) if row.arm == "de-novo" and row.study in without else row for row in rows
    ]
    found = [one for one in answer_to(lacking, lacking).cautions if isinstance(one, FewComplete)]
    assert found == ([caution] if caution else [])


def test_an_anova_over_less_than_half_of_many_studies_calls_for_a_caution():
    many = drawn_rows(1, {"fine-tuned": 0.75, "de-novo": 1.1}, sizes=(10,))
    for folds, called in ((3, False), (4, True)):
        lacking = [
            row.model_copy(update={"ppv": None}) if row.arm == "de-novo" and row.fold <= folds else row for row in many
        ]
        assert any(isinstance(one, FewComplete) for one in answer_to(lacking, lacking).cautions) == called


def test_simulated_studies_call_for_a_caution(rows, cells):
    assert General.SIMULATED in answer_to(rows, cells, simulated=True).cautions
    assert General.SIMULATED not in answer_to(rows, cells).cautions


@pytest.mark.parametrize(("studies", "says"), [(5, True), (6, False)], ids=["a smoke run", "enough"])
def test_numbers_of_fewer_than_six_tested_studies_mean_nothing_yet_and_the_headline_says_so(rows, studies, says):
    kept = sorted({row.study for row in rows})[:studies]
    found = answer_to(few := [row for row in rows if row.study in kept], few)
    assert (NoMeaningYet(studies) in found.cautions) == says
    text = answer_text(found)
    assert any("mean nothing yet" in note for note in text.notes) == says
    assert not any("mean nothing yet" in caution for caution in text.cautions)
