"""Every outcome has words of its own that contain its numbers; which words is left open."""

from __future__ import annotations

import math
import re
from dataclasses import replace

import pytest

from lesionlab.analysis.methods.curve import Crossing, CurvePoint, Saving
from lesionlab.analysis.methods.intervals import Covers, Interval
from lesionlab.analysis.methods.null import NullRate
from lesionlab.analysis.methods.student import AnovaSize, Untestable
from lesionlab.analysis.statistics.arm_comparisons import ArmComparison
from lesionlab.analysis.statistics.budget import BudgetCaution, BudgetControl, BudgetFinding, Slope
from lesionlab.analysis.statistics.cautions import (
    Alarm,
    FewComplete,
    FewStudies,
    General,
    LearningRatesDiffer,
    NoMeaningYet,
    OtherCorrection,
    Preliminary,
    RaterReadFewer,
    SharedPatients,
    UndefinedValues,
)
from lesionlab.analysis.statistics.changes import Change, Difference
from lesionlab.analysis.statistics.conclusions import (
    CrossingChange,
    CrossingConclusion,
    SavingConclusion,
    VerdictConclusion,
)
from lesionlab.analysis.statistics.conditions import Condition, Stratum
from lesionlab.analysis.statistics.effects import Effect, Lost, MissingCells, Pair
from lesionlab.analysis.statistics.endpoints import Decision, Declared, Endpoints, Judgement
from lesionlab.analysis.statistics.headline import Headline, JudgedCurves, SavingClaim
from lesionlab.analysis.statistics.learning import Aim, AimKind, ArmCurve, Learning
from lesionlab.analysis.statistics.summary import Summary
from lesionlab.analysis.statistics.verdicts import (
    LEAST_PATIENTS,
    Contest,
    Judged,
    NotTestable,
    OneArmOnly,
    Outcome,
    TooFewPatients,
)
from lesionlab.analysis.words import budget, cautions, curves, definitions, headline, savings, verdicts
from lesionlab.analysis.words.models import METRICS
from lesionlab.analysis.words.reasons import note, untestable
from storage_schemas.axes import Budget

FINE_TUNED, DE_NOVO = (
    Condition(arm="fine-tuned", source="glioma", training_size=10),
    Condition(arm="de-novo", source=None, training_size=10),
)
ARMS = ArmComparison(Stratum(), (FINE_TUNED,), (DE_NOVO,))
CONTEST = Contest(ARMS, "glioma", (FINE_TUNED, DE_NOVO))
EFFECT = Effect(
    metric="ppv",
    test="paired-t",
    stratum=Stratum(),
    pair=Pair(FINE_TUNED, DE_NOVO),
    n=23,
    n_other=None,
    undefined=0,
    difference=0.1,
    statistic=2.0,
    p=0.03,
)
CURVES = Learning(
    comparison=ARMS,
    metric="sensitivity",
    arms=(
        ArmCurve(FINE_TUNED.way, (), Crossing(14.0, Interval(11.0, 22.0), 10, 50)),
        ArmCurve(DE_NOVO.way, (), Crossing(math.inf, Interval(41.0, math.inf), 10, 50)),
    ),
    aim=Aim(AimKind.RATER, 0.63, 12),
    saving=Saving(36.0, 36.0, Interval(19.0, 43.0), 0.0),
    annotation_minutes=None,
    studies=57,
    patients=55,
    unit="fold",
    clusters=6,
)


def told(learned: Learning, decision: Decision = Decision.HIGHER) -> JudgedCurves:
    return JudgedCurves(learned, replace(judgement(decision), metric="sensitivity"))


def numbers(text: str) -> list[str]:
    return re.findall(r"\d+(?:\.\d+)?", text)


def all_apart(texts: list[str]) -> bool:
    """Whether there are words for each, and other ones for each."""
    return all(text.strip() for text in texts) and len(set(texts)) == len(texts)


def judged(outcomes: dict[int, Outcome], ppv: dict[int, Outcome] | None = None) -> str:
    return verdicts.sentence(Judged(CONTEST, {"sensitivity": outcomes, "ppv": ppv or outcomes}, (52, 60)))


def test_every_reason_why_there_is_no_p_has_words():
    assert all_apart([untestable(replace(EFFECT, p=None, untestable=why)) for why in Untestable])
    assert note(EFFECT) == ""


def test_the_note_of_a_comparison_has_degrees_of_freedom_and_missing_cells():
    found = note(replace(EFFECT, anova=AnovaSize(6, 5, 295, 0.61, 0.042), missing=MissingCells(2, 12)))
    assert numbers(found) == ["6", "5", "295", "0.61", "0.042", "2", "12"]


def test_every_outcome_of_a_verdict_has_words_with_its_metric_size_and_n():
    texts = [judged({30: outcome}) for outcome in Outcome]
    assert all_apart(texts)
    for text in texts:
        assert {"30", "52", "60"} <= set(numbers(text))
        assert all(METRICS[metric] in text for metric in ("sensitivity", "ppv"))


def test_every_further_outcome_of_a_verdict_has_words_with_its_sizes():
    texts = [judged({10: Outcome.HIGHER, 20: outcome, 30: outcome}) for outcome in Outcome]
    assert all_apart(texts)
    assert all({"10", "20", "30"} <= set(numbers(text)) for text in texts[1:])


def test_metrics_with_the_same_outcomes_share_a_clause_and_a_range_of_sizes_is_one():
    alike = dict.fromkeys((10, 20, 30, 40), Outcome.HIGHER)
    assert numbers(judged(alike)) == ["10", "40", "52", "60"]
    assert numbers(judged(alike, ppv=alike | {20: Outcome.LOWER}))[2:] == ["10", "30", "40", "20", "52", "60"]


def test_a_verdict_that_is_not_given_says_why():
    effect = replace(EFFECT, p=None, untestable=Untestable.ONE_PAIR)
    texts = [
        verdicts.sentence(TooFewPatients(CONTEST, 5)),
        verdicts.sentence(NotTestable(CONTEST, (effect,))),
        verdicts.one_arm_only(OneArmOnly(Stratum(), ("glioma", "metastases"))),
    ]
    assert all_apart(texts)
    assert numbers(texts[0]) == ["5", str(LEAST_PATIENTS)]
    assert untestable(effect) in texts[1]
    assert all(source in texts[2] for source in ("glioma", "metastases"))


@pytest.mark.parametrize(
    ("crossing", "text"),
    [
        (Crossing(14.2, Interval(10, 22.4), 10, 50), ["14", "10", "22"]),
        (Crossing(31, Interval(24, math.inf), 10, 50), ["31", "24"]),
        (Crossing(math.inf, Interval(40, math.inf), 10, 50), ["50", "40"]),
        (Crossing(10, None, 10, 50), ["10"]),
        (Crossing(50, None, 10, 50, defined=True), ["50"]),
    ],
)
def test_a_crossing_has_its_number_and_its_interval(crossing, text):
    assert numbers(curves.crossing(crossing)) == text


def test_a_crossing_at_the_smallest_size_is_an_upper_bound():
    assert curves.crossing(Crossing(10, None, 10, 50)) == "≤ 10"


@pytest.mark.parametrize(
    ("saving", "wanted"),
    [
        (Saving(36, 36, Interval(19, 43), 0), ["36", "95", "19", "43"]),
        (Saving(36, math.inf, Interval(-5, math.inf), 0.031), ["36", "95", "5", "0", "3"]),
        (Saving(-36, -36, Interval(-43, -19), 0), ["36", "95", "19", "43"]),
        (Saving(36, 36, None, 0), ["36"]),
        (Saving(0.2, 0.2, Interval(-4, 3), 0), ["0", "95", "4", "3"]),
        (Saving(-10, 10, Interval(-10, 10), 0), ["10"]),
        (Saving(-10, math.inf, Interval(-10, math.inf), 0), []),
        (Saving(0, math.inf, Interval(-math.inf, math.inf), 0.4), []),
    ],
    ids=["fewer", "not shown", "more", "no interval", "the same", "both at the smallest", "open", "nothing or more"],
)
def test_a_saving_has_its_number_and_its_interval(saving, wanted):
    without = curves.sentences(told(replace(CURVES, saving=None)))
    decision = Decision.LOWER if saving.least < 0 else Decision.HIGHER
    found = numbers(curves.sentences(told(replace(CURVES, saving=saving), decision)))
    for number in numbers(without):
        found.remove(number)
    assert sorted(found) == sorted(wanted)


def test_savings_of_every_direction_and_support_are_told_apart():
    savings = [
        Saving(36, 36, Interval(19, 43), 0),
        Saving(36, 36, Interval(-19, 43), 0),
        Saving(36, 36, None, 0),
        Saving(-36, -36, Interval(-43, -19), 0),
        Saving(0, 0, Interval(-3, 3), 0),
        Saving(-10, 10, None, 0),
        Saving(-10, math.inf, None, 0),
    ]
    assert all_apart([curves.sentences(told(replace(CURVES, saving=saving))) for saving in savings])


@pytest.mark.parametrize("decision", Decision)
def test_no_part_of_the_answer_says_that_studies_are_saved_where_the_headline_does_not(decision):
    """A saving needs a significant difference in the same direction; its own interval takes folds as independent."""
    own = told(CURVES, decision)
    text = curves.sentences(own)
    assert ("Fine-tuning saves about 36" in text) == (own.claim is SavingClaim.CLAIMED)
    assert ("by the means, fine-tuning saves about 36" in text) == (own.claim is SavingClaim.NOT_SUPPORTED)
    assert savings.cell(CURVES.saving, own.claim).endswith(("19 to 43)", ", not claimed"))
    assert (own.claim is SavingClaim.CLAIMED) == (decision is Decision.HIGHER)


@pytest.mark.parametrize("claim", SavingClaim)
def test_a_cell_has_a_saving_and_a_note_its_interval_where_the_headline_has_them(claim):
    found = headline_of(Decision.HIGHER, claim)
    has_interval = "(95 % CI 15 to 30)" in headline.sentences(found)[2]
    assert bool(savings.cell(found.learned.saving, claim)) == bool(savings.covers(found)) == has_interval


@pytest.mark.parametrize(
    ("fine_tuned", "de_novo", "reason"),
    [
        (math.inf, math.inf, "neither arm reaches Grader 2's sensitivity"),
        (math.inf, 50.0, "fine-tuned networks do not reach Grader 2's sensitivity"),
        (50.0, math.inf, "de novo networks do not reach Grader 2's sensitivity"),
        (10.0, 10.3, "both arms reach Grader 2's sensitivity with about the fewest"),
    ],
)
def test_an_open_saving_has_its_reason(fine_tuned, de_novo, reason):
    points = tuple(CurvePoint(size, 0.5, None, 60) for size in (10, 50))
    arms = tuple(
        ArmCurve(model.way, points, Crossing(studies, None, 10, 50))
        for model, studies in ((FINE_TUNED, fine_tuned), (DE_NOVO, de_novo))
    )
    opened = replace(CURVES, arms=arms, saving=Saving(0, math.inf, None, 0.4))
    assert f"No saving can be estimated: {reason}" in curves.sentences(told(opened))
    one_size = replace(opened, arms=tuple(replace(arm, points=points[:1]) for arm in arms))
    assert "it takes several training sizes" in curves.sentences(told(one_size))


def test_learning_curves_have_the_target_the_evidence_and_the_hours():
    text = curves.sentences(told(replace(CURVES, annotation_minutes=30.0)))
    assert {"0.63", "12", "14", "11", "22", "50", "41", "57", "6", "30", "18"} <= set(numbers(text))
    conditional = curves.sentences(told(replace(CURVES, unit="patient")))
    assert len(conditional) > len(curves.sentences(told(CURVES)))


def test_lost_pairs_have_their_counts_by_arm_and_size():
    text = curves.sentences(told(replace(CURVES, lost={10: Lost(3, 4, 2), 50: Lost(0, 0, 0)})))
    assert numbers(text.partition("57 test studies")[2]) == ["48", "10", "3", "4", "2", "57", "50", "95", "6"]


def test_every_kind_of_target_has_a_name():
    aims = [Aim(AimKind.DECLARED, 0.6), Aim(AimKind.RATER, 0.6, 10), Aim(AimKind.DE_NOVO, 0.6, 60, DE_NOVO)]
    assert {aim.kind for aim in aims} == set(AimKind)
    assert all_apart([curves.aim_name(aim) for aim in aims])


def test_every_change_between_definitions_has_words():
    assert all_apart([definitions.changed(Change(EFFECT, EFFECT, (one,))) for one in Difference])
    crossings = [
        CrossingConclusion(Stratum(), "ppv", DE_NOVO.way, CURVES.aim, None, None, change) for change in CrossingChange
    ]
    assert all_apart([definitions.conclusion_change(one) for one in crossings])


def test_every_kind_of_conclusion_is_named_and_told_before_and_after():
    few = TooFewPatients(CONTEST, 5)
    found = [
        VerdictConclusion(few, Judged(CONTEST, {"ppv": {10: Outcome.LOWER}}, (9, 9))),
        CrossingConclusion(
            Stratum(), "ppv", DE_NOVO.way, CURVES.aim, CURVES.arms[0].crossing, None, CrossingChange.NO_LONGER_ESTIMATED
        ),
        SavingConclusion(CURVES, SavingClaim.CLAIMED, SavingClaim.NOT_SHOWN),
    ]
    assert all_apart([definitions.about(one) for one in found])
    for one in found:
        assert one.changed
        assert all_apart([*definitions.before_and_after(one), definitions.conclusion_change(one)])


def test_every_finding_of_the_budget_control_has_words():
    assert set(budget.FINDINGS) == set(BudgetFinding)
    assert set(budget.CAUTIONS) == set(BudgetCaution)
    slopes = (Slope(Budget(epochs=30), None), Slope(Budget(steps=2000), None))
    text = budget.sentences(BudgetControl("ppv", ARMS, slopes))
    assert {"30", "2000"} <= set(numbers(text))
    assert budget.FINDINGS[BudgetFinding.NOT_FITTED] in text


CAUTIONS = [
    (Preliminary(3, 13), ["3", "13"]),
    (FewStudies(12), ["12"]),
    (UndefinedValues(Stratum(), Summary(DE_NOVO, "ppv", 0.5, 0.1, 56, undefined=4)), ["4", "60"]),
    (UndefinedValues(Stratum(), Summary(DE_NOVO, "ppv", 0.5, 0.1, 60, undefined=4, as_worst=4)), ["4", "60"]),
    (UndefinedValues(Stratum(), Summary(DE_NOVO, "ppv", 0.5, 0.1, 55, undefined=8, as_worst=3)), ["8", "60", "3", "5"]),
    (FewComplete(Stratum(), "ppv", 4, 60), ["4", "60"]),
    (FewComplete(Stratum(), "ppv", 3, 3), ["3"]),
    (SharedPatients(60, 30), ["60", "30"]),
    (RaterReadFewer(10, 60), ["10", "60"]),
    (LearningRatesDiffer(((1e-3, 0.01),)), ["0.001", "0.01"]),
    (NoMeaningYet(5), ["5"]),
    (OtherCorrection("holm", (Change(EFFECT, EFFECT, (Difference.NOW_SIGNIFICANT,)),)), ["10"]),
    (OtherCorrection("welch", (Change(EFFECT, EFFECT, (Difference.NOW_SIGNIFICANT,)),)), ["10"]),
    (Alarm(Stratum(), "ppv", NullRate("paired t", 0.12, 0.06, 0.2, 400)), ["12", "6", "20", "400"]),
    (Alarm(Stratum(), "ppv", NullRate("paired t", 0.35, 0.053, 0.7, 99)), ["35.0", "5.3", "70.0", "99"]),
    *((caution, []) for caution in General),
    *((caution, []) for caution in BudgetCaution),
]


@pytest.mark.parametrize(("caution", "wanted"), CAUTIONS, ids=lambda value: type(value).__name__)
def test_a_caution_has_its_numbers(caution, wanted):
    assert set(wanted) <= set(numbers(cautions.sentence(caution)))


def test_every_caution_has_words_of_its_own():
    assert all_apart([cautions.sentence(caution) for caution, _ in CAUTIONS])


def judgement(decision: Decision) -> Judgement:
    pairs = decision is not Decision.NO_PAIRS
    return Judgement(
        comparison=ARMS,
        metric="ppv",
        decision=decision,
        sizes=(10,),
        studies=60,
        patients=5 if decision is Decision.FEW_PATIENTS else 60,
        difference=0.12 if pairs else None,
        interval=Interval(0.05, 0.19) if pairs else None,
        covers=Covers.TRAINING_STUDIES if pairs else None,
        degrees=5,
        p=0.01,
        why=MissingCells(1, 12) if decision is Decision.NOT_CLAIMED else None,
    )


def headline_of(decision: Decision, claim: SavingClaim, direction: int = 1) -> Headline:
    primary = judgement(decision)
    aim = Aim(AimKind.DE_NOVO, 0.6, 10, DE_NOVO.model_copy(update={"training_size": 50}))
    saving = Saving(direction * 21.0, direction * 21.0, Interval(*sorted((direction * 15.0, direction * 30.0))), 0.0)
    learned = Learning(ARMS, "ppv", (), aim, saving, 30.0, 60, 60, "fold", 6)
    return Headline(Endpoints(primary, (), Declared.BEFOREHAND), learned, primary, claim)


def test_every_decision_has_a_first_sentence_of_its_own():
    said = {headline.sentences(headline_of(decision, SavingClaim.NOT_SHOWN))[0] for decision in Decision}
    assert len(said) == len(Decision)
    assert sum("is significantly " in sentence for sentence in said) == 2


def test_every_claim_about_a_saving_has_a_third_sentence_and_only_one_of_them_claims_it():
    said = {claim: headline.sentences(headline_of(Decision.HIGHER, claim))[2] for claim in SavingClaim}
    assert said[SavingClaim.CLAIMED] == (
        "It saves about 21 labelled studies (95 % CI 15 to 30), 10 hours of work, in reaching the PPV of de novo "
        "training with 50."
    )
    others = [sentence for claim, sentence in said.items() if claim is not SavingClaim.CLAIMED]
    assert all(sentence.startswith("No saving of labelled studies ") for sentence in others)
    more = headline.sentences(headline_of(Decision.LOWER, SavingClaim.CLAIMED, direction=-1))[2]
    assert more.startswith("It needs about 21 more labelled studies (95 % CI 15 to 30), 10 hours of work, to reach ")


@pytest.mark.parametrize("covers", Covers)
def test_what_an_interval_covers_is_said_where_it_stands(covers):
    found = headline_of(Decision.HIGHER, SavingClaim.CLAIMED)
    primary = replace(found.endpoints.primary, covers=covers)
    (note,) = (
        line
        for line in headline.notes(replace(found, endpoints=replace(found.endpoints, primary=primary)))
        if line.startswith("Interval of the difference: it covers which patients were tested")
    )
    assert ("which studies were trained on" in note) == (covers is Covers.TRAINING_STUDIES)
    assert ("chance in training" in note) == (covers is not Covers.THESE_NETWORKS)


def test_a_difference_that_rounds_to_zero_has_no_sign():
    found = headline_of(Decision.NOT_SHOWN, SavingClaim.NOT_SHOWN)
    primary = replace(found.endpoints.primary, difference=-0.004, interval=Interval(-0.03, 0.02))
    said = headline.sentences(replace(found, endpoints=replace(found.endpoints, primary=primary)))[1]
    assert said == "With 10 labelled studies the difference in PPV is 0.00 (95 % CI −0.03 to +0.02)."
