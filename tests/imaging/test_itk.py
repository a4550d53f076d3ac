"""Points and transforms converted from ITK agree with ITK itself."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nibabel.affines import apply_affine
from scipy.io import savemat

from lesionlab.errors import ImageError
from lesionlab.imaging.antspy import load_ants
from lesionlab.imaging.itk import placement, read_affine, world_displacements
from tests.imaging.heads import SLICES, places

LPS = np.array([-1, -1, 1])
NUMBER = st.floats(-0.3, 0.3)
SOUND = (
    "#Insight Transform File V1.0\n#Transform 0\nTransform: {kind}\n"
    "Parameters: 0.99 0.01 -0.02 -0.01 0.98 -0.05 0.02 0.05 1.01 -0.5 -1.1 4.2\nFixedParameters: 0.4 13 -15\n"
)


def written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


@given(
    st.lists(NUMBER, min_size=9, max_size=9), st.tuples(*[st.floats(-50, 50)] * 3), st.tuples(*[st.floats(-90, 90)] * 3)
)
def test_a_point_is_mapped_as_by_itk(tmp_path_factory, turn, shift_mm, centre_mm):
    numbers = [*(np.eye(3).ravel() + np.array(turn) / 2), *shift_mm]
    path = tmp_path_factory.mktemp("itk") / "affine.txt"
    ants = load_ants()
    transform = ants.new_ants_transform(precision="double", dimension=3, transform_type="AffineTransform")
    transform.set_parameters(numbers)
    transform.set_fixed_parameters(centre_mm)
    ants.write_transform(transform, str(path))
    point_mm = np.array([31.0, -22.0, 17.0])
    theirs_mm = LPS * transform.apply_to_point((LPS * point_mm).tolist())
    assert np.allclose(apply_affine(read_affine(path), point_mm), theirs_mm, atol=1e-3)


def saved_by_ants(path: Path, numbers: list[float], centre_mm: list[float]) -> Path:
    ants = load_ants()
    transform = ants.new_ants_transform(precision="double", dimension=3, transform_type="AffineTransform")
    transform.set_parameters(numbers)
    transform.set_fixed_parameters(centre_mm)
    ants.write_transform(transform, str(path))
    return path


def test_the_matlab_file_of_ants_is_the_same_affine_as_its_text(tmp_path):
    numbers = [0.99, 0.01, -0.02, -0.01, 0.98, -0.05, 0.02, 0.05, 1.01, -0.5, -1.1, 4.2]
    text, matlab = (saved_by_ants(tmp_path / name, numbers, [0.4, 13, -15]) for name in ("a.txt", "a.mat"))
    assert np.allclose(read_affine(matlab), read_affine(text))


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (None, "cannot be read"),
        ({"x": np.zeros(12)}, "found x;"),
        ({"DisplacementFieldTransform_float_3_3": np.zeros(12), "fixed": np.zeros(3)}, "found DisplacementField"),
        ({"AffineTransform_double_3_3": np.zeros(6), "fixed": np.zeros(3)}, "found 6 and 3 numbers"),
        ({"AffineTransform_double_3_3": np.zeros(12)}, "found AffineTransform_double_3_3;"),
        (b"#Insight Transform File V1.0", "found no MATLAB file"),
        (b"1 0 0 1\n0 1 0 2\n0 0 1 3\n0 0 0 1\n", "found a 4 × 4 matrix, as FSL"),
        ({"AffineTransform_double_3_3": np.zeros(12), "fixed": np.zeros(3)}, "scales volumes by 0"),
    ],
)
def test_a_matlab_file_that_is_no_affine_is_refused(tmp_path, content, found):
    path = tmp_path / "a.mat"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        savemat(path, content, format="4")
    with pytest.raises(ImageError, match=found):
        read_affine(path)


@pytest.mark.parametrize("kind", ["AffineTransform_double_3_3", "MatrixOffsetTransformBase_float_3_3"])
def test_both_itk_names_for_an_affine_are_accepted(tmp_path, kind):
    matrix = read_affine(written(tmp_path / "a.txt", SOUND.format(kind=kind)))
    assert np.allclose(
        matrix[:3, :3] * np.outer(LPS, LPS), [[0.99, 0.01, -0.02], [-0.01, 0.98, -0.05], [0.02, 0.05, 1.01]]
    )


def test_a_voxel_has_the_same_world_position_as_in_itk():
    ants = load_ants()
    origin_mm, spacing_mm, direction = placement(SLICES)
    image = ants.from_numpy(np.zeros(SLICES.shape, np.float32), origin_mm, spacing_mm, direction)
    for index in [(0, 0, 0), (3, 5, 7), (59, 69, 29)]:
        theirs_mm = LPS * ants.transform_index_to_physical_point(image, index)
        assert np.allclose(places(SLICES)[index], theirs_mm, atol=1e-3)


def test_a_displacement_has_the_same_direction_as_in_itk():
    field_IJK3 = np.random.default_rng(0).normal(0, 5, (4, 5, 6, 3)).astype(np.float32)
    ants = load_ants()
    field = ants.from_numpy(field_IJK3, origin=(-1.0, -2.0, -1.0), has_components=True)
    transform = ants.transform_from_displacement_field(field)
    ours_3IJK = world_displacements(field.numpy())
    itk_mm = field.origin + np.array([2, 1, 3])
    moved_mm = LPS * (transform.apply_to_point(tuple(itk_mm)) - itk_mm)
    assert np.allclose(ours_3IJK[:, 2, 1, 3], moved_mm, atol=1e-4)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "wanted an ITK transform file"),
        ("1 0 0 0\n0 1 0 0\n0 0 1 0\n0 0 0 1\n", "found a 4 × 4 matrix, as FSL writes it; convert it"),
        ("# transform file\ntype      = 1\nnxforms   = 1\n", "lta_convert --outitk"),
        ('(Transform "EulerTransform")\n', "found elastix's parameters"),
        ("version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        (SOUND.format(kind="AffineTransform_double_3_3").replace("0.98", "-0.98"), "a mirror image"),
        (SOUND.format(kind="Euler3DTransform_double_3_3"), "found Euler3DTransform_double_3_3"),
        (SOUND.format(kind="AffineTransform_double_2_2"), "found AffineTransform_double_2_2"),
        (SOUND.format(kind="AffineTransform_double_3_3") * 2, "found AffineTransform_double_3_3, AffineTransform"),
        (
            SOUND.format(kind="AffineTransform_double_3_3").replace("4.2", ""),
            "wanted 12 numbers after Parameters, found 11",
        ),
        (SOUND.format(kind="AffineTransform_double_3_3").replace("4.2", "four"), "wanted 12 numbers after Parameters"),
        (SOUND.format(kind="AffineTransform_double_3_3").replace("4.2", "nan"), "wanted an affine"),
        (SOUND.format(kind="AffineTransform_double_3_3").replace("Fixed", "Other"), "3 numbers after FixedParameters"),
        (SOUND.format(kind="AffineTransform_double_3_3").replace("0.98", "0"), "scales volumes by"),
        (SOUND.format(kind="AffineTransform_double_3_3") + "#" * 70_000, "wanted an ITK transform file"),
    ],
)
def test_text_that_is_not_one_affine_is_refused_with_the_reason(tmp_path, text, fault):
    path = written(tmp_path / "a.txt", text)
    with pytest.raises(ImageError, match=fault) as refusal:
        read_affine(path)
    assert str(refusal.value).startswith(f"{path}: ")


def test_a_file_that_is_missing_or_binary_is_refused(tmp_path):
    with pytest.raises(ImageError, match="cannot be read") as refusal:
        read_affine(tmp_path / "none.txt")
    assert refusal.value.code == "missing-file"
    (tmp_path / "a.tfm").write_bytes(b"\x00\xff\xfe\x01")
    with pytest.raises(ImageError, match="wanted a text file"):
        read_affine(tmp_path / "a.tfm")
