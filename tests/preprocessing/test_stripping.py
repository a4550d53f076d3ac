"""The skull is removed by a function from a volume to a mask; what it removes is air for every image of the study."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lesionlab.errors import InputError, StudyRefused
from lesionlab.imaging import deepbet
from lesionlab.imaging.intensity import head_mask
from lesionlab.imaging.volume import Mask, Volume, read_mask, read_volume
from lesionlab.preprocessing import stripping
from lesionlab.preprocessing.channels import prepare_images
from lesionlab.preprocessing.files import StudyFiles
from lesionlab.preprocessing.ingest import Recipe, ingest_study
from lesionlab.preprocessing.study import preprocess_study, study_digest
from lesionlab.store.documents import read_card
from lesionlab.store.objects import open_store
from storage_schemas.tasks import TASKS
from storage_schemas.volumes import ATTRIBUTE, StudyVolumeCard
from tests.imaging.heads import RADII_MM, THREE_MM, head, places
from tests.preprocessing.pairs import NEW_MM, new_lesions, scan, uncut, write_study

TASK = TASKS["flair-single"]


def drawn_brain(image: Volume, scale: float = 0.8) -> Mask:
    """The inner part of the drawn head."""
    return (np.linalg.norm(places(image.grid) / (scale * RADII_MM), axis=-1) < 1).astype(np.uint8)


@pytest.fixture
def _drawn_stripper(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(stripping.STRIPPERS, "deepbet", drawn_brain)


def study(folder: Path) -> StudyFiles:
    """One FLAIR with lesions, which lie in the drawn brain."""
    return write_study(folder, {"flair": scan(THREE_MM, np.eye(4), NEW_MM)}, new_lesions())


def test_a_stripped_volume_equals_that_of_an_image_that_came_stripped() -> None:
    whole = head(THREE_MM)
    air = float(np.quantile(whole.voxels[[0, -1]], 0.1))
    came = Volume(np.where(drawn_brain(whole), whole.voxels, np.float32(air)), whole.affine)
    ours = prepare_images({"flair": whole}, TASK, 3.0, find_brain=drawn_brain)
    theirs = prepare_images({"flair": came}, TASK, 3.0)
    brain_IJK = head_mask(came.voxels)
    image_IJK = uncut(ours)[0]
    np.testing.assert_allclose(image_IJK[brain_IJK], uncut(theirs)[0][brain_IJK], atol=0.02)
    assert len({*np.unique(image_IJK[~brain_IJK])} - {0}) == 1, "all the rest of the box is air"
    assert ours.brain_ijk is not None
    assert ours.pictures["brain"].startswith(b"\x89PNG")
    assert prepare_images({"flair": whole}, TASK, 3.0).brain_ijk is None


def test_every_image_of_a_study_loses_what_is_outside_the_brain_of_the_native_one() -> None:
    images = {"before": scan(THREE_MM, np.eye(4), gain=2.0), "after": scan(THREE_MM, np.eye(4), NEW_MM)}
    prepared = prepare_images(images, TASKS["enhancing"], 6.0, registered=True, find_brain=drawn_brain)
    for channel_IJK in prepared.image_CIJK:
        corner = channel_IJK[0, 0, 0]
        assert np.mean(channel_IJK == corner) > 0.6


@pytest.mark.usefixtures("_drawn_stripper")
def test_stripping_is_part_of_the_volumes_identity_and_only_if_it_is_used(tmp_path: Path) -> None:
    files = study(tmp_path)
    volume = preprocess_study(files, TASK, 6.0, strip="deepbet")
    assert volume.entry.volume == study_digest(files, TASK, 6.0, strip="deepbet")
    assert volume.entry.volume != study_digest(files, TASK, 6.0) == study_digest(files, TASK, 6.0, strip=None)
    assert volume.card.strip == "deepbet"
    whole, already = Recipe(TASK, 6.0), Recipe(TASK, 6.0, strip="already")
    assert already.digest(files) == whole.digest(files), "what came stripped is the same volume"


@pytest.mark.usefixtures("_drawn_stripper")
def test_the_store_holds_both_volumes_and_a_picture_of_the_brain(tmp_path: Path) -> None:
    files, uri = study(tmp_path), (tmp_path / "store").as_uri()
    stripped = ingest_study(files, Recipe(TASK, 6.0, strip="deepbet"), uri)
    assert stripped.verdict.verdict == "pass"
    whole = ingest_study(files, Recipe(TASK, 6.0), uri)
    assert stripped.entry is not None
    assert whole.entry is not None
    store = open_store(uri)
    cards = [
        read_card(
            store,
            entry.volume_key,
            ATTRIBUTE,
            StudyVolumeCard,
        )
        for entry in (stripped.entry, whole.entry)
    ]
    assert [card.strip for card in cards] == ["deepbet", None]
    assert [key.partition("/pictures")[0] for key in store.list("") if key.endswith("/brain.png")] == [
        f"sites/{files.site}/volumes/{files.study}/{stripped.entry.volume}.pictures/brain.png"
    ]


def test_lesions_that_are_lost_refuse_the_study_until_somebody_accepts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def left_half(image: Volume) -> Mask:
        return (drawn_brain(image) * (places(image.grid)[..., 0] < 0)).astype(np.uint8)

    monkeypatch.setitem(stripping.STRIPPERS, "deepbet", left_half)
    files, uri = study(tmp_path), (tmp_path / "store").as_uri()
    refused = ingest_study(files, Recipe(TASK, 6.0, strip="deepbet"), uri).verdict
    (finding,) = refused.findings
    assert (refused.verdict, finding.code, finding.place) == ("quarantined", "strip-failed", "mask")
    assert "lesion voxels outside the brain" in finding.what
    assert "--accept STUDY" in finding.what
    vouched = Recipe(TASK, 6.0, accept=frozenset({files.study}), strip="deepbet")
    accepted = ingest_study(files, vouched, uri)
    assert accepted.entry is not None
    assert [finding.code for finding in accepted.verdict.findings] == ["strip-doubtful"]


def test_few_lost_voxels_are_a_note(tmp_path: Path) -> None:
    brain = np.ones((5, 5, 5), np.uint8)
    lesions = np.zeros_like(brain)
    lesions[:4] = 1
    brain[0, 0, 0] = 0
    (finding,) = stripping.lost_lesions(brain, lesions, accepted=False)
    assert (finding.code, finding.repaired) == ("strip-doubtful", True)
    assert "found 1 of 100 lesion voxels outside the brain" in finding.what
    assert stripping.lost_lesions(np.ones_like(brain), lesions, accepted=False) == ()


def test_a_brain_that_is_too_small_for_the_head_is_refused() -> None:
    with pytest.raises(StudyRefused, match=r"wanted a brain of at least 15% of the head, found \d%"):
        prepare_images({"flair": head(THREE_MM)}, TASK, 3.0, find_brain=lambda image: drawn_brain(image, 0.3))


def test_without_the_extra_the_command_that_installs_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deepbet, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pip install 'lesionlab\[strip\]'"):
        deepbet.deepbet_mask(head(THREE_MM))


@pytest.mark.slow
@pytest.mark.parametrize("subject", ["long01", "long12"])
def test_deepbet_finds_the_brain_in_a_raw_flair_and_loses_no_lesion(real_data: Path, subject: str) -> None:
    pytest.importorskip("deepbet", reason="the extra `strip` is not installed")
    folder = real_data / "ms-longitudinal" / "derivatives" / "manual" / f"sub-{subject}" / "ses-02" / "anat"
    published, lesions = (
        read_mask(folder / f"sub-{subject}_ses-02_space-ses01_label-{label}_mask.nii.gz").voxels > 0
        for label in ("brain", "change")
    )
    (path,) = real_data.glob(f"ms-longitudinal/sub-{subject}/ses-01/anat/*_FLAIR.nii.gz")
    image = read_volume(path)
    brain_ijk = deepbet.deepbet_mask(image)
    dice = 2 * np.count_nonzero(published & (brain_ijk > 0)) / (published.sum() + brain_ijk.sum())
    print(f"{subject}: Dice {dice:.3f}, share of the head {brain_ijk.sum() / head_mask(image.voxels).sum():.2f}")
    assert dice > 0.93
    assert not np.any(lesions & (brain_ijk == 0))
    assert np.array_equal(brain_ijk, deepbet.deepbet_mask(image))
