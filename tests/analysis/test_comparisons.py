"""Which values meet which in each comparison, what is counted, and what must not change the result."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import stats

from lesionlab.analysis.comparisons import compare


def pick(effects, test, metric="sensitivity", size=None, model=""):
    return next(
        e
        for e in effects
        if (e.test, e.metric) == (test, metric) and e.training_size == size and e.comparison.startswith(model)
    )


def test_every_planned_comparison_is_there_once(rows, cells):
    effects = compare(rows, cells, "fold-averaged")
    keys = [(e.metric, e.test, e.comparison, e.training_size) for e in effects]
    assert len(set(keys)) == len(keys) == 3 * (1 + 2 + 4)


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
    assert absent.p is None
    assert absent.note == "no pair to test; 6 of the 6 cells compared have no results yet"


def test_a_fold_that_is_missing_is_said_in_every_comparison_it_belongs_to(rows, cells):
    some = [row for row in rows if (row.arm, row.training_size, row.fold) != ("de-novo", 4, 2)]
    effects = compare(some, cells, "fold-averaged")
    paired = pick(effects, "paired-t", size=4)
    assert (paired.n, paired.note) == (8, "1 of the 6 cells compared have no results yet")
    assert pick(effects, "rm-anova").n == 8
    assert pick(effects, "paired-t", size=8).note == ""


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
    tuned = {("fine-tuned", 4): {(1, 1): 0.5, (1, 2): 0.7, (2, 1): 0.9}}
    low = table_of(tuned | {("de-novo", 4): {(1, 1): 0.1, (1, 2): 0.5, (2, 1): 0.4}})
    high = table_of({("de-novo", 4): {(1, 1): 0.3, (1, 2): 0.7, (2, 1): 0.4}}, seed=1)
    mean = table_of(tuned | {("de-novo", 4): {(1, 1): 0.2, (1, 2): 0.6, (2, 1): 0.4}})
    two_seeds = pick(compare(low + high, low + high, "per-study"), "paired-t", size=4)
    one_seed = pick(compare(mean, mean, "per-study"), "paired-t", size=4)
    assert (two_seeds.n, two_seeds.p) == (3, pytest.approx(one_seed.p))


def test_each_fine_tuned_model_meets_its_own_default_and_de_novo_meets_every_one(rows, cells):
    twin = {"source": "drawn-metastases"}
    other = [row.model_copy(update=twin) for row in rows if row.source]
    effects = compare(rows + other, rows + other, "fold-averaged")
    unpaired = {(e.comparison, e.training_size) for e in effects if e.test == "unpaired-t"}
    assert unpaired == {
        (f"{model} against default model {source}", size)
        for source in ("drawn-glioma", "drawn-metastases")
        for model in (f"fine-tuned from {source}", "de novo")
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
        numbers = {"statistic", "p", "p_bonferroni", "p_holm", "p_welch", "difference"}
        assert one.model_dump(exclude=numbers) == other.model_dump(exclude=numbers)
        assert one.p == pytest.approx(other.p, rel=1e-9)


def test_a_common_shift_of_a_study_changes_no_paired_result(table_of):
    tuned, fresh = {(1, 1): 0.5, (1, 2): 0.7, (2, 1): 0.6}, {(1, 1): 0.1, (1, 2): 0.6, (2, 1): 0.4}
    shift = {(1, 1): 0.2, (1, 2): -0.3, (2, 1): 0.3}
    plain = table_of({("fine-tuned", 4): tuned, ("de-novo", 4): fresh})
    moved = table_of(
        {
            ("fine-tuned", 4): {key: tuned[key] + shift[key] for key in tuned},
            ("de-novo", 4): {key: fresh[key] + shift[key] for key in fresh},
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
def test_a_metric_that_is_never_defined_has_notes_only(table_of, unit):
    rows = table_of(NOTHING_DEFINED)
    effects = [e for e in compare(rows, rows, unit) if e.metric == "sensitivity"]
    assert all(e.p is None and e.note and not e.significant and e.undefined for e in effects)


def test_no_rows_at_all_give_every_comparison_with_a_note(cells):
    effects = compare([], cells, "fold-averaged")
    assert len(effects) == 21
    assert all(e.p is None and "no results yet" in e.note for e in effects)
