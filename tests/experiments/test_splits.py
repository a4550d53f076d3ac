"""The rotation follows the paper; nothing leaks from training to testing; a stored split is reused."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lesionlab.errors import DatasetError
from lesionlab.experiments.randomisation import draw_split
from lesionlab.experiments.splits import FoldSubsets, Subset, fold_of, fold_subsets, leaks, stored_split, subsets_of
from lesionlab.store.documents import write_document
from lesionlab.store.objects import open_store
from storage_schemas.keys import SPLIT
from storage_schemas.manifests import Likeness, Manifest
from storage_schemas.splits import Target
from tests.experiments.drawn import cohort_of, entry, manifest

PAPER = Target(cohort="ms")
SITES = ("a", "b", "c")


def by_site(design: str, **changes: Any) -> Target:
    return Target.model_validate({"cohort": "ms", "design": design, "sites": SITES} | changes)


def subsets(cohort: Manifest, target: Target) -> tuple[Subset, ...]:
    return subsets_of(draw_split(cohort, target), cohort)


def three_sites() -> Manifest:
    """2, 3 and 4 patients, each with two studies."""
    places = "aabbbcccc"
    return manifest(
        *(entry(2 * n + visit, patient=f"p{n}", site=site) for n, site in enumerate(places) for visit in range(2))
    )


def test_the_rotation_is_the_one_of_figure_s3() -> None:
    assert fold_subsets(PAPER, 10, fold=2) == FoldSubsets(train=(1,), test=(2,))
    assert fold_subsets(PAPER, 10, fold=1) == FoldSubsets(train=(6,), test=(1,))
    assert fold_subsets(PAPER, 30, fold=2) == FoldSubsets(train=(5, 6, 1), test=(2,))
    assert fold_subsets(PAPER, 50, fold=6) == FoldSubsets(train=(1, 2, 3, 4, 5), test=(6,))


def test_one_site_is_left_out_or_trained_on_alone() -> None:
    assert fold_subsets(by_site("leave-one-site-out"), 4, fold=2) == FoldSubsets(train=(1, 3), test=(2,))
    assert fold_subsets(by_site("train-on-one-site"), 4, fold=2) == FoldSubsets(train=(2,), test=(1, 3))


@pytest.mark.parametrize(("size", "fold"), [(10, 0), (10, 7), (15, 1), (60, 1), (0, 1)])
def test_a_fold_or_training_size_that_does_not_exist_is_an_error(size: int, fold: int) -> None:
    with pytest.raises(ValueError, match="wanted"):
        fold_subsets(PAPER, size, fold)


@given(count=st.integers(2, 6), size=st.integers(1, 4), seed=st.integers(0, 9), data=st.data())
def test_no_study_patient_or_image_is_in_both_training_and_test_studies(
    count: int, size: int, seed: int, data: st.DataObject
) -> None:
    target = Target(cohort="ms", subsets=count, subset_size=2 * size, split_seed=seed)
    cohort = manifest(*(entry(number, patient=f"p{number // 2}") for number in range(count * 2 * size)))
    trained = data.draw(st.integers(1, count - 1))
    fold = fold_of(subsets(cohort, target), target, trained * 2 * size, data.draw(st.integers(1, count)))
    assert len(fold.train) == trained * 2 * size
    assert len(fold.test) == 2 * size
    for side in ("study", "patient", "image_sha256"):
        assert not {getattr(e, side) for e in fold.train} & {getattr(e, side) for e in fold.test}


@given(
    design=st.sampled_from(["leave-one-site-out", "train-on-one-site"]), size=st.integers(1, 20), seed=st.integers(0, 9)
)
def test_in_designs_by_site_no_patient_is_in_both_training_and_test_studies(design: str, size: int, seed: int) -> None:
    target = by_site(design, split_seed=seed)
    drawn = subsets(three_sites(), target)
    for number in (1, 2, 3):
        fold = fold_of(drawn, target, size, number)
        pool = sum(len(drawn[place - 1]) for place in fold_subsets(target, size, number).train)
        assert len(fold.train) == min(size, pool)
        assert not {e.patient for e in fold.train} & {e.patient for e in fold.test}


def test_cross_site_trains_on_one_site_on_all_and_on_all_but_one_and_tests_every_site() -> None:
    target = by_site("cross-site", subsets=2)  # subsets 1 and 2 are of site a, 3 and 4 of b, 5 and 6 of c
    assert (target.subset_count, target.fold_count) == (6, 6 + 2 + 3)
    assert fold_subsets(target, 1, fold=1) == FoldSubsets(train=(2,), test=(1, 3, 5))
    assert fold_subsets(target, 1, fold=4) == FoldSubsets(train=(3,), test=(2, 4, 6))
    assert fold_subsets(target, 1, fold=7) == FoldSubsets(train=(2, 4, 6), test=(1, 3, 5))
    assert fold_subsets(target, 1, fold=10) == FoldSubsets(train=(1, 2, 5, 6), test=(3, 4))
    trained_on = [target.train_site(fold) for fold in range(1, 12)]
    assert trained_on == [*"aabbcc", *["all-sites"] * 2, *["other-sites"] * 3]
    assert [target.test_site(fold) for fold in range(8, 12)] == [None, "a", "b", "c"]


@given(
    places=st.lists(st.sampled_from("abc"), min_size=9, max_size=30).filter(
        lambda own: all(own.count(site) >= 3 for site in "abc")
    ),
    parts=st.integers(2, 3),
    visits=st.integers(1, 2),
    size=st.integers(1, 6),
    seed=st.integers(0, 9),
)
def test_in_cross_site_no_network_is_tested_on_its_patients_and_each_row_tests_every_study_once(
    places: list[str], parts: int, visits: int, size: int, seed: int
) -> None:
    target = by_site("cross-site", subsets=parts, split_seed=seed)
    cohort = manifest(
        *(
            entry(2 * number + visit, patient=f"p{number}", site=site)
            for number, site in enumerate(places)
            for visit in range(visits)
        )
    )
    drawn = subsets(cohort, target)
    assert sorted(e.study for subset in drawn for e in subset) == sorted(e.study for e in cohort.studies)
    tested: dict[str | None, list[str]] = {}
    for number in range(1, target.fold_count + 1):
        fold = fold_of(drawn, target, size, number)
        row = target.train_site(number)
        assert not {e.patient for e in fold.train} & {e.patient for e in fold.test}
        if row in SITES:
            assert {e.site for e in fold.train} == {row}
        elif row == "other-sites":
            assert not {e.site for e in fold.train} & {e.site for e in fold.test}
        tested.setdefault(row, []).extend(e.study for e in fold.test)
    every = sorted(e.study for e in cohort.studies)
    assert {row: sorted(studies) for row, studies in tested.items()} == dict.fromkeys(
        (*SITES, "all-sites", "other-sites"), every
    )


@given(smaller=st.integers(1, 9), more=st.integers(1, 9))
def test_a_larger_training_set_contains_the_smaller_one_and_takes_from_all_sites_in_turn(
    smaller: int, more: int
) -> None:
    target = by_site("leave-one-site-out")
    drawn = subsets(three_sites(), target)
    small, large = (fold_of(drawn, target, size, 1).train for size in (smaller, smaller + more))
    assert large[: len(small)] == small
    of_site = [sum(e.site == site for e in small) for site in "bc"]
    assert abs(of_site[0] - of_site[1]) <= max(1, smaller - 2 * len(drawn[1]))


@pytest.mark.parametrize("size", [10, 20, 30, 40, 50])
def test_over_all_folds_every_study_is_tested_once(size: int) -> None:
    drawn = subsets(cohort_of(60), PAPER)
    tested = [study.study for fold in range(1, 7) for study in fold_of(drawn, PAPER, size, fold).test]
    assert len(tested) == len(set(tested)) == 60


def test_a_leaking_patient_and_a_leaking_image_are_reported_together() -> None:
    train = (entry(1, patient="anna"), entry(2))
    test = (entry(3, patient="anna"), entry(4, image=2), entry(5, further=(1,)), entry(6))
    assert leaks(train, test) == [
        "sub-0003 is tested, but sub-0001 (same patient) is trained on",
        "sub-0004 is tested, but sub-0002 (same image) is trained on",
        "sub-0005 is tested, but sub-0001 (same image) is trained on",
    ]
    with pytest.raises(DatasetError, match="fold 2: sub-0003 is tested"):
        fold_of((train, test), Target(cohort="ms", subsets=2, subset_size=2), 2, fold=2)


def test_one_image_in_two_storage_orders_leaks_and_is_refused_even_for_one_patient() -> None:
    one, other = (
        entry(number, patient=patient).model_copy(update={"likeness": Likeness(canonical_sha256=("c" * 64,))})
        for number, patient in ((1, "anna"), (2, "bert"))
    )
    assert leaks((one,), (other,)) == ["sub-0002 is tested, but sub-0001 (same image) is trained on"]
    of_one = other.model_copy(update={"patient": "anna"})
    with pytest.raises(DatasetError, match="sub-0001 and sub-0002 have the same image"):
        draw_split(manifest(one, of_one, entry(3), entry(4)), Target(cohort="ms", subsets=2, subset_size=2))


def test_a_split_is_drawn_once_and_then_read_from_the_store() -> None:
    store, cohort = open_store("memory://"), cohort_of(60)
    drawn = stored_split(store, cohort, PAPER)
    assert stored_split(store, cohort, PAPER) == drawn
    # As if another version of the code had drawn it: the stored split is used.
    other = drawn.model_copy(update={"subsets": drawn.subsets[::-1]})
    write_document(store, SPLIT.build(cohort="ms", digest=drawn.id), other)
    assert stored_split(store, cohort, PAPER) == other
    assert (other.id, other.subsets == drawn.subsets) == (drawn.id, False)


def test_other_studies_or_another_seed_give_another_split() -> None:
    store = open_store("memory://")
    for cohort, seed in ((cohort_of(60), 0), (cohort_of(61), 0), (cohort_of(60), 1)):
        stored_split(store, cohort, Target(cohort="ms", split_seed=seed))
    assert len(store.list("splits/ms/")) == 3


def test_a_split_of_another_manifest_is_refused() -> None:
    with pytest.raises(DatasetError, match=cohort_of(60).id):
        subsets_of(draw_split(cohort_of(60), PAPER), cohort_of(61))
