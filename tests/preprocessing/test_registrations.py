"""A registration is judged by displaced placements of the same pair, not by a fixed correlation."""

import numpy as np
import pytest

from lesionlab.imaging.agreement import agreement
from lesionlab.imaging.checkerboard import checkerboard_png
from lesionlab.imaging.intensity import head_mask
from lesionlab.preprocessing.registrations import registration_findings
from storage_schemas.tasks import TASKS
from storage_schemas.volumes import RegistrationReport
from tests.imaging.heads import THREE_MM, head, motion

NEW = TASKS["flair-new"]


def report(
    before: float,
    after: float,
    overlap: float,
    affine: float | None = None,
    ratio: float = 3.0,
    nearby: float = 0.0,
    mirrored: float | None = None,
) -> RegistrationReport:
    return RegistrationReport(
        moving="follow-up",
        fixed="initial",
        kind="rigid",
        matrix=tuple(map(tuple, np.eye(4).tolist())),
        deformation=None,
        correlation_before=before,
        correlation_after=after,
        head_overlap=overlap,
        affine_correlation=after if affine is None else affine,
        displacement_ratio=ratio,
        nearby_correlation=nearby,
        mirrored_correlation=mirrored,
        warped_sha256="0" * 64,
    )


RIGHT = {
    "glioma 01476, T1": report(0.94, 0.936, 0.99, ratio=2.58, nearby=0.79, mirrored=0.834),
    "glioma 01479, T1, a large enhancing tumour": report(0.90, 0.902, 1.0, ratio=2.80, nearby=0.71, mirrored=0.70),
    "MS cs07, T1": report(0.87, 0.876, 0.99, ratio=4.21, nearby=0.59, mirrored=0.705),
    "MS long01": report(0.32, 0.962, 0.95, affine=0.969, ratio=3.51, nearby=0.68),
    "a smooth head on a coarse grid": report(0.60, 0.98, 0.97, ratio=1.65, nearby=0.92),
    "MS cs19, FLAIR and T1": report(0.74, 0.735, 0.97, ratio=9.70, nearby=0.44, mirrored=0.534),
    "MS long01, blurred, shaded and made noisy": report(0.3, 0.55, 0.9, ratio=3.32, nearby=0.4, mirrored=0.449),
}
"""Measured at 2 mm: edge correlation before and after, head overlap, ratio to 8 mm away, maximum 4 mm away."""
DOUBTFUL = {
    "a scanner that changed": report(0.30, 0.63, 0.93, ratio=1.9, nearby=0.5),
    "MS long01 and long12, deformed until they agree": report(0.02, 0.778, 0.92, affine=0.496, ratio=2.04, nearby=0.46),
    "glioma 01477 and 01479, FLAIR, deformed": report(0.47, 0.761, 0.97, affine=0.597, ratio=2.39, nearby=0.52),
    "glioma 01477 and 01479, T1": report(0.53, 0.634, 0.94, ratio=2.28, nearby=0.55),
    "a mirror image that agrees nearly as well": report(0.5, 0.60, 0.94, ratio=2.7, nearby=0.5, mirrored=0.56),
}
FAILED = {
    "glioma 01476 and 01477, T1": report(0.45, 0.584, 0.94, ratio=1.67, nearby=0.58),
    "glioma 01479 and 01481, T1": report(0.44, 0.548, 0.93, ratio=1.76, nearby=0.51),
    "glioma 01481 and 01476, T1": report(0.32, 0.383, 0.91, ratio=1.91, nearby=0.41),
    "MS long01, 8 mm off": report(0.32, 0.350, 0.95, ratio=1.20, nearby=0.68),
    "MS long01, 4 mm off": report(0.32, 0.710, 0.95, ratio=2.50, nearby=0.96),
    "MS long12, 20 mm off": report(0.0, 0.045, 0.98, ratio=1.78, nearby=0.09),
    "another patient, deformed until it agrees": report(0.45, 0.816, 0.96, affine=0.58, ratio=1.67, nearby=0.57),
    "MS long12 and long01, deformed until they agree": report(0.0, 0.786, 0.92, affine=0.483, ratio=2.0, nearby=0.50),
    "MS long01, back to front": report(0.08, 0.647, 0.89, affine=0.269, ratio=1.66, nearby=0.32),
    "MS cs07 and cs19, FLAIR": report(0.45, 0.466, 0.94, ratio=3.85, nearby=0.40, mirrored=0.495),
    "glioma 01477 and 01481, T1": report(0.5, 0.583, 0.94, ratio=1.87, nearby=0.56, mirrored=0.573),
    "glioma 01476 and 01479, FLAIR": report(0.5, 0.574, 0.94, ratio=1.97, nearby=0.55, mirrored=0.563),
    "worse than before": report(0.99, 0.95, 0.97, ratio=3.5, nearby=0.7),
}


@pytest.mark.parametrize("found", RIGHT.values(), ids=RIGHT)
def test_right_registrations_pass_whatever_their_correlation(found):
    assert registration_findings([found], NEW) == []


@pytest.mark.parametrize("found", DOUBTFUL.values(), ids=DOUBTFUL)
def test_between_the_limits_a_registration_passes_with_a_warning(found):
    (finding,) = registration_findings([found], NEW)
    assert (finding.place, finding.code, finding.repaired) == ("follow-up", "registration-doubtful", True)
    assert "look at its picture" in finding.what


@pytest.mark.parametrize("found", FAILED.values(), ids=FAILED)
def test_wrong_registrations_are_refused_until_somebody_accepts_them(found):
    (finding,) = registration_findings([found], NEW)
    assert (finding.code, finding.repaired) == ("registration-failed", False)
    assert "accept the study with --accept STUDY" in finding.what
    assert f"edge correlation {found.correlation_after:.2f} after registration" in finding.what
    (accepted,) = registration_findings([found], NEW, accepted=True)
    assert (accepted.code, accepted.repaired) == ("registration-doubtful", True)
    assert "is accepted" in accepted.what


MIRRORED = {
    "MS long01": report(0.3, 0.783, 0.92, ratio=2.91, nearby=0.59, mirrored=0.957),
    "MS cs07, T1": report(0.6, 0.691, 0.96, ratio=3.41, nearby=0.52, mirrored=0.875),
    "glioma 01476, T1": report(0.8, 0.825, 0.96, ratio=2.32, nearby=0.72, mirrored=0.939),
    "simulated": report(0.6, 0.697, 0.95, ratio=2.54, nearby=0.55, mirrored=0.990),
}


@pytest.mark.parametrize("found", MIRRORED.values(), ids=MIRRORED)
def test_a_mirrored_image_under_an_unchanged_header_is_refused_by_name(found):
    (finding,) = registration_findings([found], NEW)
    assert (finding.code, finding.repaired) == ("registration-failed", False)
    assert "left and right are swapped in one of the two" in finding.what


def test_a_low_overlap_of_the_heads_is_refused_even_if_accepted():
    half = report(0.25, 0.963, 0.581, ratio=3.4, nearby=0.6)
    for accepted in (False, True):
        (finding,) = registration_findings([half], NEW, accepted=accepted)
        assert finding.code == "registration-failed"
        assert "found 0.58" in finding.what
        assert "--accept" not in finding.what


@pytest.mark.parametrize(("least", "passes"), [(None, True), (0.6, True), (0.7, False)])
def test_a_task_may_set_a_minimum_beside_the_comparison(least, passes):
    own = NEW.model_copy(
        update={"registrations": (NEW.registrations[0].model_copy(update={"least_correlation": least}),)}
    )
    assert bool(registration_findings([report(0.40, 0.65, 0.98)], own)) != passes


@pytest.mark.parametrize("gain", [1, 3], ids=["same scanner", "brighter"])
def test_a_head_agrees_with_itself_better_than_with_any_displaced_copy(gain):
    image = head(THREE_MM).voxels
    inside = head_mask(image)
    here = agreement(image, gain * head(THREE_MM, seed=1).voxels, inside, 3.0)
    assert here.correlation > 0.95
    assert here.nearby < here.correlation
    for mm in (4, 8):
        away = agreement(image, head(THREE_MM, motion((0, 0, 0), (mm, 0, 0))).voxels, inside, 3.0)
        assert away.ratio < here.ratio
        assert away.nearby > away.correlation


def test_the_picture_is_a_png_that_shows_both_images_and_has_the_same_bytes_each_time():
    image = head(THREE_MM).voxels
    inside = head_mask(image)
    other = np.full_like(image, np.nan)
    picture = checkerboard_png(image, other, inside, 3.0)
    assert picture.startswith(b"\x89PNG\r\n\x1a\n")
    assert picture == checkerboard_png(image, other, inside, 3.0)
    assert picture != checkerboard_png(image, image, inside, 3.0)
    assert len(picture) < 300_000
