"""Narrowed rows: every set of patients that a number could be of is of enough patients, and so is every difference."""

from __future__ import annotations

from itertools import chain, combinations, permutations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from lesionlab.analysis.statistics.conditions import condition_of
from lesionlab.analysis.statistics.external import TableRow
from lesionlab.analysis.statistics.sharing import Share, narrow
from tests.analysis import drawn_sites
from tests.analysis.drawn_rows import drawn_rows

SMALLEST = 4


def sets_of(rows):
    """The patients with a value, by metric and model."""
    found = {}
    for row in rows:
        for metric in ("sensitivity", "ppv"):
            if row.measured(metric) is not None:
                found.setdefault((metric, condition_of(row)), set()).add(row.patient)
    return found


@st.composite
def tables(draw):
    """Up to 18 patients at three sites, tested by two arms, a default model and one from elsewhere, with gaps."""
    sites = draw(st.lists(st.sampled_from("abc"), min_size=6, max_size=18))
    rows = []
    for arm, size in (("fine-tuned", 10), ("de-novo", 10), ("de-novo", 20), ("default", 0), ("nnU-Net", 0)):
        tested = draw(st.sets(st.integers(0, len(sites) - 1), min_size=1)) if size == 0 else range(len(sites))
        for number in tested:
            about = {"study": f"s{number}", "patient": f"p{number}", "site": sites[number], "fold": number % 3 + 1}
            values = {metric: draw(st.sampled_from([0.2, 0.5, 0.5, 0.9, None])) for metric in ("sensitivity", "ppv")}
            rows.append(TableRow(**about, arm=arm, training_size=size, **values))
    return rows


@settings(max_examples=30, deadline=None)
@given(tables())
def test_no_set_of_patients_and_no_difference_between_two_is_of_few(rows):
    found = narrow(rows, "exclude", Share("public", SMALLEST))
    sets = sets_of(found.rows)
    assert all(len(who) >= SMALLEST for who in sets.values())
    for (metric, one), (other_metric, other) in permutations(sets, 2):
        if metric == other_metric:
            first, second = sets[metric, one], sets[metric, other]
            assert first == second or not (one.trained and other.trained)
            if one.trained != other.trained:
                assert len(first - second) == 0 or len(first - second) >= SMALLEST
                assert len(first & second) == 0 or len(first & second) >= SMALLEST


@settings(max_examples=30, deadline=None)
@given(tables())
def test_no_site_of_few_follows_from_the_sites_that_are_shown_and_their_total(rows):
    found = narrow(rows, "exclude", Share("consortium", SMALLEST))
    site_of = {row.patient: row.site for row in found.rows}
    models = set(found.by_site)
    for (_, model), who in sets_of(found.rows).items():
        if model not in models:
            continue
        people = sorted(who)
        sums = np.array([[1.0] * len(people), *([site_of[p] == site for p in people] for site in found.sites)])
        sites = sorted({site_of[p] for p in people})
        for group in chain.from_iterable(combinations(sites, count) for count in range(1, len(sites) + 1)):
            wanted = np.array([site_of[p] in group for p in people], dtype=float)
            if 0 < wanted.sum() < SMALLEST:
                solved = sums.T @ np.linalg.lstsq(sums.T, wanted, rcond=None)[0]
                assert np.linalg.norm(solved - wanted) > 1e-8


def test_values_that_few_patients_lack_are_left_out_of_all_models_alike():
    rows = drawn_rows(1, {"fine-tuned": 0.8, "de-novo": 1.0}, sizes=(10, 20), noise=0.0)
    lacking = [
        row.model_copy(update={"ppv": None}) if row.study in ("sub-017", "sub-031") and row.arm == "de-novo" else row
        for row in rows
    ]
    found = narrow(lacking, "exclude", Share("public", 10))
    sizes = {(metric, model.arm): len(who) for (metric, model), who in sets_of(found.rows).items()}
    assert sizes == {
        **{("sensitivity", arm): 60 for arm in ("fine-tuned", "de-novo")},
        **{("ppv", arm): 58 for arm in ("fine-tuned", "de-novo")},
        **{(metric, "default"): 10 for metric in ("sensitivity", "ppv")},
    }
    assert {model.arm for model in narrow(rows, "exclude", Share("public", 11)).left_out} == {"default"}


def test_labels_are_replaced_and_public_sites_have_letters():
    rows = drawn_rows(1, {"fine-tuned": 0.8, "de-novo": 1.0}, sizes=(10,))
    shown = narrow(rows, "exclude", Share("consortium"))
    assert {row.site for row in shown.rows} == set(shown.sites) == {"north", "south", "west"}
    public = narrow(rows, "exclude", Share("public"))
    assert {row.site for row in public.rows} == set(public.sites) == {"site-A", "site-B", "site-C"}
    for own in (shown, public):
        assert not {row.study for row in own.rows} & {row.study for row in rows}
        assert not {row.patient for row in own.rows} & {row.patient for row in rows}


def test_all_training_sites_of_cross_site_are_compared_on_the_same_patients():
    rows = drawn_sites.drawn_rows({"hdxt": 12, "mr750": 12, "skyra": 4})
    rows = [
        row.model_copy(update={"sensitivity": None}) if (row.study, row.train_site) == ("hdxt-3", "skyra") else row
        for row in rows
    ]
    found = narrow(rows, "exclude", Share("public", 10))
    assert {len(who) for (metric, _), who in sets_of(found.rows).items() if metric == "sensitivity"} == {27}
    assert found.sites == (found.site_names["mr750"],)  # skyra is too small, and the smaller one of the others hides it
    assert {row.train_site for row in found.rows} == {*found.site_names.values(), "all-sites", "other-sites"}


def test_an_undefined_value_that_counts_as_the_worst_is_a_value():
    rows = [
        row.model_copy(update={"ppv": None}) if row.study == "sub-007" and row.arm == "de-novo" else row
        for row in drawn_rows(1, {"fine-tuned": 0.8, "de-novo": 1.0}, sizes=(10,))
    ]
    found = narrow(rows, "worst", Share("public", 10))
    worst = [row.ppv for row in found.rows if row.arm == "de-novo"]
    assert (len(worst), min(worst)) == (60, 0.0)
