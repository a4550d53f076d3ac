"""Misaligned drawn images become the channels of each task on one grid."""

import numpy as np
import pytest

from lesionlab.errors import StudyRefused
from lesionlab.imaging.intensity import head_mask
from lesionlab.imaging.resample import resample_linear
from lesionlab.imaging.volume import Volume
from lesionlab.preprocessing.channels import PreparedImages, prepare_images
from storage_schemas.tasks import TASKS
from tests.imaging.heads import THREE_MM, places
from tests.preprocessing.pairs import MOVED, NEW_MM, RESOLVED_MM, gadolinium, spots, uncut, visits

NEW_IJK, RESOLVED_IJK = spots(places(THREE_MM), NEW_MM), spots(places(THREE_MM), RESOLVED_MM)
HEAD_IJK = head_mask(visits()["initial"].voxels)
CALM_IJK = HEAD_IJK & ~NEW_IJK & ~RESOLVED_IJK


def channels(task: str, images: dict[str, Volume]) -> np.ndarray:
    return uncut(prepare_images(images, TASKS[task], 3.0))


@pytest.fixture(scope="module")
def pair() -> PreparedImages:
    return prepare_images(visits(), TASKS["flair-new-pair"], 3.0)


@pytest.fixture(scope="module")
def subtraction_IJK(pair) -> np.ndarray:
    initial_IJK, follow_up_IJK = uncut(pair)
    return follow_up_IJK - initial_IJK


def test_in_the_subtraction_new_lesions_are_bright_resolved_ones_dark_and_the_rest_is_flat(subtraction_IJK):
    assert np.median(subtraction_IJK[NEW_IJK]) > 1.5
    assert np.median(subtraction_IJK[RESOLVED_IJK]) < -1.5
    assert abs(np.median(subtraction_IJK[CALM_IJK])) < 0.1
    assert np.percentile(np.abs(subtraction_IJK[CALM_IJK]), 90) < 0.5


def test_the_subtraction_is_the_difference_of_the_two_channels_for_any_scanner_gain(subtraction_IJK):
    difference_IJK = channels("flair-new", visits())[0]
    shown_IJK = difference_IJK != 0  # the part of the head that both visits show
    assert shown_IJK[HEAD_IJK].mean() > 0.9
    assert np.allclose(difference_IJK[shown_IJK], subtraction_IJK[shown_IJK], atol=0.02)
    other_IJK = channels("flair-new", visits(gain=3.0))[0]
    assert np.percentile(np.abs(other_IJK - difference_IJK)[HEAD_IJK], 95) < 0.2


def test_the_native_image_is_never_registered(pair):
    initial = visits()["initial"]
    scale = {image.image: image for image in pair.normalisation}["initial"]
    again_IJK = pair.image_CIJK[0].astype(np.float32) * scale.sd + scale.mean
    assert pair.whole_grid == initial.grid
    assert np.allclose(again_IJK, resample_linear(initial.voxels, initial.grid, pair.model_grid), atol=1)


def test_the_registration_report_describes_the_transform_of_the_moved_image(pair):
    report = pair.registrations[0]
    assert (report.moving, report.fixed, report.kind) == ("follow-up", "initial", "syn")
    assert report.correlation_before < 0.85
    assert report.correlation_after > 0.95
    assert list(pair.deformations) == [report.deformation.array] == ["deformation_follow-up"]


def test_the_image_before_gadolinium_is_registered_rigidly_to_the_one_after():
    prepared = prepare_images(gadolinium(), TASKS["enhancing"], 3.0)
    before_IJK, after_IJK = uncut(prepared)
    assert prepared.whole_grid == THREE_MM
    assert not prepared.deformations
    assert np.median((after_IJK - before_IJK)[NEW_IJK]) > 1.5
    difference_IJK = channels("enhancing-difference", gadolinium())[0]
    assert not difference_IJK[~HEAD_IJK].any()
    shown_IJK = difference_IJK != 0
    assert np.allclose(difference_IJK[shown_IJK], (after_IJK - before_IJK)[shown_IJK], atol=0.02)


def test_where_the_follow_up_has_no_data_the_difference_is_zero_and_its_own_channel_is_air():
    """The follow-up ends 24 mm above the centre of the head: above that nothing is known to be new or resolved."""
    images = visits(follow_up=THREE_MM)
    whole = images["follow-up"]
    images["follow-up"] = Volume(whole.voxels[:, :, :30], whole.affine)
    difference_IJK = channels("flair-new", images)[0]
    beyond_IJK = places(THREE_MM)[..., 2] > 46
    assert HEAD_IJK[beyond_IJK].any()
    assert not difference_IJK[beyond_IJK].any()
    below_IJK = CALM_IJK & (places(THREE_MM)[..., 2] < 0)
    assert abs(np.median(difference_IJK[below_IJK])) < 0.1
    assert np.median(difference_IJK[NEW_IJK]) > 1.5
    prepared = prepare_images(images, TASKS["flair-new-pair"], 3.0)
    scale = prepared.normalisation[1]
    assert np.allclose(uncut(prepared)[1][beyond_IJK & HEAD_IJK], -scale.mean / scale.sd, atol=0.01)


def test_a_failed_registration_refuses_the_study():
    images = visits()
    other = np.random.default_rng(0).uniform(0, 900, images["follow-up"].voxels.shape).astype(np.float32)
    with pytest.raises(StudyRefused) as refusal:
        prepare_images(images | {"follow-up": Volume(other, images["follow-up"].affine)}, TASKS["flair-new"], 3.0)
    assert [(finding.code, finding.place) for finding in refusal.value.findings] == [
        ("registration-failed", "follow-up")
    ]


def test_the_users_own_registration_takes_the_place_of_ours_and_is_checked_like_it():
    own = np.linalg.inv(MOVED)
    prepared = prepare_images(gadolinium(), TASKS["enhancing"], 3.0, transforms={"before": own})
    (report,) = prepared.registrations
    assert report.kind == "given"
    assert np.array_equal(report.matrix, own)
    assert report.correlation_after > 0.9 > report.correlation_before
    before_IJK, after_IJK = uncut(prepared)
    assert np.median((after_IJK - before_IJK)[NEW_IJK]) > 1.5
    with pytest.raises(StudyRefused, match="before: wanted"):
        prepare_images(gadolinium(), TASKS["enhancing"], 3.0, transforms={"before": MOVED @ MOVED})


def test_where_one_transform_is_given_the_other_images_stay_where_they_are_if_so_declared():
    prepared = prepare_images(
        gadolinium(), TASKS["enhancing"], 3.0, registered=True, transforms={"before": np.linalg.inv(MOVED)}
    )
    assert [report.kind for report in prepared.registrations] == ["given"]


def test_a_custom_task_needs_only_a_declaration():
    """Both FLAIR visits, and the initial one minus the follow-up."""
    declared = TASKS["flair-new"].model_dump()
    declared["registrations"][0]["kind"] = "rigid"
    declared["channels"] = [{"name": "resolved", "image": "initial", "minus": "follow-up"}]
    task = type(TASKS["flair-new"]).model_validate(declared)
    assert np.median(uncut(prepare_images(visits(), task, 3.0))[0][RESOLVED_IJK]) > 1.5


@pytest.mark.parametrize(
    "moves",
    [
        [{"moving": "initial", "fixed": "follow-up", "kind": "rigid"}],
        [{"moving": "initial", "fixed": "initial", "kind": "rigid"}],
        [{"moving": "follow-up", "fixed": "initial", "kind": kind} for kind in ("rigid", "syn")],
    ],
    ids=["away from native", "native itself", "twice"],
)
def test_a_task_that_does_not_register_to_its_native_image_is_refused(moves):
    declared = TASKS["flair-new"].model_dump() | {"registrations": moves}
    with pytest.raises(ValueError, match="registered at most once, and to initial"):
        type(TASKS["flair-new"]).model_validate(declared)


def test_the_air_around_skull_stripped_heads_is_no_change_whatever_its_z_score():
    """The z-score of air is -mean/sd: the brighter and more even the head, the further below it."""
    images = gadolinium()
    before = images["before"]
    even = Volume(np.where(before.voxels > 100, 300 + before.voxels / 4, 0).astype(np.float32), before.affine)
    # Accepted: in so even a head edges part hardly more at the right place than 8 mm away.
    prepared = prepare_images(images | {"before": even}, TASKS["enhancing-difference"], 3.0, accepted=True)
    one, other = (image.mean / image.sd for image in prepared.normalisation)
    assert abs(one - other) > 0.9  # nearly as much as a lesion
    assert not uncut(prepared)[0][~head_mask(images["after"].voxels)].any()
