"""Two drawn heads in, one of them moved; the motion found again, the same bits each time, out."""

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
from lesionlab.imaging.volume import Volume, matrix_of
from lesionlab.imaging.warp import warp
from storage_schemas.volumes import DEFORMATION_STEP_MM
from tests.imaging.heads import SLICES, THREE_MM, head, motion, places, signal

FIXED = head(THREE_MM)
MOTIONS = {
    "not at all": motion((0, 0, 0), (0, 0, 0)),
    "shifted": motion((0, 0, 0), (7, -5, 9)),
    "turned": motion((12, -8, 10), (4, 6, -3)),
}


def inside(fixed: Volume = FIXED) -> np.ndarray:
    """World places (N × 3) of the fixed head."""
    return places(fixed.grid)[head_mask(fixed.voxels)]


@pytest.fixture(scope="module")
def deformed():
    """The drawn head and another scan of it: turned, on thick oblique slices, and a little wider in front."""
    to_head = motion((5, -4, 6), (5, -4, 6))
    points_mm = apply_affine(to_head, places(SLICES))
    points_mm[..., 0] /= 1 + 0.07 * np.exp(-(((points_mm[..., 1] - 30) / 30) ** 2))
    moving = Volume(signal(points_mm).astype(np.float32), matrix_of(SLICES))
    return moving, register(FIXED, moving, "syn", THREE_MM)


@pytest.mark.parametrize(
    ("moved", "grid"),
    [("not at all", THREE_MM), ("shifted", SLICES), ("turned", THREE_MM), ("turned", SLICES)],
    ids=["in place", "shifted slices", "turned", "turned slices"],
)
def test_a_rigid_motion_is_found_to_a_fraction_of_a_millimetre(moved, grid):
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
    if moved != "not at all":
        assert found.correlation_before < 0.85


def test_a_deformation_is_taken_off_that_no_rigid_motion_could(deformed):
    moving, found = deformed
    rigid = register(FIXED, moving, "rigid", THREE_MM)
    assert found.correlation_before < rigid.correlation_after < found.correlation_after
    assert found.head_overlap > rigid.head_overlap
    assert found.deformation_3IJK.dtype == np.int16
    assert np.abs(found.deformation_3IJK).max() * DEFORMATION_STEP_MM > 1


def test_matrix_and_deformation_as_stored_give_the_image(deformed):
    moving, found = deformed
    again = warp(moving, THREE_MM, found.matrix, found.deformation_3IJK)
    assert again.tobytes() == found.voxels_IJK.tobytes()


@pytest.mark.parametrize("kind", ["rigid", "syn"])
def test_our_matrix_and_deformation_lead_where_ants_own_transforms_lead(tmp_path, kind):
    """ANTs registers the same pair with the same settings; its own files are applied by its own program."""
    ants = load_ants()
    moving = head(SLICES, MOTIONS["turned"], seed=1)
    found = register(FIXED, moving, kind, THREE_MM)
    transforms = find_transforms(FIXED.voxels, moving, kind, THREE_MM, tmp_path)
    target, image = (
        ants.from_numpy(scan.voxels, **dict(zip(("origin", "spacing", "direction"), placement(scan.grid), strict=True)))
        for scan in (FIXED, moving)
    )
    files = [str(path) for path in (transforms.field, transforms.affine) if path]
    theirs_IJK = ants.apply_transforms(target, image, files, defaultvalue=-1).numpy()
    covered_IJK = np.isfinite(found.voxels_IJK)
    assert (covered_IJK != (theirs_IJK != -1)).mean() < 1e-4  # on the very border, by rounding
    difference = np.abs(found.voxels_IJK - theirs_IJK)[covered_IJK & (theirs_IJK != -1)]
    assert difference.max() < 1  # of 400: the skin's slope within the hundredth of a millimetre that is stored
    assert difference.mean() < 0.05


ANOTHER_PROCESS = """
import json, sys
import numpy as np
from lesionlab.imaging.register import register
from tests.imaging.heads import SLICES, THREE_MM, head, motion
found = register(head(THREE_MM), head(SLICES, motion((12, -8, 10), (4, 6, -3)), seed=1), "syn", THREE_MM)
print(json.dumps([found.warped_sha256, found.matrix.tolist(), int(np.abs(found.deformation_3IJK).sum())]))
"""


def test_the_same_bits_come_out_again_here_and_in_a_process_that_was_promised_more_threads():
    moving = head(SLICES, MOTIONS["turned"], seed=1)
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


def test_where_others_imported_ants_with_threads_before_nothing_is_computed():
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


def test_what_the_moving_image_does_not_show_is_said_not_to_be_known():
    lower_part = Volume(FIXED.voxels[:, :, :30], FIXED.affine)
    found = register(FIXED, lower_part, "rigid", THREE_MM)
    seen, head_IJK = np.isfinite(found.voxels_IJK), head_mask(FIXED.voxels)
    assert found.correlation_after > 0.98
    assert found.head_overlap < 0.9
    assert seen[:, :, :28][head_IJK[:, :, :28]].all()
    assert not seen[:, :, 32:].any()


def test_an_image_far_away_by_its_header_is_found_and_had_no_correlation_before():
    far = Volume(FIXED.voxels, motion((0, 0, 0), (900, 0, 0)) @ FIXED.affine)
    found = register(FIXED, far, "rigid", THREE_MM)
    assert found.correlation_before == 0
    assert found.correlation_after > 0.99


def test_two_images_without_anything_in_common_do_not_pass_for_registered():
    noise = np.random.default_rng(0).uniform(0, 900, THREE_MM.shape).astype(np.float32)
    found = register(FIXED, Volume(noise, FIXED.affine), "rigid", THREE_MM)
    assert found.correlation_after < 0.3
