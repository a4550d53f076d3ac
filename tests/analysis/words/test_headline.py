"""The answer in three sentences, for every shape of result: outcomes, words, and the same numbers as in the table."""

from __future__ import annotations

import csv
import io
import re

import numpy as np
import pytest

from lesionlab.analysis.methods.intervals import Covers
from lesionlab.analysis.methods.mixed import NotFitted
from lesionlab.analysis.sheets.endpoint_table import _saving, endpoint_sheet
from lesionlab.analysis.sheets.records import csv_text
from lesionlab.analysis.sheets.sheet import as_csv
from lesionlab.analysis.sheets.supplementary_tables import endpoint_models_sheet
from lesionlab.analysis.statistics.compute import statistics
from lesionlab.analysis.statistics.effects import MissingCells
from lesionlab.analysis.statistics.endpoints import Decision, Declared
from lesionlab.analysis.statistics.external import read_table
from lesionlab.analysis.statistics.headline import SavingClaim
from lesionlab.analysis.statistics.supplementary import Options
from lesionlab.analysis.words import headline as words
from lesionlab.analysis.words.answer import answer_text
from storage_schemas.axes import Freezing
from storage_schemas.experiments import ExperimentSpec, Goal
from storage_schemas.splits import Target
from tests.analysis.drawn_rows import drawn_rows

BETTER, EQUAL = {"fine-tuned": 0.7, "de-novo": 1.1}, {"fine-tuned": 0.9, "de-novo": 0.9}
ROTATION = Target(cohort="ms")


def spec(**changes) -> ExperimentSpec:
    return ExperimentSpec.model_validate(
        {
            "name": "drawn",
            "title": "drawn",
            "task": "flair-single",
            "cohorts": {"ms": {}, "glioma": {}},
            "target": ROTATION,
            "sources": [{"model": "glioma", "cohort": "glioma"}],
            "training_sizes": [10, 20],
            **changes,
        }
    )


def options(experiment: ExperimentSpec, first: ExperimentSpec | None = None) -> Options:
    return Options(
        goal=experiment.goal,
        null_repetitions=0,
        endpoint=experiment.endpoint,
        first_endpoint=(first or experiment).endpoint,
        target=experiment.target,
    )


def of_experiment(rows):
    """The rows as those of an experiment whose fine-tuned networks come from gliomas."""
    return [row.model_copy(update={"source": None if row.arm in ("de-novo", "rater") else "glioma"}) for row in rows]


def answered(rows, declared, planned=None):
    """The headline and its sentences, which are short, three, and without nested brackets, as is the whole answer."""
    found = statistics(rows, planned or rows, "per-study", declared)
    head, text = found.answer.headline, answer_text(found.answer)
    assert text.headline == words.sentences(head)
    assert len(text.headline) == 3
    for sentence in text.headline:
        assert sentence.endswith(".")
        assert sentence[0].isupper()
        assert not re.search(r"[.;:] [A-Z]", sentence.replace("PPV", "ppv").replace("Grader", "grader"))
        assert len(sentence.split()) <= 30
        assert "[" not in sentence
    for line in (*text.headline, *text.notes, *text.secondary):
        assert not re.search(r"[(\[][^)\]]*[(\[]", line), line
    assert_numbers_are_those_of_the_table(head, text.headline)
    return head, text.headline


def assert_numbers_are_those_of_the_table(head, sentences):
    sheet = endpoint_sheet(head)
    names = [column.title for column in sheet.columns]
    lines = [dict(zip(names, row, strict=True)) for row in sheet.rows]
    assert len(lines) == len(head.endpoints.every)
    if head.endpoints.primary is None or head.endpoints.primary.difference is None:
        return
    primary = lines[0]
    assert primary["Endpoint"] == "primary"
    sign = -1 if "lower (" in sentences[1] else 1
    (said,) = re.findall(r"is (\d\.\d\d)", sentences[1])
    assert (float(said) > 0) == bool(re.search(r"is \d\.\d\d (?:higher|lower) \(", sentences[1]))
    assert sign * float(said) == float(primary["Difference"].replace("−", "-"))
    assert primary["95 % CI"] == "–" or f"(95 % CI {primary['95 % CI']})" in sentences[1]
    if found := re.search(r"the estimate is ([^;]*)\.$", sentences[2]):
        told = [line["Labelled studies saved"] for line in lines]
        assert f"{found[1]}, not claimed" in told or f"{found[1]}, not shown" in told
    elif " can be " in sentences[2]:
        assert {line["Labelled studies saved"] for line in lines if "Labelled studies saved" in line} <= {""}
    elif found := re.search(r"saves (about|at least) (\d+) labelled studies (\([^)]*\))", sentences[2]):
        told = f"{'at least ' * (found[1] == 'at least')}{found[2]} {found[3]}"
        assert told in [line["Labelled studies saved"] for line in lines]


def test_the_model_behind_each_endpoint_is_laid_out_with_every_sd():
    rows = of_experiment(drawn_rows(1, BETTER, sizes=(10, 20)))
    head, _ = answered(rows, options(spec()))
    lines = list(csv.DictReader(io.StringIO(as_csv(endpoint_models_sheet(head.endpoints.every)))))
    primary = head.endpoints.primary
    own = {line["Term"]: line for line in lines if line["Metric"] == "ppv"}
    assert float(own["fine-tuned − de novo"]["estimate"]) == primary.difference
    assert float(own["fine-tuned − de novo"]["p_value"]) == primary.p
    assert {f"SD: {name}" for name in ("training subset × arm", "patient × arm", "network", "residual")} < set(own)
    assert len(lines) == sum(len(one.model.terms) + len(one.model.sd) for one in head.endpoints.every)


def test_a_clear_effect_helps_with_its_size_and_its_saving():
    rows = of_experiment(drawn_rows(1, BETTER, sizes=(10, 20, 40)))
    head, (whether, how_much, saved) = answered(rows, options(spec(training_sizes=[10, 20, 40])))
    primary = head.endpoints.primary
    assert (primary.metric, primary.decision, primary.covers) == ("ppv", Decision.HIGHER, Covers.TRAINING_STUDIES)
    assert (primary.degrees, primary.patients, primary.sizes) == (5, 60, (10, 20, 40))
    assert primary.p <= 0.05
    assert (head.endpoints.declared, head.claim) == (Declared.BEFOREHAND, SavingClaim.CLAIMED)
    assert whether == "Fine-tuning from glioma helps: PPV is significantly higher than after de novo training."
    assert how_much.startswith("On average over 10 to 40 labelled studies PPV is 0.")
    assert re.search(r"^It saves about \d+ labelled studies .* PPV of de novo training with 40\.$", saved)


def test_a_clear_loss_is_harm():
    rows = of_experiment(drawn_rows(1, {"fine-tuned": 1.1, "de-novo": 0.7}, sizes=(10, 20)))
    head, (whether, how_much, _) = answered(rows, options(spec()))
    assert head.endpoints.primary.decision is Decision.LOWER
    assert "does harm" in whether
    assert " lower (95 % CI −" in how_much


def test_no_effect_is_not_shown_and_saves_nothing():
    rows = of_experiment(drawn_rows(2, EQUAL, sizes=(10, 20), network_sd=0.02))
    head, (whether, _, saved) = answered(rows, options(spec()))
    assert head.endpoints.primary.decision is Decision.NOT_SHOWN
    assert head.claim is not SavingClaim.CLAIMED
    assert "is not shown to help: PPV does not differ significantly" in whether
    assert saved.startswith("No saving of labelled studies ")


def test_too_few_patients_give_no_verdict(rows, plan):
    few = [row for row in rows if row.study in {f"sub-{n:03d}" for n in (1, 2, 5, 6, 9)}]
    head, (whether, how_much, saved) = answered(few, options(plan.spec), few)
    assert (head.endpoints.primary.decision, head.endpoints.primary.patients) == (Decision.FEW_PATIENTS, 5)
    assert whether == (
        "These data cannot show whether fine-tuning from drawn-glioma helps: only 5 patients were tested under both "
        "arms, and a verdict needs 6."
    )
    assert "With 4" in how_much or "On average over 4 and 8" in how_much
    assert saved.startswith("No saving of labelled studies can be ")


@pytest.mark.parametrize("arm", ["fine-tuned", "de-novo"])
def test_one_arm_alone_shows_its_mean_and_compares_nothing(arm):
    rows = of_experiment(drawn_rows(1, {arm: 0.9}, sizes=(10, 20)))
    declared = options(spec(de_novo=False) if arm == "fine-tuned" else spec(sources=[]))
    head, (whether, how_much, saved) = answered(rows, declared)
    assert (head.endpoints.primary, head.endpoints.every, head.claim) == (None, (), SavingClaim.ONE_ARM)
    assert whether.endswith(f"all networks are {arm.replace('-', ' ') if arm == 'de-novo' else arm}.")
    last = head.learned.arms[0].points[-1]
    assert f"With 20 labelled studies their PPV is {last.mean:.2f} (95 % CI {last.interval.low:.2f} to" in how_much
    assert "one arm alone" in saved


def test_arms_without_a_common_size_are_not_compared():
    rows = of_experiment(drawn_rows(1, BETTER, sizes=(10, 20)))
    apart = [row for row in rows if row.arm == "default" or (row.arm == "de-novo") == (row.training_size == 20)]
    head, (whether, how_much, saved) = answered(apart, options(spec()))
    assert head.endpoints.primary is None
    assert whether == "These data cannot show whether fine-tuning helps: no training size has both arms."
    assert how_much == "There is no difference between arms to estimate."
    assert saved == "No saving of labelled studies can be judged without a training size that both arms share."


def test_without_any_result_nothing_is_said(cells, plan):
    head, (whether, how_much, saved) = answered([], options(plan.spec), cells)
    assert head.endpoints.primary.decision is Decision.NO_PAIRS
    assert "cannot show" in whether
    assert how_much == "There is no difference in PPV to estimate."
    assert saved == "No saving of labelled studies can be estimated: there is no target to reach."


def test_of_several_sources_and_depths_the_first_source_at_the_main_depth_leads():
    better, equal = (of_experiment(drawn_rows(seed, gains, sizes=(10,))) for seed, gains in ((1, EQUAL), (2, BETTER)))
    metastases = [row.model_copy(update={"source": "metastases"}) for row in equal if row.arm == "fine-tuned"]
    at_depth_4 = [*better, *metastases]
    rows = [row.model_copy(update={"depth": depth}) for depth in (3, 4) for row in at_depth_4]
    sources = [{"model": "metastases", "cohort": "glioma"}, {"model": "glioma", "cohort": "glioma"}]
    head, (whether, *_) = answered(rows, options(spec(sources=sources, depths=[3, 4], training_sizes=[10])))
    primary, endpoints = head.endpoints.primary, head.endpoints
    assert primary.comparison.ways[0].source == "metastases"
    assert dict(primary.stratum.axes) == {"depth": 4}
    assert whether.startswith("Depth 4: fine-tuning from metastases ")
    assert len(endpoints.secondary) == 2 * 4 - 1
    with_p = sorted((one.p, one.p_holm) for one in endpoints.secondary)
    assert with_p[0][1] == pytest.approx(7 * with_p[0][0])
    notes = words.notes(head)
    assert any(note.startswith("The first of 4 comparisons leads: fine-tuned from metastases") for note in notes)
    assert words.secondary_title(7) == "Secondary endpoints, with Holm's correction for 7 comparisons"


def test_sites_give_an_interval_and_no_claim():
    sites = ("north", "south", "west")
    rows = [
        row.model_copy(update={"fold": sites.index(row.site) + 1})
        for row in of_experiment(drawn_rows(1, BETTER, sizes=(20,)))
        if row.training_size
    ]
    by_site = spec(target={"cohort": "ms", "design": "leave-one-site-out", "sites": sites}, training_sizes=[20])
    head, (whether, how_much, _) = answered(rows, options(by_site))
    primary = head.endpoints.primary
    assert (primary.decision, primary.why) == (Decision.NOT_CLAIMED, NotFitted.NO_DISJOINT_SIZE)
    assert (primary.p, primary.covers, primary.degrees) == (None, Covers.INDEPENDENT_NETWORKS, 2)
    assert "no significance is claimed for PPV, as some networks share training studies" in whether
    assert "(95 % CI +0." in how_much
    assert any("too narrow if it matters which training studies they share" in note for note in words.notes(head))


def test_grader_2_is_the_target_of_the_saving():
    rows = of_experiment(drawn_rows(1, BETTER, sizes=(10, 20), rater=0.5))
    head, (_, _, saved) = answered(rows, options(spec()))
    assert head.claim is SavingClaim.CLAIMED
    assert saved.endswith(" in reaching Grader 2's PPV.")


def read_from(path, rows):
    columns = ("study", "patient", "site", "arm", "training_size", "fold", "sensitivity", "ppv")
    path.write_text(csv_text([row.model_dump(include=set(columns)) for row in rows]))
    return read_table(path).rows


def test_a_table_that_looks_like_a_rotation_is_judged_and_the_assumption_is_said(tmp_path):
    rows = read_from(tmp_path / "rows.csv", drawn_rows(1, BETTER, sizes=(10,)))
    head, (whether, *_) = answered(rows, Options(null_repetitions=0))
    assert (head.endpoints.declared, head.endpoints.rotation_assumed) == (Declared.NEVER, True)
    assert head.endpoints.primary.decision is Decision.HIGHER
    assert whether.startswith("Fine-tuning helps: PPV ")
    notes = words.notes(head)
    assert any("does not say which studies each network was trained on" in note for note in notes)
    assert "A table declares no primary endpoint; PPV is taken, as in the claim of the paper." in notes


def test_a_table_of_any_other_design_gives_an_interval_and_no_claim(tmp_path):
    rows = read_from(tmp_path / "rows.csv", [row for row in drawn_rows(1, BETTER, sizes=(25,)) if row.fold != 3])
    head, (whether, how_much, _) = answered(rows, Options(null_repetitions=0))
    assert (head.endpoints.primary.why, head.endpoints.rotation_assumed) == (NotFitted.SUBSETS_UNKNOWN, False)
    assert "is left open: no significance is claimed for PPV" in whether
    assert "With 25 labelled studies PPV is 0." in how_much


@pytest.mark.parametrize("gap", [0.3, 0.0], ids=["apart", "alike"])
def test_of_models_from_elsewhere_alone_the_best_leads_and_what_it_is_above(gap):
    shifts = {"A": 0.0, "B": gap / 2, "C": gap}
    rows = [
        row.model_copy(update={"arm": "other", "source": name, "training_size": 0, "ppv": value})
        for place, (name, shift) in enumerate(shifts.items())
        for row in drawn_rows(1, {"de-novo": 0.9}, sizes=(10,))
        if row.arm == "de-novo"
        for value in [0.3 + shift + (int(row.study[4:]) * (place + 3) % 11) / 100]
    ]
    head, (whether, how_much, saved) = answered(rows, Options(null_repetitions=0))
    assert whether.endswith("no network was trained on the labelled studies.")
    assert saved == "No saving of labelled studies can be estimated without networks that were trained on them."
    means = {name: np.mean([row.ppv for row in rows if row.source == name]) for name in shifts}
    best = max(means, key=means.get)
    shown = "significantly above that of A and B" if gap else "not significantly above that of another"
    assert how_much == f"Of 3 models, {best} has the highest mean PPV: {means[best]:.2f}, {shown}."
    assert any("paired t test" in note for note in words.notes(head))


def test_a_table_without_any_ppv_is_judged_by_sensitivity_and_says_so():
    """PPV that is undefined in some studies, or under one arm, was measured and stays the endpoint."""
    rows = drawn_rows(1, BETTER, sizes=(10, 20))
    without = [row.model_copy(update={"ppv": None}) for row in rows]
    head, (whether, *_) = answered(without, Options(null_repetitions=0))
    assert head.endpoints.primary.metric == head.learned.metric == "sensitivity"
    assert "sensitivity" in whether
    assert "A table declares no primary endpoint; sensitivity is taken, as this one has no PPV." in words.notes(head)
    some = [one if one.arm == "de-novo" else row for row, one in zip(rows, without, strict=True)]
    assert answered(some, Options(null_repetitions=0))[0].endpoints.primary.metric == "ppv"
    assert answered(of_experiment(without), options(spec()))[0].endpoints.primary.metric == "ppv"


def test_the_goal_of_a_table_names_its_endpoint():
    rows = drawn_rows(1, BETTER, sizes=(10, 20))
    head, (_, _, saved) = answered(rows, Options(null_repetitions=0, goal=Goal(metric="sensitivity", target=0.55)))
    assert head.endpoints.primary.metric == head.learned.metric == "sensitivity"
    assert "a sensitivity of 0.55" in saved


def test_an_endpoint_that_was_changed_after_planning_is_post_hoc_and_the_first_one_is_told():
    rows = of_experiment(drawn_rows(1, BETTER, sizes=(10,)))
    now = spec(primary_endpoint="sensitivity", training_sizes=[10])
    head, (whether, *_) = answered(rows, options(now, spec(training_sizes=[10])))
    assert head.endpoints.declared is Declared.AFTERWARDS
    assert (head.endpoints.primary.metric, head.endpoints.first.metric) == ("sensitivity", "ppv")
    assert whether.startswith("Post hoc: fine-tuning from glioma helps: sensitivity ")
    (note,) = (note for note in words.notes(head) if note.startswith("Post hoc"))
    assert "PPV, fine-tuned from glioma versus de novo: +0." in note


def test_another_source_first_is_another_endpoint():
    one = spec(sources=[{"model": "glioma", "cohort": "glioma"}, {"model": "mets", "cohort": "glioma"}])
    other = spec(sources=[{"model": "mets", "cohort": "glioma"}, {"model": "glioma", "cohort": "glioma"}])
    assert one.endpoint != other.endpoint
    assert spec(depths=[3, 4]).endpoint == spec().endpoint != spec(depths=[3]).endpoint


def test_before_every_cell_has_results_no_significance_is_claimed():
    planned = of_experiment(drawn_rows(1, BETTER, sizes=(10,)))
    rows = [row for row in planned if (row.arm, row.fold) != ("de-novo", 6)]
    head, (whether, how_much, saved) = answered(rows, options(spec(training_sizes=[10])), planned)
    primary = head.endpoints.primary
    assert (primary.decision, primary.why, primary.p) == (Decision.NOT_CLAIMED, MissingCells(1, 12), None)
    assert primary.studies == 50
    assert whether.endswith("as 1 of its 12 networks have no results yet.")
    assert "95 % CI" in how_much
    assert "claimed" in saved or "estimated" in saved


def test_a_flat_de_novo_curve_claims_no_saving():
    rows = of_experiment(drawn_rows(4, BETTER, sizes=(10, 20, 40)))
    flat = [
        row.model_copy(update={"ppv": 0.3 + (int(row.study[4:]) * 7 + row.training_size) % 11 / 100})
        if row.arm == "de-novo"
        else row
        for row in rows
    ]
    head, (_, _, saved) = answered(flat, options(spec(training_sizes=[10, 20, 40])))
    assert head.learned.saving.flat
    assert head.claim is SavingClaim.FLAT
    assert saved == (
        "No saving of labelled studies can be claimed: the PPV of de novo training did not rise, from 0.35 with 10 to "
        "0.35 with 40."
    )
    assert not _saving(head, head.judged), "the table has no estimate of what cannot be claimed"


def test_a_saving_whose_difference_is_not_significant_is_not_claimed():
    """The interval of a saving takes folds as independent; the verdict does not."""
    shaken = [
        row.model_copy(update={"ppv": min(1.0, row.ppv + (0.12 if row.fold in (1, 2) else -0.02))})
        if row.arm == "fine-tuned" and row.training_size
        else row
        for row in drawn_rows(1, {"fine-tuned": 1.0, "de-novo": 1.1}, sizes=(10, 20))
    ]
    head, (_, _, saved) = answered(of_experiment(shaken), options(spec()))
    assert head.endpoints.primary.decision is Decision.NOT_SHOWN
    assert head.claim is not SavingClaim.CLAIMED
    assert "saves" not in saved


def test_a_mean_is_said_to_be_one_of_studies_own_values():
    head, _ = answered(of_experiment(drawn_rows(1, BETTER, sizes=(10,))), options(spec(training_sizes=[10])))
    assert words.notes(head)[0] == ("PPV is the mean of the studies' own values, not a share of all lesions together.")


def test_of_several_ways_of_fine_tuning_the_first_is_named():
    rows = of_experiment(drawn_rows(1, BETTER, sizes=(10,)))
    frozen = [row.model_copy(update={"freezing": Freezing(part="encoder")}) for row in rows if row.arm == "fine-tuned"]
    declared = spec(freezings=[{"part": "encoder"}, None], training_sizes=[10])
    _, (whether, *_) = answered([*rows, *frozen], options(declared))
    assert whether.startswith("Fine-tuning from glioma with encoder frozen helps: ")
