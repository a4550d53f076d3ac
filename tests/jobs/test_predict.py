"""`lesionlab predict` segments images given by role, on any grids, with a mask on the native image's grid."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from jobs.shared.image_arguments import images_by_role, read_images, read_transforms, role_and_path
from lesionlab.errors import InputError
from lesionlab.imaging.volume import Volume, write_volume
from lesionlab.model.unet import build_unet
from lesionlab.model.weights import sha256_of, weights_bytes
from lesionlab.store.documents import create_document, move_pointer
from lesionlab.store.objects import open_store
from storage_schemas import keys
from storage_schemas.models import Architecture, InferenceConfig, ModelCard
from storage_schemas.tasks import TASKS
from tests.imaging.heads import THREE_MM
from tests.jobs.conftest import Lesionlab
from tests.preprocessing.pairs import MOVED, gadolinium
from tests.preprocessing.test_reference import itk_file

VERSION = "0123456789abcdef"


def register_untrained(store_uri: str, task: str) -> None:
    """Register an untrained network under the name `untrained`."""
    store, channels = open_store(store_uri), TASKS[task].channel_names
    architecture = Architecture(depth=1, base_channels=2)
    weights = weights_bytes(build_unet(architecture, channels=len(channels), seed=0))
    card = ModelCard(
        name="untrained",
        version=VERSION,
        task=TASKS[task],
        architecture=architecture,
        channels=channels,
        spacing_mm=3.0,
        patch_voxels=16,
        inference=InferenceConfig(step_voxels=16, threshold=0.01),
        weights_sha256=sha256_of(weights),
        cohort="none",
        training_studies=1,
    )
    store.put(keys.MODEL_WEIGHTS.build(name="untrained", version=VERSION), weights)
    create_document(store, keys.MODEL_CARD.build(name="untrained", version=VERSION), card)
    move_pointer(store, keys.CHAMPION.build(name="untrained"), VERSION)


@pytest.fixture
def images(tmp_path: Path) -> dict[str, Path]:
    """Images before and after gadolinium; the patient moved in between, and the grids differ."""
    paths = {role: tmp_path / f"{role}.nii.gz" for role in gadolinium()}
    for role, image in gadolinium().items():
        write_volume(paths[role], image)
    return paths


def test_images_by_role_in_any_order_give_one_mask_on_the_native_grid(
    lesionlab: Lesionlab, file_store_uri: str, tmp_path: Path, images: dict[str, Path]
) -> None:
    register_untrained(file_store_uri, "enhancing")
    named = [f"{role}={path}" for role, path in images.items()]
    masks = [tmp_path / "one.nii.gz", tmp_path / "other.nii.gz"]
    for out, arguments in zip(masks, (named, named[::-1]), strict=True):
        result = lesionlab("predict", *arguments, "--model", "untrained", "--out", out)
        assert result.exit_code == 0, result.output
    mask = nib.load(masks[0])
    assert mask.shape == THREE_MM.shape
    assert np.allclose(mask.affine, THREE_MM.affine)
    assert masks[0].read_bytes() == masks[1].read_bytes()


def test_a_head_in_cm_whose_header_says_mm_is_refused_and_nothing_is_written(
    lesionlab: Lesionlab, file_store_uri: str, tmp_path: Path
) -> None:
    register_untrained(file_store_uri, "flair-single")
    scan = gadolinium()["after"]
    write_volume(tmp_path / "scan.nii.gz", Volume(scan.voxels, scan.affine @ np.diag([0.1, 0.1, 0.1, 1])))
    result = lesionlab("predict", tmp_path / "scan.nii.gz", "--model", "untrained", "--out", tmp_path / "mask.nii.gz")
    assert result.exit_code == 1
    assert "flair: wanted a head 40 to 600 mm long, found" in result.output
    assert not (tmp_path / "mask.nii.gz").exists()


def test_images_of_different_heads_are_refused_with_the_correlation(
    lesionlab: Lesionlab, file_store_uri: str, tmp_path: Path, images: dict[str, Path]
) -> None:
    register_untrained(file_store_uri, "enhancing")
    noise = np.abs(np.random.default_rng(0).normal(450, 100, THREE_MM.shape)).astype(np.float32)
    write_volume(images["before"], Volume(noise, np.array(THREE_MM.affine)))
    named = [f"{role}={path}" for role, path in images.items()]
    result = lesionlab("predict", *named, "--model", "untrained", "--out", tmp_path / "mask.nii.gz")
    assert result.exit_code == 1
    said = " ".join(result.output.split())
    assert "before: wanted a " in said
    assert "after registration" in said
    assert not (tmp_path / "mask.nii.gz").exists()
    assert (tmp_path / "mask_registration-before.png").read_bytes().startswith(b"\x89PNG"), "it shows what was refused"


def test_the_users_own_registration_is_used_and_every_picture_can_be_had(
    lesionlab: Lesionlab, file_store_uri: str, tmp_path: Path, images: dict[str, Path]
) -> None:
    register_untrained(file_store_uri, "enhancing")
    named = [f"{role}={path}" for role, path in images.items()]
    own = itk_file(tmp_path / "own.txt", np.linalg.inv(MOVED))
    out, asked = tmp_path / "mask.nii.gz", ("--model", "untrained", "--transform", f"before={own}", "--picture")
    result = lesionlab("predict", *named, *asked, "--out", out)
    assert result.exit_code == 0, result.output
    assert sorted(path.name for path in tmp_path.glob("mask*")) == [
        "mask.nii.gz",
        "mask_lesions.png",
        "mask_registration-before.png",
    ]
    out.unlink()
    again = lesionlab("predict", *named, *asked, "--out", out)
    assert again.exit_code == 1
    assert "mask_lesions.png: already exists" in " ".join(again.output.split())
    assert lesionlab("predict", *named, *asked, "--out", out, "--force").exit_code == 0


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        (["after=own.txt"], "--transform after=own.txt: wanted before=FILE"),
        (["own.txt"], "--transform own.txt: wanted before=FILE"),
        (["before=own.txt", "before=own.txt"], "--transform before=own.txt: wanted one transform for 'before'"),
        (["before=none.txt"], "none.txt: cannot be read"),
    ],
    ids=["not moved", "no role", "twice", "missing"],
)
def test_a_wrong_transform_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: list[str], fault: str
) -> None:
    monkeypatch.chdir(tmp_path)
    itk_file(tmp_path / "own.txt", np.eye(4))
    with pytest.raises(InputError) as refusal:
        read_transforms(given, TASKS["enhancing"])
    assert len(refusal.value.args) == 1
    assert refusal.value.args[0].startswith(fault)


def test_images_without_roles_are_refused_and_the_roles_are_named(
    lesionlab: Lesionlab, file_store_uri: str, tmp_path: Path, images: dict[str, Path]
) -> None:
    register_untrained(file_store_uri, "enhancing")
    result = lesionlab("predict", *images.values(), "--model", "untrained", "--out", tmp_path / "mask.nii.gz")
    assert result.exit_code == 1
    assert "an image without a role: task enhancing wants before=IMAGE after=IMAGE" in result.output


@pytest.mark.parametrize(
    ("roles", "faults"),
    [
        (["initial"], ["'follow-up': task"]),
        (["initial", "follow-up", "initial"], ["'initial': task"]),
        (["initial", "followup"], ["'followup': task", "'follow-up': task"]),
        (["", ""], ["an image without a role", "an image without a role", "'initial': task", "'follow-up': task"]),
    ],
    ids=["missing", "twice", "misspelt", "bare"],
)
def test_all_faults_of_the_roles_are_reported_together(roles: list[str], faults: list[str]) -> None:
    image = Volume(np.zeros((3, 3, 3), np.float32), np.eye(4))
    with pytest.raises(InputError) as refusal:
        images_by_role([(role, image) for role in roles], TASKS["flair-new"])
    assert len(refusal.value.args) == len(faults)
    assert all(message.startswith(fault) for message, fault in zip(refusal.value.args, faults, strict=True))


@pytest.mark.parametrize("out", ["mask.nii.gz", "folder"])
def test_missing_files_are_all_named_whatever_the_output(out: str, lesionlab: Lesionlab, tmp_path: Path) -> None:
    before, after = tmp_path / "before.nii.gz", tmp_path / "after.nii.gz"
    arguments = (f"before={before}", f"after={after}", "--model", "nobody", "--out", tmp_path / out)
    result = lesionlab("predict", *arguments)
    assert result.exit_code == 1
    assert result.output.splitlines() == [f"error: {path}: no such file; check the path" for path in (before, after)]


def test_one_file_for_two_roles_is_refused(tmp_path: Path) -> None:
    image, link = tmp_path / "scan.nii.gz", tmp_path / "link.nii.gz"
    write_volume(image, Volume(np.zeros((3, 3, 3), np.float32), np.eye(4)))
    link.symlink_to(image)
    with pytest.raises(InputError, match="found it for 'before' and 'after'; give each role its own image"):
        read_images([("before", image), ("after", link)])


def test_a_single_image_needs_no_role_but_may_have_one() -> None:
    image = Volume(np.zeros((3, 3, 3), np.float32), np.eye(4))
    assert images_by_role([("", image)], TASKS["flair-single"]) == images_by_role(
        [("flair", image)], TASKS["flair-single"]
    )


def test_a_file_name_may_contain_an_equals_sign(tmp_path: Path) -> None:
    odd = tmp_path / "te=120.nii.gz"
    odd.touch()
    assert role_and_path(str(odd)) == ("", odd)
    assert role_and_path(f"flair={odd}") == ("flair", odd)
