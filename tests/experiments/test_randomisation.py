"""Subsets are complete, balanced if stratified, reproducible, and no patient is in two of them."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from lesionlab.errors import DatasetError
from lesionlab.experiments.randomisation import draw_split
from storage_schemas.manifests import Manifest
from storage_schemas.splits import Split, Target
from tests.experiments.drawn import cohort_of, entry, manifest


def target(**changes: Any) -> Target:
    return Target.model_validate({"cohort": "ms", "subsets": 3, "subset_size": 4} | changes)


def patients_of(cohort: Manifest, split: Split) -> list[set[str]]:
    """The patients in each subset."""
    patient = {entry.study: entry.patient for entry in cohort.studies}
    return [{patient[study] for study in subset} for subset in split.subsets]


@given(subsets=st.integers(2, 6), size=st.integers(1, 10), spare=st.integers(0, 5), seed=st.integers(0, 99))
def test_every_study_is_in_at_most_one_subset_and_all_subsets_are_full(
    subsets: int, size: int, spare: int, seed: int
) -> None:
    cohort = cohort_of(subsets * size + spare)
    split = draw_split(cohort, target(subsets=subsets, subset_size=size, split_seed=seed))
    names = [study for subset in split.subsets for study in subset]
    assert [len(subset) for subset in split.subsets] == [size] * subsets
    assert len(set(names)) == len(names)
    assert set(names) | set(split.unused) == {entry.study for entry in cohort.studies}
    assert len(split.unused) == spare


@given(
    visits=st.lists(st.integers(1, 4), min_size=2, max_size=30),
    subsets=st.integers(2, 5),
    size=st.integers(1, 6),
    stratify=st.sampled_from([(), ("lesion-load",), ("site",), ("site", "lesion-load")]),
    second_masks=st.booleans(),
    seed=st.integers(0, 9),
)
def test_a_patient_with_several_studies_is_in_one_subset_only(
    visits: list[int], subsets: int, size: int, stratify: tuple[str, ...], second_masks: bool, seed: int
) -> None:
    of_patient = [patient for patient, count in enumerate(visits) for _ in range(count)]
    cohort = manifest(
        *(
            entry(number, patient=f"p{patient}", site="ab"[patient % 2], load_ml=patient % 5, second_rater=second_masks)
            for number, patient in enumerate(of_patient)
        )
    )
    asked = {"stratify": stratify, "second_rater_first": second_masks, "split_seed": seed}
    try:
        split = draw_split(cohort, target(subsets=subsets, subset_size=size, **asked))
    except DatasetError:
        assume(False)
    assert [len(subset) for subset in split.subsets] == [size] * subsets
    found = Counter(patient for members in patients_of(cohort, split) for patient in members)
    assert set(found.values()) == {1}


def test_patients_with_one_study_fill_the_gaps_of_patients_with_three() -> None:
    cohort = manifest(*(entry(number, patient=f"p{number // 3}" if number < 9 else None) for number in range(12)))
    members = patients_of(cohort, draw_split(cohort, target()))
    assert sorted(len(patients) for patients in members) == [2, 2, 2]


@given(seed=st.integers(0, 99), order=st.randoms(use_true_random=False))
def test_the_split_depends_on_the_studies_and_the_seed_but_not_on_their_order(seed: int, order: Any) -> None:
    forward = cohort_of(12)
    shuffled = list(forward.studies)
    order.shuffle(shuffled)
    wanted = target(split_seed=seed)
    assert draw_split(forward, wanted).subsets == draw_split(manifest(*shuffled), wanted).subsets
    assert draw_split(forward, wanted).subsets != draw_split(forward, target(split_seed=seed + 1)).subsets


@given(seed=st.integers(0, 99))
def test_stratified_by_lesion_load_each_subset_has_one_study_of_each_quarter(seed: int) -> None:
    cohort = manifest(*(entry(number, load_ml=float(number)) for number in range(12)))
    split = draw_split(cohort, target(stratify=["lesion-load"], split_seed=seed))
    for subset in split.subsets:
        assert sorted(int(study[-4:]) // 3 for study in subset) == [0, 1, 2, 3]


@given(sites=st.lists(st.sampled_from("abc"), min_size=24, max_size=24), seed=st.integers(0, 9))
def test_stratified_by_site_the_subsets_have_nearly_equal_numbers_of_each_site(sites: list[str], seed: int) -> None:
    cohort = manifest(*(entry(number, site=site) for number, site in enumerate(sites)))
    split = draw_split(cohort, target(subsets=4, subset_size=6, stratify=["site"], split_seed=seed))
    site_of = {entry.study: entry.site for entry in cohort.studies}
    for site in set(sites):
        counts = [sum(site_of[study] == site for study in subset) for subset in split.subsets]
        assert max(counts) - min(counts) <= 2


@given(
    order=st.permutations(range(24)),
    sites=st.lists(st.sampled_from("abc"), min_size=24, max_size=24),
    second_masks=st.sampled_from(["none", "every other", "all"]),
    seed=st.integers(0, 99),
)
def test_stratified_by_site_and_lesion_load_every_subset_represents_each_range_of_loads(
    order: list[int], sites: list[str], second_masks: str, seed: int
) -> None:
    loads = dict(enumerate(order))
    ranked = sorted(loads, key=lambda number: (sites[number], loads[number]))
    masked = {"none": set(), "every other": set(ranked[::2]), "all": set(ranked)}[second_masks]
    cohort = manifest(*(entry(n, site=sites[n], load_ml=float(loads[n]), second_rater=n in masked) for n in range(24)))
    asked = {"stratify": ["site", "lesion-load"], "second_rater_first": bool(masked), "split_seed": seed}
    split = draw_split(cohort, target(subsets=4, subset_size=6, **asked))
    for subset in split.subsets:
        taken = [f"sub-{number:04d}" in subset for number in ranked]
        # Ranked by site and load, every subset has a quarter of the first n studies, to within two.
        assert all(abs(sum(taken[:first]) - first / 4) < 2 for first in range(25))


@given(seed=st.integers(0, 99))
def test_if_all_second_masks_are_from_one_site_subset_1_covers_its_range_of_loads(seed: int) -> None:
    cohort = manifest(
        *(entry(n, site="ab"[n % 2], load_ml=float(n), second_rater=n % 2 == 0) for n in range(24)),
    )
    asked = {"stratify": ["site", "lesion-load"], "second_rater_first": True, "split_seed": seed}
    first, *_ = draw_split(cohort, target(subsets=4, subset_size=6, **asked)).subsets
    # Three parts of four candidates: two of each part.
    assert [sum(int(study[-4:]) // 8 == part for study in first) for part in range(3)] == [2, 2, 2]


BY_CHANCE = ([[4, 6, 10, 3], [0, 11, 1, 12], [8, 7, 2, 13]], [5, 9])
STRATIFIED = ([[5, 6, 10, 4], [7, 8, 2, 13], [0, 3, 11, 9]], [1, 12])


@pytest.mark.parametrize(
    ("stratify", "drawn"), [((), BY_CHANCE), (("site", "lesion-load"), STRATIFIED)], ids=["chance", "stratified"]
)
def test_the_split_is_the_same_in_every_release(
    stratify: tuple[str, ...], drawn: tuple[list[list[int]], list[int]]
) -> None:
    cohort = manifest(
        *(
            entry(n, patient=f"p{n % 11}", site="ab"[n % 11 % 2], load_ml=float(n * 7 % 5), second_rater=n % 11 < 8)
            for n in range(14)
        )
    )
    split = draw_split(cohort, target(stratify=stratify, split_seed=7))
    number = {study.study: int(study.study[-4:]) for study in cohort.studies}
    assert (
        [[number[study] for study in subset] for subset in split.subsets],
        [*map(number.get, split.unused)],
    ) == drawn


@given(seed=st.integers(0, 99))
def test_subset_1_can_be_drawn_from_studies_with_a_second_mask(seed: int) -> None:
    cohort = manifest(*(entry(number, second_rater=number % 2 == 0) for number in range(12)))
    split = draw_split(cohort, target(second_rater_first=True, split_seed=seed))
    assert all(int(study[-4:]) % 2 == 0 for study in split.subsets[0])
    assert [len(subset) for subset in split.subsets] == [4, 4, 4]


def test_too_few_studies_too_few_second_masks_and_a_shared_image_are_reported_together() -> None:
    faulty = manifest(entry(1), entry(2), entry(3), entry(4, image=3))
    with pytest.raises(DatasetError) as caught:
        draw_split(faulty, target(second_rater_first=True))
    message = str(caught.value)
    assert "sub-0003 and sub-0004" in message
    assert "wanted 12 studies (3 subsets of 4), found 4" in message
    assert "wanted 4 studies with a second rater's mask for subset 1, found 0" in message


def test_only_two_pairs_of_one_patient_may_share_a_visit() -> None:
    pairs = (entry(1, patient="p1", image=10, further=(11,)), entry(2, patient="p1", image=11, further=(12,)))
    of_others = (entry(3, image=20, further=(21,)), entry(4, image=22, further=(23,)))
    split = draw_split(manifest(*pairs, *of_others), target(subsets=2, subset_size=2))
    assert {"sub-0001", "sub-0002"} in [set(subset) for subset in split.subsets]
    stranger = entry(5, image=30, further=(12,))
    with pytest.raises(DatasetError, match="sub-0002 and sub-0005"):
        draw_split(manifest(*pairs, *of_others, stranger), target(subsets=2, subset_size=2))


def test_patients_that_cannot_fill_the_subsets_are_refused() -> None:
    pairs = manifest(*(entry(number, patient=f"p{number // 2}") for number in range(6)))
    with pytest.raises(DatasetError, match=r"3 patients .* 2 subsets of 3"):
        draw_split(pairs, target(subsets=2, subset_size=3))


BY_SITE = {"design": "leave-one-site-out", "sites": ["a", "b"]}


def test_subsets_by_site_follow_the_order_of_the_experiment_file() -> None:
    cohort = manifest(*(entry(number, site="cab"[number % 3]) for number in range(9)))
    split = draw_split(cohort, target(**BY_SITE))
    assert [sorted(int(study[-4:]) % 3 for study in subset) for subset in split.subsets] == [[1, 1, 1], [2, 2, 2]]
    assert len(split.unused) == 3


def test_a_patient_scanned_at_two_sites_and_a_site_without_studies_are_reported_together() -> None:
    cohort = manifest(entry(1, patient="p1", site="a"), entry(2, patient="p1", site="b"))
    with pytest.raises(DatasetError) as caught:
        draw_split(cohort, target(design="train-on-one-site", sites=["a", "b", "c"]))
    assert "patient p1 was scanned at a and b (sub-0001, sub-0002)" in str(caught.value)
    assert "site c: no studies found" in str(caught.value)


def test_a_site_with_fewer_patients_than_parts_is_refused_by_name() -> None:
    cohort = manifest(*(entry(number, site="a" if number < 8 else "b") for number in range(10)))
    with pytest.raises(DatasetError, match="site b: wanted at least 3 patients, one for each part; found 2"):
        draw_split(cohort, target(design="cross-site", sites=["a", "b"], subsets=3))
    split = draw_split(cohort, target(design="cross-site", sites=["a", "b"], subsets=2))
    assert [len(members) for members in split.subsets] == [4, 4, 1, 1]


def test_subsets_by_patient_are_the_patients() -> None:
    cohort = manifest(*(entry(number, patient=f"p{number // 4}") for number in range(21)))
    split = draw_split(cohort, target(design="leave-one-patient-out", patients=6))
    assert [len(members) for members in patients_of(cohort, split)] == [1] * 6
    for wanted in (5, 7):
        with pytest.raises(DatasetError, match=f"wanted {wanted} patients, found 6"):
            draw_split(cohort, target(design="leave-one-patient-out", patients=wanted))
