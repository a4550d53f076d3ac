"""Which values are compared, what is counted, and what must not change the result."""

from __future__ import annotations

import itertools
from dataclasses import astuple, replace

import numpy as np
import pytest
from scipy import stats

from jobs.shared.experiment_files import load_spec
from lesionlab.analysis.methods.student import Untestable
from lesionlab.analysis.statistics.comparisons import compare
from lesionlab.analysis.statistics.conditions import Stratum
from lesionlab.analysis.statistics.effects import MissingCells
from lesionlab.experiments.cells import cells as enumerate_cells
from storage_schemas.metrics import METRICS


def pick(effects, test, metric="sensitivity", size=None):
    return next(e for e in effects if (e.test, e.metric) == (test, metric) and e.training_size == size)


def arms(effect):
    return effect.pair.model.arm, effect.pair.other.arm


def test_every_planned_comparison_is_there_once(rows, cells):
    effects = compare(rows, cells, "fold-averaged")
    keys = [e.about for e in effects]
    assert len(set(keys)) == len(keys) == len(METRICS) * (1 + 2 + 4)


def test_m_counts_the_comparisons_of_one_kind_in_one_column(rows, cells):
    effects = compare(rows, cells, "fold-averaged")
    assert {e.family for e in effects if e.test == "unpaired-t"} == {4}  # two arms, two sizes
    assert {e.family for e in effects if e.test == "paired-t"} == {2}  # two sizes
    assert {e.family for e in effects if e.test == "rm-anova"} == {1}


def test_missing_cells_do_not_make_bonferroni_more_lenient(rows, cells):
    some = [row for row in rows if row.training_size != 8]
    effects = compare(some, cells, "fold-averaged")
    assert pick(effects, "unpaired-t", size=4).family == 4
    absent = pick(effects, "paired-t", size=8)
    assert (absent.p, absent.untestable, absent.missing) == (None, Untestable.NO_PAIR, MissingCells(6, 6))


def test_a_fold_that_is_missing_is_said_in_every_comparison_it_belongs_to(rows, cells):
    some = [row for row in rows if (row.arm, row.training_size, row.fold) != ("de-novo", 4, 2)]
    effects = compare(some, cells, "fold-averaged")
    paired = pick(effects, "paired-t", size=4)
    assert (paired.n, paired.missing) == (8, MissingCells(1, 6))
    assert pick(effects, "rm-anova").n == 8
    assert pick(effects, "paired-t", size=8).missing is None


def test_fine_tuned_and_de_novo_are_paired_by_study(table_of):
    rows = table_of(
        {
            ("fine-tuned", 4): {(1, 1): 0.5, (1, 2): 0.7, (2, 1): 0.9},
            ("de-novo", 4): {(2, 1): 0.4, (1, 1): 0.1, (1, 2): 0.6},
        }
    )
    effect = pick(compare(rows, rows, "per-study"), "paired-t", size=4)
    wanted = stats.ttest_rel([0.5, 0.7, 0.9], [0.1, 0.6, 0.4])
    assert (effect.n, effect.difference) == (3, pytest.approx(1 / 3))
    assert (effect.statistic, effect.p) == (pytest.approx(wanted.statistic), pytest.approx(wanted.pvalue))
    assert effect.p_bonferroni == effect.p


def test_a_pair_with_an_undefined_value_is_left_out_and_counted(table_of):
    rows = table_of(
        {
            ("fine-tuned", 4): {(1, 1): 0.5, (1, 2): None, (2, 1): 0.9},
            ("de-novo", 4): {(1, 1): 0.1, (1, 2): 0.6, (2, 1): 0.4},
        }
    )
    effects = compare(rows, rows, "per-study")
    assert [(e.n, e.undefined) for e in effects if e.metric == "sensitivity"] == [(2, 1), (2, 1)]


FOLDS = {
    ("default", 0): {(1, 1): 0.2, (1, 2): 0.3},
    ("de-novo", 4): {(1, 1): 0.5, (1, 2): 0.6, (2, 1): 0.7, (2, 2): 0.9},
}


def test_fold_averaged_tests_compare_positions(table_of):
    rows = table_of(FOLDS)
    effect = pick(compare(rows, rows, "fold-averaged"), "unpaired-t", size=4)
    wanted = stats.ttest_ind([0.6, 0.75], [0.2, 0.3])
    assert (effect.n, effect.n_other, effect.p) == (2, 2, pytest.approx(wanted.pvalue))


def test_per_study_tests_compare_studies(table_of):
    rows = table_of(FOLDS)
    effect = pick(compare(rows, rows, "per-study"), "unpaired-t", size=4)
    wanted = stats.ttest_ind([0.5, 0.6, 0.7, 0.9], [0.2, 0.3])
    assert (effect.n, effect.n_other, effect.p) == (4, 2, pytest.approx(wanted.pvalue))


def test_several_seeds_are_averaged_before_a_test(table_of):
    fine_tuned = {("fine-tuned", 4): {(1, 1): 0.5, (1, 2): 0.7, (2, 1): 0.9}}
    low = table_of(fine_tuned | {("de-novo", 4): {(1, 1): 0.1, (1, 2): 0.5, (2, 1): 0.4}})
    high = table_of({("de-novo", 4): {(1, 1): 0.3, (1, 2): 0.7, (2, 1): 0.4}}, seed=1)
    mean = table_of(fine_tuned | {("de-novo", 4): {(1, 1): 0.2, (1, 2): 0.6, (2, 1): 0.4}})
    two_seeds = pick(compare(low + high, low + high, "per-study"), "paired-t", size=4)
    one_seed = pick(compare(mean, mean, "per-study"), "paired-t", size=4)
    assert (two_seeds.n, two_seeds.p) == (3, pytest.approx(one_seed.p))


def test_each_fine_tuned_model_meets_its_own_default_and_de_novo_meets_every_one(rows, cells):
    twin = {"source": "drawn-metastases"}
    other = [row.model_copy(update=twin) for row in rows if row.source]
    effects = compare(rows + other, rows + other, "fold-averaged")
    unpaired = {
        (*arms(e), e.pair.model.source, e.pair.other.source, e.training_size) for e in effects if e.test == "unpaired-t"
    }
    assert unpaired == {
        (arm, "default", own, source, size)
        for source in ("drawn-glioma", "drawn-metastases")
        for arm, own in (("fine-tuned", source), ("de-novo", None))
        for size in (4, 8)
    }
    assert {e.family for e in effects if e.test == "unpaired-t"} == {8}


@pytest.mark.parametrize("unit", ["fold-averaged", "per-study"])
def test_the_order_of_rows_changes_nothing(rows, cells, unit):
    shuffled = [rows[i] for i in np.random.default_rng(0).permutation(len(rows))]
    assert compare(shuffled, reversed(cells), unit) == compare(rows, cells, unit)


def test_other_names_of_studies_and_sites_change_nothing(rows, cells):
    renamed = [row.model_copy(update={"study": f"sub-{900 - int(row.study[4:])}", "site": "east"}) for row in rows]
    for one, other in zip(compare(renamed, cells, "per-study"), compare(rows, cells, "per-study"), strict=True):
        numbers = dict.fromkeys(("statistic", "p", "p_bonferroni", "p_holm", "p_welch", "difference", "anova"))
        assert replace(one, **numbers) == replace(other, **numbers)
        assert (one.p is None) == (other.p is None)  # no study of these tables has surface distances
        assert one.p is None or one.p == pytest.approx(other.p, rel=1e-9)
        if one.anova:
            assert astuple(one.anova) == pytest.approx(astuple(other.anova), rel=1e-9)


def test_a_common_shift_of_a_study_changes_no_paired_result(table_of):
    fine_tuned, de_novo = {(1, 1): 0.5, (1, 2): 0.7, (2, 1): 0.6}, {(1, 1): 0.1, (1, 2): 0.6, (2, 1): 0.4}
    shift = {(1, 1): 0.2, (1, 2): -0.3, (2, 1): 0.3}
    plain = table_of({("fine-tuned", 4): fine_tuned, ("de-novo", 4): de_novo})
    moved = table_of(
        {
            ("fine-tuned", 4): {key: fine_tuned[key] + shift[key] for key in fine_tuned},
            ("de-novo", 4): {key: de_novo[key] + shift[key] for key in de_novo},
        }
    )
    for test, size in (("paired-t", 4), ("rm-anova", None)):
        one, other = (pick(compare(r, r, "per-study"), test, size=size) for r in (plain, moved))
        assert one.p == pytest.approx(other.p)


NOTHING_DEFINED = {
    key: dict.fromkeys(itertools.product((1, 2), (1, 2)))
    for key in (("default", 0), ("fine-tuned", 4), ("de-novo", 4), ("fine-tuned", 8), ("de-novo", 8))
}


@pytest.mark.parametrize("unit", ["fold-averaged", "per-study"])
def test_a_metric_that_is_never_defined_has_reasons_only(table_of, unit):
    rows = table_of(NOTHING_DEFINED)
    effects = [e for e in compare(rows, rows, unit) if e.metric == "sensitivity"]
    assert all(e.p is None and e.untestable and not e.significant and e.undefined for e in effects)


@pytest.mark.parametrize(
    ("spec", "depths", "families"),
    [
        ("wahlig2023-flair-single", [3, 4, 5], {"default": 10, "rater": 10, "de-novo": 5}),
        ("wahlig2023-flair-new", [None], {"default": 10, "de-novo": 5}),
        ("wahlig2023-enhancing", [None], {"default": 6, "de-novo": 3}),
    ],
)
def test_the_papers_designs_have_the_papers_families_in_each_table(spec, depths, families):
    effects = compare([], enumerate_cells(load_spec(spec)), "fold-averaged")
    strata = [(depth and Stratum((("depth", depth),))) or Stratum() for depth in depths]
    assert {effect.stratum for effect in effects} == set(strata)
    for stratum, metric in itertools.product(strata, METRICS):
        column = [e for e in effects if (e.stratum, e.metric) == (stratum, metric) and e.pair]
        found = {arm: {e.family for e in column if e.pair.other.arm == arm} for arm in families}
        assert found == {arm: {m} for arm, m in families.items()}
        assert [arms(e) for e in column].count(("rater", "default")) == ("rater" in families)


def test_models_of_two_depths_are_never_compared(rows, cells):
    deeper = [row.model_copy(update={"depth": 5, "sensitivity": 1 - row.sensitivity}) for row in rows]
    both = compare(rows + deeper, rows + deeper, "fold-averaged")
    for depth, alone in ((4, rows), (5, deeper)):
        own = [replace(e, stratum=Stratum()) for e in both if e.stratum == Stratum((("depth", depth),))]
        assert own == list(compare(alone, alone, "fold-averaged"))


def test_learning_rates_that_both_arms_share_are_strata_and_one_arms_own_are_its_choice(rows):
    def at(rate, arms):
        return [row.model_copy(update={"learning_rate": rate}) for row in rows if row.arm in arms]

    shared = at(1e-4, {"fine-tuned", "de-novo"}) + at(1e-3, {"fine-tuned", "de-novo"})
    strata = {e.stratum for e in compare(shared, shared, "per-study")}
    assert strata == {Stratum((("learning_rate", rate),)) for rate in (1e-4, 1e-3)}
    own = at(1e-5, {"fine-tuned"}) + at(None, {"de-novo"})
    paired = pick(compare(own, own, "per-study"), "paired-t", size=4)
    assert [model.learning_rate for model in paired.pair] == [1e-5, None]
    assert (paired.stratum, paired.n, paired.family) == (Stratum(), 12, 2)


def test_networks_trained_on_different_sites_are_not_compared(rows):
    sites = [
        row.model_copy(update={"train_site": site})
        for site in ("east", "west")
        for row in rows
        if row.arm in ("fine-tuned", "de-novo")
    ]
    effects = compare(sites, sites, "per-study")
    assert {e.stratum for e in effects} == {Stratum((("train_site", site),)) for site in ("east", "west")}
    assert {e.n for e in effects if e.test == "paired-t" and e.metric == "sensitivity"} == {12}


GRADED = {
    ("default", 0): {(1, 1): 0.2, (1, 2): 0.3},
    ("rater", 0): {(1, 1): 0.6, (1, 2): 0.9},
    ("fine-tuned", 4): {(1, 1): 0.5, (1, 2): 0.6, (2, 1): 0.7, (2, 2): 0.9},
    ("de-novo", 4): {(1, 1): 0.4, (1, 2): 0.6, (2, 1): 0.5, (2, 2): 0.7},
}


def test_every_trained_model_and_the_default_model_meet_the_second_rater(table_of):
    rows = table_of(GRADED)
    effects = [e for e in compare(rows, rows, "fold-averaged") if e.metric == "sensitivity"]
    graded = {arms(e): e for e in effects if e.pair and "rater" in arms(e)}
    assert set(graded) == {("fine-tuned", "rater"), ("de-novo", "rater"), ("rater", "default")}
    assert {e.family for e in graded.values()} == {2}
    fine_tuned = graded["fine-tuned", "rater"]
    wanted = stats.ttest_ind([0.6, 0.75], [0.6, 0.9])
    assert (fine_tuned.n, fine_tuned.n_other, fine_tuned.p) == (2, 2, pytest.approx(wanted.pvalue))


def test_a_rater_and_a_default_model_change_neither_the_anova_nor_the_paired_tests(table_of):
    trained = {key: values for key, values in GRADED.items() if key[1]}
    without, within = (compare(r, r, "per-study") for r in (table_of(trained), table_of(GRADED)))
    assert [e for e in within if e.test != "unpaired-t"] == list(without)


UNDEFINED = {
    ("fine-tuned", 4): {(1, 1): 0.5, (1, 2): None, (2, 1): 0.9, (2, 2): 0.7},
    ("de-novo", 4): {(1, 1): 0.1, (1, 2): 0.6, (2, 1): 0.4, (2, 2): 0.5},
}


def with_ppv(rows, ppv):
    """The same rows with their sensitivity as PPV, and `ppv` where it is undefined; all have lesions."""
    return [
        row.model_copy(update={"ppv": ppv if row.sensitivity is None else row.sensitivity, "sensitivity": 0.5})
        for row in rows
    ]


def test_an_undefined_ppv_counts_as_0_where_the_experiment_says_so(table_of):
    rows, zeros = (with_ppv(table_of(UNDEFINED), ppv) for ppv in (None, 0.0))
    worst = compare(rows, rows, "per-study", "worst")
    for one, other in zip(worst, compare(zeros, zeros, "per-study"), strict=True):
        assert replace(one, undefined=0) == replace(other, undefined=0)
    assert [(e.n, e.undefined) for e in worst if e.metric == "ppv"] == [(4, 1), (4, 1)]


def test_sensitivity_without_a_lesion_is_left_out_whatever_the_experiment_says(table_of):
    rows = table_of(UNDEFINED)
    excluded, worst = (
        [e for e in compare(rows, rows, "per-study", policy) if e.metric == "sensitivity"]
        for policy in ("exclude", "worst")
    )
    assert excluded == worst


def test_holm_and_welch_supplement_every_test(rows, cells):
    for effect in compare(rows, cells, "per-study"):
        if effect.p is not None:
            assert effect.p <= effect.p_holm <= effect.p_bonferroni
        assert (effect.p_welch is not None) == (effect.test == "unpaired-t" and effect.p is not None)


def test_welch_is_the_test_without_pooled_variances(table_of):
    rows = table_of(FOLDS)
    effect = pick(compare(rows, rows, "per-study"), "unpaired-t", size=4)
    assert effect.p_welch == pytest.approx(stats.ttest_ind([0.5, 0.6, 0.7, 0.9], [0.2, 0.3], equal_var=False).pvalue)


def test_a_study_that_one_model_was_not_tested_on_is_left_out_of_the_anova(table_of):
    rows = table_of(UNDEFINED)
    some = [row for row in rows if (row.arm, row.study) != ("de-novo", "sub-202")]
    anova = pick(compare(some, some, "per-study"), "rm-anova")
    assert (anova.n, anova.undefined) == (2, 1)


def test_no_rows_at_all_give_every_comparison_with_a_reason(cells):
    effects = compare([], cells, "fold-averaged")
    assert len(effects) == len(METRICS) * 7
    assert all(e.p is None and e.untestable and e.missing for e in effects)
