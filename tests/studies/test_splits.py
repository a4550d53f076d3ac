"""Subsets are equal, disjoint and reproducible; the rotation is the paper's; nothing leaks."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lesionlab.errors import DatasetError
from lesionlab.studies.splits import rotate, rotating_subsets
from storage_schemas.manifests import Manifest, ManifestEntry
from storage_schemas.runs import Target


def entry(number: int, *, patient: str | None = None, image: int | None = None) -> ManifestEntry:
    return ManifestEntry(
        study=f"sub-{number:04d}",
        patient=patient or f"p{number}",
        site="a",
        volume=f"{number:016x}",
        image_sha256=f"{number if image is None else image:064x}",
        lesions=3,
        lesion_volume_ml=1.5,
    )


def manifest(*entries: ManifestEntry) -> Manifest:
    return Manifest(cohort="ms", task="flair-single", spacing_mm=1.0, studies=entries)


def cohort_of(count: int) -> Manifest:
    return manifest(*(entry(number) for number in range(count)))


@given(subsets=st.integers(2, 6), size=st.integers(1, 10), spare=st.integers(0, 5), seed=st.integers(0, 99))
def test_every_study_is_in_at_most_one_subset_and_all_subsets_are_full(
    subsets: int, size: int, spare: int, seed: int
) -> None:
    target = Target(cohort="ms", subsets=subsets, subset_size=size, split_seed=seed)
    drawn = rotating_subsets(cohort_of(subsets * size + spare), target)
    names = [study.study for subset in drawn for study in subset]
    assert [len(subset) for subset in drawn] == [size] * subsets
    assert len(set(names)) == len(names)


def test_the_split_depends_on_the_studies_and_the_seed_and_not_on_their_order() -> None:
    target = Target(cohort="ms", subsets=3, subset_size=4)
    forward, backward = cohort_of(12), manifest(*reversed(cohort_of(12).studies))
    assert rotating_subsets(forward, target) == rotating_subsets(backward, target)
    assert rotating_subsets(forward, target) != rotating_subsets(forward, target.model_copy(update={"split_seed": 1}))


@given(subsets=st.integers(2, 6), turns=st.integers(1, 5), fold=st.integers(1, 6))
def test_no_study_stands_on_both_sides_of_a_fold(subsets: int, turns: int, fold: int) -> None:
    drawn = rotating_subsets(cohort_of(subsets * 2), Target(cohort="ms", subsets=subsets, subset_size=2))
    turns, fold = min(turns, subsets - 1), min(fold, subsets)
    turn = rotate(drawn, turns * 2, fold)
    assert len(turn.train) == turns * 2
    assert not set(turn.train) & set(turn.test)


def test_one_model_is_trained_on_the_first_subset_and_tested_on_the_second_as_the_paper_says() -> None:
    drawn = rotating_subsets(cohort_of(60), Target(cohort="ms"))
    assert rotate(drawn, 10, fold=2) == rotate(drawn, 10, fold=2)
    assert rotate(drawn, 10, fold=2).train == drawn[0]
    assert rotate(drawn, 10, fold=2).test == drawn[1]
    assert rotate(drawn, 10, fold=1).train == drawn[5]


def test_all_folds_together_test_every_study_once() -> None:
    drawn = rotating_subsets(cohort_of(60), Target(cohort="ms"))
    tested = [study.study for fold in range(1, 7) for study in rotate(drawn, 50, fold).test]
    assert len(tested) == len(set(tested)) == 60


@pytest.mark.parametrize(("size", "fold"), [(10, 0), (10, 7), (15, 1), (60, 1), (0, 1)])
def test_a_fold_or_size_that_does_not_exist_is_an_error(size: int, fold: int) -> None:
    drawn = rotating_subsets(cohort_of(60), Target(cohort="ms"))
    with pytest.raises(ValueError, match="wanted"):
        rotate(drawn, size, fold)


def test_too_few_studies_a_patient_with_two_and_a_shared_image_are_reported_at_once() -> None:
    faulty = manifest(entry(1, patient="p1"), entry(2, patient="p1"), entry(3), entry(4, image=3))
    with pytest.raises(DatasetError) as caught:
        rotating_subsets(faulty, Target(cohort="ms", subsets=3, subset_size=2))
    message = str(caught.value)
    assert "patient p1 has sub-0001, sub-0002" in message
    assert "sub-0003 and sub-0004 are the same image" in message
    assert "wanted 6 studies (3 subsets of 2), found 4" in message
