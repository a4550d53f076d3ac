"""A copy of a scan or a mask under another patient's label is found, whatever was done to it; other heads are not."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from lesionlab.errors import DatasetError
from lesionlab.experiments.randomisation import draw_split
from lesionlab.imaging.intensity import head_mask
from lesionlab.imaging.likeness import canonical_sha256, describe, find_copies, fingerprint, mask_sha256
from lesionlab.imaging.volume import Volume, read_volume
from lesionlab.preprocessing.cohort import Ingested, preprocess_cohort
from lesionlab.preprocessing.ingest import Recipe
from lesionlab.preprocessing.layouts.recognise import open_dataset
from lesionlab.simulation import CohortPlan, simulate_cohort
from lesionlab.store.objects import open_store
from storage_schemas.manifests import Likeness
from storage_schemas.splits import Target
from storage_schemas.tasks import TASKS
from tests.preprocessing.copies import IN_PLACE, LIKELY, SAME_IMAGE, Change
from tests.preprocessing.drawn import OBLIQUE, draw_dataset, head, image_path, lesions, mask_path, save

TASK = TASKS["flair-single"]


def preprocess(root: Path, store_uri: str = "memory://") -> Ingested:
    dataset = open_dataset(root, TASK)
    return preprocess_cohort(open_store(store_uri), dataset, Recipe(TASK, 2.0), cohort="ms", exclude_faulty=True)


def copy_first_to_third(root: Path, change: Change) -> None:
    """Overwrite the third study's image by the changed first one's; its own mask follows onto the new grid."""
    voxels_ijk, affine = change(head(0), OBLIQUE)
    mask_ijk = lesions()
    mask_ijk[4, 14, 6] = 1
    moves = {name: other for name, other in (SAME_IMAGE | LIKELY).items() if name not in IN_PLACE}
    save(image_path(root, "sub-03"), voxels_ijk, affine)
    save(mask_path(root, "sub-03"), change(mask_ijk, OBLIQUE)[0] if change in moves.values() else mask_ijk, affine)


def refusals(ingested: Ingested) -> dict[str, list[str]]:
    return {
        verdict.study: [finding.code for finding in verdict.findings]
        for verdict in ingested.verdicts
        if verdict.findings
    }


@pytest.mark.parametrize("name", SAME_IMAGE)
def test_the_same_image_under_another_patient_is_certain(tmp_path, name):
    root = draw_dataset(tmp_path / "bids", "sub-01", "sub-02", "sub-03")
    copy_first_to_third(root, SAME_IMAGE[name])
    assert refusals(preprocess(root)) == {"sub-01": ["duplicate-image"], "sub-03": ["duplicate-image"]}


@pytest.mark.parametrize("name", LIKELY)
def test_a_changed_copy_under_another_patient_quarantines_both_with_both_names(tmp_path, name):
    root = draw_dataset(tmp_path / "bids", "sub-01", "sub-02", "sub-03")
    copy_first_to_third(root, LIKELY[name])
    ingested = preprocess(root)
    assert refusals(ingested) == {"sub-01": ["likely-duplicate"], "sub-03": ["likely-duplicate"]}
    (first,), _, (third,) = (verdict.findings for verdict in ingested.verdicts)
    assert (first.place, third.place) == ("image", "image")
    assert "a likely copy in sub-03;" in first.what
    assert "a likely copy in sub-01;" in third.what
    assert "give both the same patient label" in first.what


def test_one_mask_on_two_patients_is_a_likely_copy(tmp_path):
    root = draw_dataset(tmp_path / "bids", "sub-01", "sub-02", "sub-03")
    large_ijk = lesions()
    large_ijk[8:13, 11:17, 4:8] = 1
    save(mask_path(root, "sub-01"), large_ijk)
    save(mask_path(root, "sub-02"), np.flip(large_ijk, 0))
    ingested = preprocess(root)
    assert refusals(ingested) == {"sub-01": ["likely-duplicate"], "sub-02": ["likely-duplicate"]}
    assert (
        ingested.verdicts[0].findings[0].text().startswith("mask: wanted a mask of this patient only, found a likely")
    )


def test_a_changed_copy_of_the_same_patients_scan_is_another_visit(tmp_path):
    root = draw_dataset(tmp_path / "bids", "sub-01_ses-a", "sub-01_ses-b")
    voxels_ijk, affine = LIKELY["noise"](head(0), OBLIQUE)
    save(image_path(root, "sub-01_ses-b"), voxels_ijk, affine)
    assert refusals(preprocess(root)) == {}


def test_a_copy_that_reached_the_manifest_is_refused_when_subsets_are_drawn(tmp_path):
    """Two cohorts were preprocessed one by one, and their studies were put into one manifest."""
    roots = [draw_dataset(tmp_path / name, "sub-01", "sub-02") for name in ("a", "b")]
    for study, seed in (("sub-01", 5), ("sub-02", 6)):
        save(image_path(roots[1], study), head(seed))
    save(image_path(roots[1], "sub-02"), *LIKELY["noise"](head(0), OBLIQUE))
    first, second = (preprocess(root).manifest for root in roots)
    renamed = tuple(
        entry.model_copy(update={"study": f"sub-1{entry.patient}", "patient": f"1{entry.patient}"})
        for entry in second.studies
    )
    whole = first.changed(studies=(*first.studies, *renamed))
    with pytest.raises(DatasetError, match="sub-01 and sub-102 have an image that is likely a copy"):
        draw_split(whole, Target(cohort="ms", subsets=2, subset_size=2))


def test_studies_without_a_likeness_are_like_none():
    assert find_copies([Likeness()], [Likeness()]) == []


def test_a_small_mask_and_a_head_without_texture_have_no_likeness():
    assert mask_sha256(Volume(lesions(), OBLIQUE)) is None
    flat_ijk = np.where(head(0) > 100, 400.0, 0.0).astype(np.float32)
    assert fingerprint(Volume(flat_ijk, OBLIQUE), head_mask(flat_ijk)) == ""


def test_a_fingerprint_never_changes_because_stored_ones_are_compared_with_new_ones():
    drawn = likeness(head(0), OBLIQUE)
    assert drawn.canonical_sha256[0].startswith("514d19316cb4159d")
    assert drawn.fingerprints[0].startswith("YE4uvJg+OD2x/od3R+fc1/gP")
    assert len(drawn.fingerprints[0]) == 416


def test_thousands_of_drawn_noises_are_all_told_apart_and_each_is_like_itself():
    rng = np.random.default_rng(0)
    prints = [Likeness(fingerprints=(base64.b64encode(rng.bytes(312)).decode(),)) for _ in range(1500)]
    assert [(copy.first, copy.second) for copy in find_copies(prints, prints)] == [(n, n) for n in range(1500)]


def test_two_images_are_the_same_only_if_all_ranks_are():
    image_ijk = head(0).astype(np.float32)
    other_ijk = image_ijk.copy()
    other_ijk[12, 14, 6] += 1
    assert canonical_sha256(Volume(image_ijk, OBLIQUE)) != canonical_sha256(Volume(other_ijk, OBLIQUE))


def likeness(voxels_ijk: np.ndarray, affine: np.ndarray) -> Likeness:
    image = Volume(np.ascontiguousarray(voxels_ijk, dtype=np.float32), affine)
    return describe({"flair": image}, {"flair": head_mask(image.voxels)}, Volume(lesions(), OBLIQUE))


def test_simulated_patients_of_one_template_and_one_site_are_told_apart(tmp_path):
    simulate_cohort(CohortPlan(pathology="ms", studies=4, seed=3, spacing_mm=4.0), tmp_path / "bids")
    scans = [read_volume(path) for path in sorted((tmp_path / "bids").glob("sub-*/ses-*/anat/*_FLAIR.nii.gz"))]
    found = [likeness(scan.voxels, scan.affine) for scan in scans]
    assert len(found) == 4
    assert self_pairs(found) == []
    for change in (SAME_IMAGE | LIKELY).values():
        assert find_copies(found[:1], [likeness(*change(scans[0].voxels, scans[0].affine))])


def self_pairs(found: Sequence[Likeness]) -> list[tuple[int, int]]:
    return [(copy.first, copy.second) for copy in find_copies(found, found) if copy.first < copy.second]


REAL = {
    "ms-crosssectional": ["sub-cs07_ses-01", "sub-cs19_ses-01"],
    "ms-longitudinal": ["sub-long01_ses-01", "sub-long12_ses-01"],
    "glioma-brats2021": [f"sub-brats0{number}_ses-01" for number in (1476, 1477, 1479, 1481)],
}


def real_scan(folder: Path, dataset: str, study: str) -> Volume:
    return read_volume(folder / dataset / study.replace("_", "/") / "anat" / f"{study}_FLAIR.nii.gz")


@pytest.mark.slow
@pytest.mark.parametrize("study", ["sub-long01_ses-01", "sub-cs07_ses-01"])
def test_every_changed_copy_of_a_real_scan_is_found(real_data, study):
    dataset = next(name for name, studies in REAL.items() if study in studies)
    scan = real_scan(real_data, dataset, study)
    own = likeness(scan.voxels, scan.affine)
    for name, change in SAME_IMAGE.items():
        voxels_ijk, affine = change(scan.voxels, scan.affine)
        changed = Volume(np.ascontiguousarray(voxels_ijk, dtype=np.float32), affine)
        if name == "rescaled" and not np.array_equal(scan.voxels, np.rint(scan.voxels)):
            assert find_copies([own], [likeness(voxels_ijk, affine)])  # rounding merges neighbouring float values
        else:
            assert canonical_sha256(changed) == own.canonical_sha256[0], name
    for name, change in LIKELY.items():
        changed_own = likeness(*change(scan.voxels, scan.affine))
        assert not {*changed_own.canonical_sha256} & {*own.canonical_sha256}, name
        assert find_copies([own], [changed_own]), name


@pytest.mark.slow
def test_real_patients_of_one_scanner_or_one_space_are_told_apart(real_data):
    scans = [real_scan(real_data, dataset, study) for dataset, studies in REAL.items() for study in studies]
    assert self_pairs([likeness(scan.voxels, scan.affine) for scan in scans]) == []
