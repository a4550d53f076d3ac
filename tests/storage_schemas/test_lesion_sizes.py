"""Lesions of known volume are counted by volume class, with their hits."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lesionlab.evaluation.lesionwise import ScoredLesion, score
from storage_schemas.definitions import MetricDefinition
from storage_schemas.lesion_sizes import BOUNDS_MM3, detection_by_size


def lesion(volume_mm3: float, outcome: str) -> ScoredLesion:
    return ScoredLesion(1, outcome, volume_mm3, (0.0, 0.0, 0.0), 0.0)


def test_the_upper_bound_of_a_class_is_inclusive():
    sizes = detection_by_size(
        [lesion(v, "true-positive") for v in (0.5, 3.0, 3.1, 10.0, 50.0, 50.5, 100.0, 101.0, 5000.0)]
    )
    assert [(size.title(), size.lesions) for size in sizes] == [
        ("≤ 3", 2),
        ("3–10", 2),
        ("10–50", 1),
        ("50–100", 2),
        ("> 100", 2),
        ("all", 9),
    ]


@pytest.mark.parametrize(("hit", "other"), [("true-positive", "missed"), ("true-positive", "false-positive")])
def test_the_share_is_relative_to_the_lesions_of_the_class(hit, other):
    small, *between, large, everything = detection_by_size([lesion(2, hit), lesion(2, other), lesion(200, hit)])
    assert (small.share, large.share, everything.share) == (0.5, 1.0, 2 / 3)
    assert {size.share for size in between} == {None}


def test_three_voxels_of_one_cubic_millimetre_are_three_cubic_millimetres_in_float32():
    mask = np.zeros((4, 4, 4), dtype=np.uint8)
    mask[1, 1, :3] = 1
    affine = np.diag(np.array([1.0000002, 1, 1, 1], dtype=np.float32))
    (first, *_) = detection_by_size(score(mask, mask, affine, MetricDefinition()).reference)
    assert (first.up_to_mm3, first.lesions) == (BOUNDS_MM3[0], 1)


@given(st.lists(st.tuples(st.floats(0.1, 1e4), st.sampled_from(["true-positive", "missed"]))))
def test_every_lesion_is_in_exactly_one_class_and_in_the_total(drawn):
    *classes, everything = detection_by_size([lesion(*one) for one in drawn])
    assert sum(size.lesions for size in classes) == everything.lesions == len(drawn)
    assert sum(size.hits for size in classes) == everything.hits
