"""Registration recovers the motion between two drawn heads, bit-identically each time."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from nibabel.affines import apply_affine

from lesionlab.imaging.antspy import load_ants
from lesionlab.imaging.intensity import head_mask
from lesionlab.imaging.itk import placement
from lesionlab.imaging.register import find_transforms, register
from lesionlab.imaging.resample import model_grid
from lesionlab.imaging.volume import Volume, matrix_of
from lesionlab.imaging.warp import warp
from storage_schemas.volumes import DEFORMATION_STEP_MM
from tests.imaging.heads import SLICES, THREE_MM, head, motion, places, signal
from tests.preprocessing.pairs import MOVED, NEW_MM, scan

FIXED = head(THREE_MM)
MOTIONS = {
    "none": motion((0, 0, 0), (0, 0, 0)),
    "shifted": motion((0, 0, 0), (7, -5, 9)),
    "rotated": motion((12, -8, 10), (4, 6, -3)),
}


def inside(fixed: Volume = FIXED) -> np.ndarray:
    """World positions (N × 3) of the fixed head's voxels."""
    return places(fixed.grid)[head_mask(fixed.voxels)]


@pytest.fixture(scope="module")
def deformed():
    """The drawn head and another scan of it: rotated, on thick oblique slices, and slightly wider in front."""
    to_head = motion((5, -4, 6), (5, -4, 6))
    points_mm = apply_affine(to_head, places(SLICES))
    points_mm[..., 0] /= 1 + 0.07 * np.exp(-(((points_mm[..., 1] - 30) / 30) ** 2))
    moving = Volume(signal(points_mm).astype(np.float32), matrix_of(SLICES))
    return moving, register(FIXED, moving, "syn", THREE_MM)


@pytest.mark.parametrize(
    ("moved", "grid"),
    [("none", THREE_MM), ("shifted", SLICES), ("rotated", THREE_MM), ("rotated", SLICES)],
    ids=["in place", "shifted slices", "rotated", "rotated slices"],
)
def test_a_rigid_motion_is_recovered_within_a_fraction_of_a_millimetre(moved, grid):
    to_moving = np.linalg.inv(MOTIONS[moved])
    found = register(FIXED, head(grid, MOTIONS[moved], seed=1), "rigid", THREE_MM)
    wrong_mm = np.linalg.norm(apply_affine(found.matrix, inside()) - apply_affine(to_moving, inside()), axis=-1)
    assert wrong_mm.max() < 0.75
    assert wrong_mm.mean() < 0.4
    turn = found.matrix[:3, :3]
    assert np.allclose(turn @ turn.T, np.eye(3), atol=1e-5)  # no scale, no shear
    assert found.deformation_3IJK is None
    assert found.correlation_after > 0.97
    assert found.head_overlap > 0.98
    assert found.warped_sha256 == hashlib.sha256(found.voxels_IJK.tobytes()).hexdigest()
    if moved != "none":
        assert found.correlation_before < 0.85


def test_syn_recovers_a_deformation_that_a_rigid_transform_cannot(deformed):
    moving, found = deformed
    rigid = register(FIXED, moving, "rigid", THREE_MM)
    assert found.correlation_before < rigid.correlation_after < found.correlation_after
    assert found.head_overlap > rigid.head_overlap
    assert found.deformation_3IJK.dtype == np.int16
    assert np.abs(found.deformation_3IJK).max() * DEFORMATION_STEP_MM > 1


def test_the_stored_matrix_and_deformation_reproduce_the_image(deformed):
    moving, found = deformed
    again = warp(moving, THREE_MM, found.matrix, found.deformation_3IJK)
    assert again.tobytes() == found.voxels_IJK.tobytes()


@pytest.mark.parametrize("kind", ["rigid", "syn"])
def test_our_matrix_and_deformation_agree_with_antss_own_transforms(tmp_path, kind):
    """ANTs registers the same pair with the same settings and applies its own files with its own program."""
    ants = load_ants()
    moving = head(SLICES, MOTIONS["rotated"], seed=1)
    found = register(FIXED, moving, kind, THREE_MM)
    transforms = find_transforms(FIXED.voxels, moving, kind, THREE_MM, tmp_path)
    target, image = (
        ants.from_numpy(scan.voxels, **dict(zip(("origin", "spacing", "direction"), placement(scan.grid), strict=True)))
        for scan in (FIXED, moving)
    )
    files = [str(path) for path in (transforms.field, transforms.affine) if path]
    theirs_IJK = ants.apply_transforms(target, image, files, defaultvalue=-1).numpy()
    covered_IJK = np.isfinite(found.voxels_IJK)
    assert (covered_IJK != (theirs_IJK != -1)).mean() < 1e-4  # only at the border, by rounding
    difference = np.abs(found.voxels_IJK - theirs_IJK)[covered_IJK & (theirs_IJK != -1)]
    assert difference.max() < 1  # of 400: the slope at the skin over the stored step of a hundredth of a millimetre
    assert difference.mean() < 0.05


ANOTHER_PROCESS = """
import json, sys
import numpy as np
from lesionlab.imaging.register import register
from tests.imaging.heads import SLICES, THREE_MM, head, motion
found = register(head(THREE_MM), head(SLICES, motion((12, -8, 10), (4, 6, -3)), seed=1), "syn", THREE_MM)
print(json.dumps([found.warped_sha256, found.matrix.tolist(), int(np.abs(found.deformation_3IJK).sum())]))
"""


def test_results_are_bit_identical_here_and_in_a_process_configured_for_more_threads():
    moving = head(SLICES, MOTIONS["rotated"], seed=1)
    one, other = (register(FIXED, moving, "syn", THREE_MM) for _ in range(2))
    assert one.warped_sha256 == other.warped_sha256
    assert one.matrix.tobytes() == other.matrix.tobytes()
    assert one.deformation_3IJK.tobytes() == other.deformation_3IJK.tobytes()
    environment = dict(os.environ, ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS="4", ANTS_RANDOM_SEED="99")
    there = run_python(ANOTHER_PROCESS, environment)
    assert json.loads(there.stdout.splitlines()[-1]) == [
        one.warped_sha256,
        one.matrix.tolist(),
        int(np.abs(one.deformation_3IJK).sum()),
    ]


def test_registration_is_refused_if_ants_was_already_imported_with_more_threads():
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("ITK_", "ANTS_"))}
    late = "import ants\nfrom lesionlab.imaging.antspy import load_ants\nload_ants()"
    refused = run_python(late, environment)
    assert refused.returncode == 1
    assert "wanted ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS=1 before the first import of ants" in refused.stderr
    assert run_python(late, environment | {"ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS": "1"}).returncode == 0


def test_ants_is_not_imported_until_something_is_registered():
    program = "import sys, lesionlab.imaging.register\nprint('ants' in sys.modules)"
    assert run_python(program, dict(os.environ)).stdout.strip() == "False"


def run_python(program: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    root = Path(__file__).resolve().parents[2]
    environment = environment | {"PYTHONPATH": str(root)}
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment)


@pytest.mark.parametrize("grid", [THREE_MM, SLICES], ids=["upright", "oblique slices"])
def test_a_mirrored_head_agrees_less_than_its_own_mirror_image(grid):
    """Left for right about a plane that is not the head's own, as a wrong header does."""
    mirrored = head(grid, motion((3, -2, 4), (6, -4, 3)) @ np.diag([-1.0, 1, 1, 1]), seed=1)
    found = register(FIXED, mirrored, "rigid", THREE_MM)
    assert found.affine.correlation < found.mirrored_correlation


def test_the_mirror_image_of_a_head_in_its_place_is_not_registered():
    assert register(FIXED, head(THREE_MM, seed=1), "header", THREE_MM).mirrored_correlation is None


def test_voxels_outside_the_moving_image_are_nan():
    lower_part = Volume(FIXED.voxels[:, :, :30], FIXED.affine)
    found = register(FIXED, lower_part, "rigid", THREE_MM)
    seen, head_IJK = np.isfinite(found.voxels_IJK), head_mask(FIXED.voxels)
    assert found.correlation_after > 0.98
    assert found.head_overlap < 0.9
    assert seen[:, :, :28][head_IJK[:, :, :28]].all()
    assert not seen[:, :, 32:].any()


def test_an_image_with_a_distant_header_position_is_registered_from_zero_correlation():
    far = Volume(FIXED.voxels, motion((0, 0, 0), (900, 0, 0)) @ FIXED.affine)
    found = register(FIXED, far, "rigid", THREE_MM)
    assert found.correlation_before == 0
    assert found.correlation_after > 0.99


def test_a_registration_that_ends_worse_than_none_starts_again_where_the_headers_place_the_images():
    turned = motion((0, 0, 130), (0, 0, 0))
    fixed, moving = (
        Volume(image.voxels, image.affine.astype(np.float32).astype(np.float64))  # as NIfTI stores it
        for image in (scan(THREE_MM, turned, NEW_MM, 2.0), scan(SLICES, turned @ MOVED, NEW_MM, 2.05))
    )
    grid = model_grid(fixed.grid, 5.0)
    found = register(fixed, moving, "rigid", grid)
    assert found.correlation_before < 0.7
    assert found.correlation_after > 0.95
    assert found.head_overlap > 0.95


def test_two_unrelated_images_have_low_agreement_after_registration():
    noise = np.random.default_rng(0).uniform(0, 900, THREE_MM.shape).astype(np.float32)
    found = register(FIXED, Volume(noise, FIXED.affine), "rigid", THREE_MM)
    assert found.correlation_after < 0.3
