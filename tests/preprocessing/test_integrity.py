"""Faulty studies are refused with every fault at once, by code, or repaired and reported."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import get_args

import nibabel as nib
import numpy as np
import pytest

from lesionlab.errors import StudyRefused
from lesionlab.imaging.volume import grid_of
from lesionlab.preprocessing.files import Reference, StudyFiles
from lesionlab.preprocessing.integrity import Scans, grid_finding, read_scans
from storage_schemas.tasks import TASKS, Task
from storage_schemas.verdicts import Code, Finding
from tests.imaging.files import set_fields
from tests.preprocessing.drawn import OBLIQUE, SHAPE, head, lesions, save

ONE, NEW = TASKS["flair-single"], TASKS["flair-new"]


def draw(folder: Path, task: Task) -> StudyFiles:
    """One valid study; its images are heads of the same person with independent noise."""
    images = {role: save(folder / f"JohnDoe-{role}.nii.gz", head(seed)) for seed, role in enumerate(task.roles)}
    mask = save(folder / "JohnDoe-mask.nii.gz", lesions())
    return StudyFiles(study="sub-01", patient="01", site="clinic", images=images, reference=Reference(mask))


@pytest.fixture
def one(tmp_path: Path) -> StudyFiles:
    """A study of one image."""
    return draw(tmp_path, ONE)


@pytest.fixture
def pair(tmp_path: Path) -> StudyFiles:
    """A study of two visits."""
    return draw(tmp_path, NEW)


def refused(files: StudyFiles, task: Task = ONE) -> tuple[Finding, ...]:
    with pytest.raises(StudyRefused) as refusal:
        read_scans(files, task)
    return refusal.value.findings


def summary(findings: tuple[Finding, ...]) -> list[tuple[str, str, bool]]:
    return [(finding.place, finding.code, finding.repaired) for finding in findings]


def repaired(files: StudyFiles, task: Task = ONE) -> tuple[Scans, Finding]:
    scans = read_scans(files, task)
    (finding,) = scans.findings
    assert finding.repaired
    return scans, finding


def test_a_valid_study_is_read_as_drawn(one):
    scans = read_scans(one, ONE)
    assert scans.findings == ()
    assert np.array_equal(scans.images["flair"].voxels, head(0))
    assert np.array_equal(scans.reference.voxels, lesions())
    assert scans.second is None


def test_the_images_of_a_pair_are_read_by_role_and_the_mask_is_on_the_native_one(pair):
    scans = read_scans(pair, NEW)
    assert np.array_equal(scans.images["initial"].voxels, head(0))
    assert np.array_equal(scans.images["follow-up"].voxels, head(1))
    assert scans.reference.grid == scans.images["initial"].grid


# Size of the head


def test_a_head_in_cm_whose_header_says_mm_is_refused_with_its_length(one):
    tenth = OBLIQUE @ np.diag([0.1, 0.1, 0.1, 1])
    save(one.images["flair"], head(0), tenth)
    save(one.reference.mask, lesions(), tenth)
    (finding,) = refused(one)
    assert (finding.place, finding.code) == ("FLAIR", "implausible-spacing")
    assert "wanted a head 40 to 600 mm long, found 4.8 mm" in finding.what
    assert "correct the header" in finding.what


# Grid of the mask


def test_a_mask_whose_header_differs_by_rounding_gets_exactly_the_images_grid(one):
    save(one.reference.mask, lesions(), OBLIQUE + np.float32(1e-4))
    scans = read_scans(one, ONE)
    assert scans.findings == ()
    assert scans.reference.grid == scans.images["flair"].grid


def test_a_different_spacing_is_reported_with_both_spacings_and_the_remedy(one):
    save(one.reference.mask, lesions(), OBLIQUE @ np.diag([1, 1, 0.75, 1]))
    (finding,) = refused(one)
    assert finding.text() == (
        "mask: wanted voxels of 2 × 2 × 4 mm, as in the FLAIR, found 2 × 2 × 3 mm; "
        "resample the mask onto the FLAIR or exclude the study"
    )
    assert finding.code == "grid-mismatch"


@pytest.mark.parametrize(("stretch", "same"), [(1.0005, True), (1.01, False)])
def test_a_spacing_that_moves_no_corner_by_more_than_rounding_is_the_same(one, stretch, same):
    save(one.reference.mask, lesions(), OBLIQUE @ np.diag([1, 1, stretch, 1]))
    if same:
        assert read_scans(one, ONE).findings == ()
    else:
        assert "wanted voxels of 2 × 2 × 4 mm" in refused(one)[0].what


def test_a_spacing_that_cannot_be_is_the_only_fault_and_nobody_is_told_to_resample(one):
    set_fields(one.images["flair"], xyzt_units=1)
    (finding,) = refused(one)
    assert finding.code == "implausible-spacing"


def test_a_different_shape_is_reported_with_both_shapes(one):
    save(one.reference.mask, lesions()[:, :, :-1])
    (finding,) = refused(one)
    assert "(24, 28, 12), as in the FLAIR, found (24, 28, 11);" in finding.text()


def test_a_different_position_is_reported_with_its_distance(one):
    affine = OBLIQUE.copy()
    affine[:3, 3] += 3.0
    save(one.reference.mask, lesions(), affine)
    (finding,) = refused(one)
    assert "5.2 mm" in finding.what
    assert "FLAIR" in finding.what


@pytest.mark.parametrize("sides", ["RAS", "LPI", "ASR", "SRP", "IPL"])
def test_a_mask_saved_in_another_orientation_is_reordered_voxel_by_voxel(one, sides):
    own = nib.io_orientation(OBLIQUE)
    turn = nib.orientations.ornt_transform(own, nib.orientations.axcodes2ornt(sides))
    nib.save(nib.Nifti1Image(lesions(), OBLIQUE).as_reoriented(turn), one.reference.mask)
    before = one.reference.mask.read_bytes()
    scans, finding = repaired(one)
    assert np.array_equal(scans.reference.voxels, lesions())
    assert scans.reference.grid == scans.images["flair"].grid
    assert (finding.place, finding.code) == ("mask", "grid-mismatch")
    assert one.reference.mask.read_bytes() == before  # the study's own file is unchanged


def test_axes_rotated_by_45_degrees_do_not_confuse_the_voxel_order():
    turn = nib.affines.from_matvec(nib.eulerangles.euler2mat(np.pi / 4, 0, 0))
    image = grid_of((8, 9, 5), turn @ np.diag([1, 1, 3.0, 1]))
    for order in ([1, 0, 2], [2, 1, 0], [1, 2, 0]):
        swap = np.eye(4)[[*order, 3]]
        shape = tuple(int(size) for size in np.abs(np.linalg.inv(swap)[:3, :3]) @ image.shape)
        mask = grid_of(shape, np.array(image.affine) @ swap)
        finding = grid_finding(mask, image, "mask", "flair")
        assert finding is not None
        assert finding.repaired


# Content of the mask


def test_a_mask_without_lesions_is_a_patient_without_lesions_and_is_told_where_the_task_does_not_expect_it(one, pair):
    save(one.reference.mask, lesions() * 0)  # the pair's mask too
    scans, finding = repaired(one)
    assert not scans.reference.voxels.any()
    assert (finding.place, finding.code) == ("mask", "mask-empty")
    assert not read_scans(pair, NEW).reference.voxels.any()
    assert not read_scans(pair, NEW).findings


def test_a_mask_of_0_and_255_is_read_as_0_and_1(one):
    save(one.reference.mask, lesions() * 255)
    scans, finding = repaired(one)
    assert np.array_equal(scans.reference.voxels, lesions())
    assert finding.text() == "mask: found the values 0, 255; read as 0 and 1"


def test_a_mask_with_several_labels_is_refused_because_their_meaning_is_unknown(one):
    save(one.reference.mask, lesions() + (head(0) > 800))
    assert summary(refused(one)) == [("mask", "mask-not-binary", False)]


def test_a_mask_is_refused_if_mostly_in_air_but_not_if_partly(one):
    mask_ijk = np.zeros(SHAPE, dtype=np.uint8)
    mask_ijk[9:11, 12:14, 5:7] = 1
    mask_ijk[:2, :2, :1] = 1
    save(one.reference.mask, mask_ijk)
    assert read_scans(one, ONE).reference.voxels.sum() == 12
    mask_ijk[:3, :3, :3] = 1
    save(one.reference.mask, mask_ijk)
    (finding,) = refused(one)
    assert finding.code == "mask-outside"
    assert "found 77% outside" in finding.what


def test_an_inverted_mask_is_outside_the_head(one):
    save(one.reference.mask, 1 - (head(0) > 200).astype(np.uint8))
    assert summary(refused(one)) == [("mask", "mask-outside", False)]


# Second rater, and masks in another space


@pytest.mark.parametrize(
    "impossible",
    [lambda head_ijk: head_ijk, lambda head_ijk: head_ijk & (np.indices(SHAPE)[0] < 12)],
    ids=["whole head", "half of it"],
)
def test_a_mask_of_more_of_the_head_than_any_lesion_fills_is_refused(one, impossible):
    save(one.reference.mask, impossible(head(0) > 200).astype(np.uint8))
    (finding,) = refused(one)
    assert (finding.place, finding.code) == ("mask", "mask-too-large")
    assert "wanted lesions in at most 25% of the head" in finding.what


@pytest.mark.parametrize("mask_ijk", [np.ones(SHAPE), 1 - lesions()], ids=["all ones", "inverted"])
def test_in_a_tight_field_of_view_a_mask_of_everything_is_too_large(one, mask_ijk):
    tight = (slice(2, -2), slice(2, -2), slice(1, -1))
    save(one.images["flair"], head(0)[tight])
    save(one.reference.mask, mask_ijk[tight].astype(np.uint8))
    assert summary(refused(one)) == [("mask", "mask-too-large", False)]


def test_a_glioma_as_large_as_the_largest_known_one_passes(one):
    head_ijk = head(0) > 200
    inside = np.cumsum(head_ijk).reshape(SHAPE) <= 0.15 * head_ijk.sum()
    save(one.reference.mask, (head_ijk & inside).astype(np.uint8))
    assert read_scans(one, ONE).findings == ()


def moved_sform(path: Path) -> None:
    """Move the sform as SPM's coregistration does; the qform stays."""
    scan = nib.load(path)
    scan = nib.Nifti1Image(np.asarray(scan.dataobj), OBLIQUE)
    scan.set_qform(OBLIQUE, code=1)
    scan.set_sform(nib.affines.from_matvec(nib.eulerangles.euler2mat(0.1, 0, 0.05), [10, -5, 3]) @ OBLIQUE, code=2)
    nib.save(scan, path)


def test_a_mask_on_the_images_qform_grid_is_named_and_may_be_accepted_voxel_by_voxel(one):
    moved_sform(one.images["flair"])
    flipped = OBLIQUE @ np.array([[-1, 0, 0, SHAPE[0] - 1], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])
    for voxels_ijk, affine in ((lesions(), OBLIQUE), (lesions()[::-1], flipped)):
        save(one.reference.mask, voxels_ijk, affine)
        finding = refused(one)[-1]
        assert finding.code == "grid-mismatch"
        assert "the mask lies on the qform grid" in finding.what
        assert "do not resample the mask" in finding.what
        assert "--accept STUDY" in finding.what
        scans = read_scans(one, ONE, accepted=True)
        assert np.array_equal(scans.reference.voxels, lesions())
        assert scans.reference.grid == scans.images["flair"].grid
        assert [finding.repaired for finding in scans.findings] == [True, True]


def test_a_mask_whose_own_sform_was_moved_lies_on_the_qform_grid_too(one):
    moved_sform(one.reference.mask)
    assert "lies on the qform grid" in refused(one)[-1].what
    assert np.array_equal(read_scans(one, ONE, accepted=True).reference.voxels, lesions())


def test_acceptance_does_not_excuse_a_mask_on_any_other_grid(one):
    moved_sform(one.images["flair"])
    save(one.reference.mask, lesions(), nib.affines.from_matvec(np.eye(3), [0, 7, 0]) @ OBLIQUE)
    with pytest.raises(StudyRefused) as refusal:
        read_scans(one, ONE, accepted=True)
    assert "resample the mask" in refusal.value.findings[-1].what


def test_the_second_raters_mask_is_checked_by_the_same_rules(one, tmp_path):
    path = save(tmp_path / "second.nii.gz", lesions() * 255)
    files = replace(one, second=Reference(path))
    scans, finding = repaired(files)
    assert np.array_equal(scans.second.voxels, lesions())
    assert finding.place == "second mask"
    save(path, lesions() * 0)
    assert summary(repaired(files)[0].findings) == [("second mask", "mask-empty", True)]
    save(path, lesions()[:, :, :-1])
    assert summary(refused(files)) == [("second mask", "grid-mismatch", False)]


def shift_file(path: Path, shift_mm: tuple[float, float, float]) -> Path:
    """The affine, as ITK writes it, from the mask's space to native space, which is shifted by this distance."""
    x, y, z = shift_mm
    path.write_text(
        "#Insight Transform File V1.0\n#Transform 0\nTransform: AffineTransform_double_3_3\n"
        f"Parameters: 1 0 0 0 1 0 0 0 1 {-x} {-y} {z}\nFixedParameters: 0 0 0\n"
    )
    return path


def test_a_mask_in_another_space_is_brought_to_native_space_by_its_transform(one, tmp_path):
    away = OBLIQUE.copy()
    away[:3, 3] -= (4, -6, 8)
    save(one.reference.mask, lesions(), away)
    assert summary(refused(one)) == [("mask", "grid-mismatch", False)]
    transform = shift_file(tmp_path / "JohnDoe.txt", (4, -6, 8))
    files = replace(one, reference=Reference(one.reference.mask, transform))
    scans = read_scans(files, ONE)
    assert scans.findings == ()
    assert np.array_equal(scans.reference.voxels, lesions())
    shift_file(transform, (400, 0, 0))
    assert summary(refused(files)) == [("mask", "mask-outside", False)]
    transform.write_text("JohnDoe")
    (finding,) = refused(files)
    assert (finding.place, finding.code) == ("mask", "unreadable")
    assert "JohnDoe" not in finding.what


def test_a_transform_is_refused_if_sform_and_qform_differ(one, tmp_path):
    files = replace(one, reference=Reference(one.reference.mask, shift_file(tmp_path / "t.txt", (0, 0, 0))))
    image = nib.load(one.images["flair"])
    image.set_qform(nib.affines.from_matvec(np.eye(3), [3, 0, 0]) @ OBLIQUE, code=1)
    nib.save(image, one.images["flair"])
    assert summary(read_scans(one, ONE).findings) == [("FLAIR", "sform-qform-conflict", True)]
    conflict = "sform-qform-conflict"
    assert summary(refused(files)) == [("FLAIR", conflict, True), ("mask", conflict, False)]


# Images


def test_two_visits_with_identical_voxels_are_refused_in_any_orientation(pair):
    for affine, voxels in ((OBLIQUE, head(0)), (OBLIQUE @ np.diag([-1, 1, 1, 1]), head(0)[::-1])):
        save(pair.images["follow-up"], voxels, affine)
        assert summary(refused(pair, NEW)) == [("follow-up", "identical-visits", False)]


@pytest.mark.parametrize("value", [0, -5, 7])
def test_a_constant_image_is_refused(one, value):
    save(one.images["flair"], np.full(SHAPE, value, dtype=np.int16))
    assert summary(refused(one)) == [("FLAIR", "no-contrast", False)]


@pytest.mark.parametrize("levels", [2, 9], ids=["mask", "label map"])
def test_a_mask_or_a_label_map_in_the_place_of_the_image_is_refused(one, levels):
    regions = np.indices(SHAPE).sum(axis=0) % (levels - 1) + 1
    save(one.images["flair"], (regions * (head(0) > 200)).astype(np.uint8))
    (finding,) = [finding for finding in refused(one) if not finding.repaired]
    assert f"found {levels} different values, as in a mask or a label map" in finding.what


def test_one_slice_is_refused(one):
    middle = (slice(None), slice(None), slice(SHAPE[2] // 2, SHAPE[2] // 2 + 1))
    save(one.images["flair"], head(0)[middle])
    save(one.reference.mask, lesions()[middle])
    assert ("FLAIR", "not-3d", False) in summary(refused(one))


@pytest.mark.parametrize("invert", [np.negative, lambda head_ijk: 3000 - head_ijk], ids=["slope -1", "negative"])
@pytest.mark.parametrize("padding", [0, 2])
def test_inverted_grey_values_are_the_only_fault_and_named(one, invert, padding):
    save(one.images["flair"], np.pad(invert(head(0).astype(np.float32)), padding, mode="edge"))
    save(one.reference.mask, np.pad(lesions(), padding))
    (finding,) = refused(one)
    assert finding.code == "implausible-values"
    assert "the grey values are inverted" in finding.what


@pytest.mark.parametrize("offset", [-1024, 0, 500])
def test_neither_an_offset_nor_a_z_score_looks_inverted(one, offset):
    voxels = head(0).astype(np.float32)
    inside = voxels > 100
    for scan in (voxels + offset, np.where(inside, (voxels - voxels[inside].mean()) / voxels[inside].std(), 0)):
        save(one.images["flair"], scan.astype(np.float32))
        assert all(finding.repaired for finding in read_scans(one, ONE).findings)


def test_a_spike_in_the_air_that_would_overflow_float16_is_refused(one):
    voxels = head(0).astype(np.float32)
    voxels[0, 0, 0] = 1e9
    save(one.images["flair"], voxels)
    assert summary(refused(one)) == [("FLAIR", "implausible-values", False)]


def test_every_fault_of_every_file_is_reported_at_once_without_any_path(pair, tmp_path):
    save(pair.images["initial"], np.full(SHAPE, 7, dtype=np.int16), np.diag([2.0, 2, 4, 1]))
    pair.images["follow-up"].write_bytes(pair.images["follow-up"].read_bytes()[:-40])
    set_fields(save(pair.reference.mask, lesions() * 3), scl_slope=np.nan)
    files = replace(pair, second=Reference(tmp_path / "JohnDoe-2.nii.gz"))
    findings = refused(files, NEW)
    assert summary(findings) == [
        ("initial", "no-contrast", False),
        ("follow-up", "truncated", False),
        ("mask", "bad-scaling", True),
        ("mask", "mask-not-binary", False),
        ("mask", "grid-mismatch", False),
        ("second mask", "missing-file", False),
    ]
    for finding in findings:
        assert "JohnDoe" not in finding.text()
        assert str(tmp_path) not in finding.text()


def test_a_damaged_mask_on_another_grid_has_both_faults(one):
    save(one.reference.mask, lesions()[:, :, :-1])
    one.reference.mask.write_bytes(one.reference.mask.read_bytes()[:-8])
    assert summary(refused(one)) == [("mask", "truncated", False), ("mask", "grid-mismatch", False)]


def test_an_image_without_an_affine_and_its_empty_mask_are_both_reported(one):
    set_fields(one.images["flair"], sform_code=0, qform_code=0)
    save(one.reference.mask, lesions() * 0)
    assert summary(refused(one)) == [("FLAIR", "bad-affine", False), ("mask", "mask-empty", True)]


# The whole list


def header(role: str, **fields: object) -> Callable[[StudyFiles], object]:
    return lambda files: set_fields(files.images[role], **fields)


def image(change: Callable[[np.ndarray], np.ndarray], affine: np.ndarray = OBLIQUE) -> Callable[[StudyFiles], object]:
    return lambda files: save(files.images["follow-up"], change(head(1)), affine)


def mask(change: Callable[[np.ndarray], np.ndarray]) -> Callable[[StudyFiles], object]:
    return lambda files: save(files.reference.mask, change(lesions()))


HERE: dict[Code, Callable[[StudyFiles], object]] = {
    "missing-file": lambda files: files.images["follow-up"].unlink(),
    "unreadable": lambda files: files.images["follow-up"].write_text("no image"),
    "truncated": lambda files: files.images["follow-up"].write_bytes(files.images["follow-up"].read_bytes()[:-40]),
    "implausible-size": header("follow-up", dim=[3, 24, 28, 12_000]),
    "not-3d": image(lambda head_ijk: np.stack([head_ijk, head_ijk], axis=-1)),
    "not-grey": image(lambda head_ijk: head_ijk.astype(np.complex64)),
    "not-finite": image(lambda head_ijk: np.where(head_ijk > 890, np.nan, head_ijk).astype(np.float32)),
    "no-contrast": image(lambda head_ijk: head_ijk * 0 + 9),
    "implausible-values": image(lambda head_ijk: np.where(np.indices(SHAPE).sum(axis=0), head_ijk, 1e9)),
    "bad-scaling": header("follow-up", scl_slope=1, scl_inter=np.inf),
    "implausible-spacing": image(lambda head_ijk: head_ijk, np.diag([2, 2, 40, 1])),
    "bad-affine": header("follow-up", sform_code=0, qform_code=0),
    "sform-qform-conflict": header("follow-up", pixdim=[1, 2, 2, 5]),
    "grid-mismatch": mask(lambda mask_ijk: mask_ijk[1:]),
    "mask-not-binary": mask(lambda mask_ijk: mask_ijk * 2),
    "wrapped-values": image(lambda head_ijk: (head_ijk * 80).astype(np.int16)),
    "mask-too-large": mask(lambda mask_ijk: np.ones(SHAPE, dtype=np.uint8) * (head(0) > 200)),
    "mask-outside": mask(lambda mask_ijk: (np.indices(SHAPE).sum(axis=0) < 8).astype(np.uint8)),
    "identical-visits": image(lambda head_ijk: head(0)),
}
"""One fault of a two-visit study for each code that can be found here."""
ELSEWHERE: dict[Code, str] = {
    "padding": "a repair: tests/imaging/test_background.py",
    "mask-empty": "if the task finds it suspicious: above",
    "registration-failed": "registration_findings: test_registrations",
    "registration-doubtful": "registration_findings: test_registrations",
    "ambiguous-file": "several candidates: dataset layouts",
    "bad-name": "names: dataset layouts",
    "other-space": "masks in another space without a transform: dataset layouts",
    "visit-order": "dates of visits: dataset layouts",
    "duplicate-image": "one image under two patients: cohort",
    "likely-duplicate": "a changed copy of an image, or one mask, under two patients: cohort",
    "not-finished": "a worker that died: cohort",
    "identifier": "privacy screening",
    "strip-failed": "a brain too small, or lesions outside it: test_stripping",
    "strip-doubtful": "lesions outside the brain that somebody accepted: test_stripping",
}


def test_every_code_is_tested_here_or_elsewhere():
    assert {*HERE, *ELSEWHERE} == set(get_args(Code))
    assert not HERE.keys() & ELSEWHERE.keys()


@pytest.mark.parametrize("code", HERE)
def test_each_fault_gets_its_code_and_no_other(pair, code):
    HERE[code](pair)
    assert [finding.code for finding in refused(pair, NEW)] == [code]
