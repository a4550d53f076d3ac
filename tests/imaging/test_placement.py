"""Headers with redundant, conflicting, invalid or missing affines give an affine or a finding."""

import re
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from nibabel.affines import from_matvec

from lesionlab.imaging.volume import Examined, examine_image
from tests.imaging.files import OBLIQUE, ramp, save, set_fields


def examine(path: Path) -> Examined:
    return examine_image(path, "flair")


def with_forms(path: Path, sform: np.ndarray | None, qform: np.ndarray | None) -> Path:
    """An image of 40 × 40 × 20 voxels with these forms in its header."""
    image = nib.Nifti1Image(ramp(40, 40, 20), sform if sform is not None else qform)
    image.set_sform(sform, code=int(sform is not None))
    image.set_qform(qform, code=int(qform is not None), strip_shears=True)
    nib.save(image, path)
    return path


def moved(affine: np.ndarray, shift_mm: float) -> np.ndarray:
    return from_matvec(affine[:3, :3], affine[:3, 3] + [shift_mm, 0, 0])


def verdicts(examined: Examined) -> list[tuple[str, bool]]:
    return [(finding.code, finding.repaired) for finding in examined.findings]


@pytest.mark.parametrize(
    "forms", [(OBLIQUE, OBLIQUE), (OBLIQUE, None), (None, OBLIQUE)], ids=["both", "sform", "qform"]
)
def test_one_form_is_enough_and_two_may_agree(tmp_path, forms):
    examined = examine(with_forms(tmp_path / "a.nii.gz", *forms))
    assert examined.findings == ()
    assert np.allclose(examined.volume.affine, OBLIQUE, atol=1e-4)


@pytest.mark.parametrize(("shift_mm", "reported"), [(0.05, False), (0.3, True)])
def test_forms_that_differ_by_more_than_rounding_are_reported_and_the_sform_is_used(tmp_path, shift_mm, reported):
    examined = examine(with_forms(tmp_path / "a.nii.gz", OBLIQUE, moved(OBLIQUE, shift_mm)))
    assert verdicts(examined) == ([("sform-qform-conflict", True)] if reported else [])
    assert np.allclose(examined.volume.affine, OBLIQUE, atol=1e-5)


def test_a_rotated_qform_is_reported_with_its_distance(tmp_path):
    turn = from_matvec(nib.eulerangles.euler2mat(0, 0, 0.2))
    examined = examine(with_forms(tmp_path / "a.nii.gz", OBLIQUE, turn @ OBLIQUE))
    assert verdicts(examined) == [("sform-qform-conflict", True)]
    assert re.search(r"corners .* by up to 2\d?\.\d mm", examined.findings[0].what)


def test_a_sheared_sform_is_used_because_the_qform_cannot_represent_it(tmp_path):
    sheared = np.diag([1.0, 1, 3, 1])
    sheared[1, 2] = 0.5  # gantry tilt
    examined = examine(with_forms(tmp_path / "a.nii.gz", sheared, sheared))
    assert verdicts(examined) == [("sform-qform-conflict", True)]
    assert np.allclose(examined.volume.affine, sheared)


@pytest.mark.parametrize(
    "other", [np.diag([-1, 1, 1, 1]), np.diag([-1, -1, 1, 1]), np.eye(4)[[1, 0, 2, 3]]], ids=["LAS", "LPS", "ARS"]
)
def test_forms_that_disagree_on_an_axis_direction_are_refused(tmp_path, other):
    examined = examine(with_forms(tmp_path / "a.nii.gz", np.eye(4), other.astype(float)))
    assert verdicts(examined) == [("sform-qform-conflict", False)]
    sides = "".join(nib.aff2axcodes(other))
    assert f"RAS in the sform but {sides} in the qform" in examined.findings[0].what


@pytest.mark.parametrize("qform_code", [0, 1])
def test_two_spacings_in_one_header_are_refused_because_volumes_would_depend_on_the_reader(tmp_path, qform_code):
    path = set_fields(save(tmp_path / "a.nii.gz", ramp(4, 4, 4), np.eye(4)), pixdim=[1, 0.87, 0.87, 0.8])
    examined = examine(set_fields(path, qform_code=qform_code))
    assert verdicts(examined) == [("sform-qform-conflict", False)]
    assert "1 × 1 × 1 mm in the sform but 0.87 × 0.87 × 0.8 mm in pixdim" in examined.findings[0].what


def test_a_qform_that_is_not_a_rotation_is_ignored_beside_a_valid_sform(tmp_path):
    path = with_forms(tmp_path / "a.nii.gz", OBLIQUE, OBLIQUE)
    for quaternion in (2.0, np.nan):
        examined = examine(set_fields(path, quatern_b=quaternion))
        assert verdicts(examined) == [("sform-qform-conflict", True)]
        assert np.allclose(examined.volume.affine, OBLIQUE, atol=1e-5)


def test_a_lone_qform_that_is_not_a_rotation_gives_no_affine(tmp_path):
    path = set_fields(with_forms(tmp_path / "a.nii.gz", None, OBLIQUE), quatern_b=2)
    assert verdicts(examine(path)) == [("bad-affine", False)]


def test_a_header_without_an_affine_is_refused_because_left_and_right_are_unknown(tmp_path):
    examined = examine(set_fields(save(tmp_path / "a.nii.gz", ramp(4, 4, 4)), sform_code=0, qform_code=0))
    assert verdicts(examined) == [("bad-affine", False)]
    assert "left and right are unknown" in examined.findings[0].what
    assert examined.grid is None


def test_a_qfac_of_zero_counts_as_one_as_in_the_standard(tmp_path):
    right_handed = np.diag([0.9, 0.9, 4.0, 1])
    path = set_fields(with_forms(tmp_path / "a.nii.gz", None, right_handed), pixdim=[0])
    examined = examine(path)
    assert examined.findings == ()
    assert np.allclose(examined.volume.affine, right_handed, atol=1e-6)


@pytest.mark.parametrize(
    ("spacing", "found"),
    [([0.001] * 3, "0.001 × 0.001 × 0.001"), ([1000.0] * 3, "1000 × 1000 × 1000"), ([1, 1, 25.0], "1 × 1 × 25")],
    ids=["in metres without a unit", "in micrometres without a unit", "slice gap"],
)
def test_an_implausible_spacing_is_refused(tmp_path, spacing, found):
    examined = examine(save(tmp_path / "a.nii.gz", ramp(4, 4, 4), np.diag([*spacing, 1])))
    assert verdicts(examined) == [("implausible-spacing", False)]
    assert f"wanted a spacing from 0.1 to 10.0 mm, found {found} mm" in examined.findings[0].what


def test_a_pixdim_of_zero_is_not_read_as_one(tmp_path):
    path = set_fields(with_forms(tmp_path / "a.nii.gz", None, np.eye(4)), pixdim=[1, 1, 1, 0])
    assert verdicts(examine(path)) == [("implausible-spacing", False), ("bad-affine", False)]


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_an_affine_that_is_not_finite_is_refused(tmp_path, value):
    affine = np.eye(4)
    affine[0, 3] = value
    examined = examine(save(tmp_path / "a.nii.gz", ramp(4, 4, 4), affine))
    assert verdicts(examined) == [("bad-affine", False)]
    assert "found NaN or infinity" in examined.findings[0].what


def test_voxels_without_a_volume_are_refused(tmp_path):
    flat = np.array([[1, 1, 0, 0], [0, 0.01, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])
    examined = examine(save(tmp_path / "a.nii.gz", ramp(4, 4, 4), flat))
    assert verdicts(examined) == [("bad-affine", False)]
    assert "coplanar" in examined.findings[0].what


METRE, MILLIMETRE, MICRON, SECOND = 1, 2, 3, 8


@pytest.mark.parametrize(("unit", "per_mm", "name"), [(METRE, 0.001, "m"), (MICRON, 1000.0, "µm")])
@pytest.mark.parametrize("forms", ["both", "sform", "qform"])
@pytest.mark.parametrize("time", [0, SECOND])
def test_metres_and_micrometres_are_converted_to_mm_and_reported(tmp_path, unit, per_mm, name, forms, time):
    affine = np.diag([per_mm] * 3 + [1]) @ OBLIQUE
    path = with_forms(tmp_path / "a.nii.gz", None if forms == "qform" else affine, None if forms == "sform" else affine)
    path = set_fields(path, xyzt_units=unit + time, **({"pixdim": [-1, *np.array([0.9, 0.9, 4]) * per_mm]}))
    examined = examine(path)
    assert verdicts(examined) == [("implausible-spacing", True)]
    assert f"found 0.9 × 0.9 × 4 mm (the header says {0.9 * per_mm:.4g} × " in examined.findings[0].what
    assert f" {name}); converted to mm" in examined.findings[0].what
    assert np.allclose(examined.volume.affine, OBLIQUE, atol=1e-3)


@pytest.mark.parametrize("unit", [0, MILLIMETRE, MILLIMETRE + SECOND, 5])
def test_millimetres_and_no_unit_are_read_as_mm(tmp_path, unit):
    examined = examine(set_fields(with_forms(tmp_path / "a.nii.gz", OBLIQUE, OBLIQUE), xyzt_units=unit))
    assert examined.findings == ()
    assert np.allclose(examined.volume.affine, OBLIQUE, atol=1e-5)


@pytest.mark.parametrize(("unit", "found"), [(METRE, "900 × 900 × 4000 mm"), (MICRON, "0.0009 × 0.0009 × 0.004 mm")])
def test_a_unit_that_cannot_be_is_refused_and_named(tmp_path, unit, found):
    examined = examine(set_fields(with_forms(tmp_path / "a.nii.gz", OBLIQUE, OBLIQUE), xyzt_units=unit))
    assert verdicts(examined) == [("implausible-spacing", False)]
    assert f"found {found} (the header says 0.9 × 0.9 × 4 " in examined.findings[0].what


@pytest.mark.parametrize("spacing", [10.0000004, 0.09999999])
def test_a_spacing_beyond_its_bound_by_rounding_is_read(tmp_path, spacing):
    path = save(tmp_path / "a.nii.gz", ramp(4, 4, 4), np.diag([1, 1, spacing, 1]))
    assert examine(path).findings == ()


ROUNDED = {"quatern_b": 0.707107, "quatern_c": 0.707107, "quatern_d": 0.001}
"""A squared norm of 1.0000016."""


def test_a_rounded_quaternion_is_normalised(tmp_path):
    examined = examine(set_fields(with_forms(tmp_path / "a.nii.gz", None, np.eye(4)), **ROUNDED))
    assert verdicts(examined) == [("bad-affine", True)]
    assert "norm 1.0000008 instead of 1" in examined.findings[0].what
    half_turn = [[0, 1, 0.0014, 0], [1, 0, 0.0014, 0], [0.0014, 0.0014, -1, 0], [0, 0, 0, 1]]
    assert np.allclose(examined.volume.affine, half_turn, atol=1e-4)


def test_a_rounded_quaternion_beside_an_equal_sform_is_no_conflict(tmp_path):
    half_turn = np.array([[0, 1, 0, 0], [1, 0, 0, 0], [0, 0, -1, 0], [0, 0, 0, 1.0]])
    examined = examine(set_fields(with_forms(tmp_path / "a.nii.gz", half_turn, half_turn), quatern_b=0.707108))
    assert examined.findings == ()


def test_a_quaternion_that_is_no_rotation_is_not_called_infinite(tmp_path):
    examined = examine(set_fields(with_forms(tmp_path / "a.nii.gz", None, np.eye(4)), quatern_b=1.01))
    assert verdicts(examined) == [("bad-affine", False)]
    assert "a qform whose quaternion has the norm 1.01 instead of 1" in examined.findings[0].what
