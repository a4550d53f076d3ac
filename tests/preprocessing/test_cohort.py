"""Drawn datasets, sound and faulty, in; the store's volumes and manifest, or every fault, out."""

import json
from pathlib import Path

import numpy as np
import pytest

from lesionlab.errors import DatasetError
from lesionlab.preprocessing.cohort import Ingested, plan_cohort, preprocess_cohort
from lesionlab.preprocessing.ingest import Recipe
from lesionlab.preprocessing.layouts import open_dataset
from lesionlab.store.documents import read_document, read_pointer
from lesionlab.store.objects import Store, open_store
from storage_schemas.keys import CURRENT_MANIFEST, MANIFEST
from storage_schemas.manifests import Manifest
from storage_schemas.tasks import TASKS
from tests.preprocessing.drawn import SHAPE, draw_dataset, head, image_path, lesions, mask_path, save

TASK = TASKS["flair-single"]
CODE = "0123456789abcdef"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store((tmp_path / "store").as_uri())


def ingest(store: Store, root: Path, code: str = CODE, scrub: bool = False, site=None, **options) -> Ingested:
    dataset = open_dataset(root, TASK, site)
    return preprocess_cohort(store, dataset, Recipe(TASK, 2.0, code, scrub), cohort="drawn", **options)


def bring_in(store: Store, root: Path, **options) -> Manifest:
    return ingest(store, root, **options).manifest


def plan(store: Store, root: Path) -> list[str]:
    return plan_cohort(store, open_dataset(root, TASK), Recipe(TASK, 2.0, CODE))


def one_lesion_less() -> np.ndarray:
    """i j k, uint8."""
    mask_ijk = lesions()
    mask_ijk[15, 17, 6] = 0
    return mask_ijk


def changes(folder: Path) -> dict[Path, int]:
    """When each file of the store was last written."""
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def spoil(root: Path) -> None:
    """Every kind of fault, one study each; `sub-01` stays sound."""
    mask_path(root, "sub-02").unlink()
    image_path(root, "sub-03").write_bytes(image_path(root, "sub-03").read_bytes()[:200])
    save(mask_path(root, "sub-04"), lesions()[::2])
    save(image_path(root, "sub-05"), head(5))
    save(image_path(root, "sub-06"), head(5).astype(np.float32))


SIX = [f"sub-0{number}" for number in range(1, 7)]


def test_a_sound_dataset_becomes_volumes_and_a_current_manifest(tmp_path, store):
    root = draw_dataset(tmp_path / "bids", "sub-02", "sub-01")
    told: list[tuple[int, int, str]] = []
    manifest = bring_in(store, root, site="clinic", progress=lambda *step: told.append(step))
    assert [entry.study for entry in manifest.studies] == ["sub-01", "sub-02"]
    assert {entry.site for entry in manifest.studies} == {"clinic"}
    assert [entry.lesions for entry in manifest.studies] == [3, 3]
    assert not manifest.excluded
    assert told == [(0, 2, ""), (1, 2, "sub-01"), (2, 2, "sub-02")]
    current = read_pointer(store, CURRENT_MANIFEST.build(cohort="drawn"))
    assert current == manifest.digest()
    assert read_document(store, MANIFEST.build(cohort="drawn", digest=current), Manifest) == manifest


def test_a_second_attempt_writes_no_volume_again_and_gives_the_same_manifest(tmp_path, store):
    root = draw_dataset(tmp_path / "bids", "sub-01", "sub-02")
    first = bring_in(store, root)
    before = changes(tmp_path / "store" / "studies")
    assert bring_in(store, root) == first
    assert changes(tmp_path / "store" / "studies") == before


def test_a_finished_volume_is_listed_by_what_it_says_itself_without_a_look_at_the_scan(tmp_path, store):
    root = draw_dataset(tmp_path / "bids", "sub-01")
    bring_in(store, root)
    metadata = next((tmp_path / "store" / "studies").glob("*/sub-01/*.zarr/zarr.json"))
    content = json.loads(metadata.read_text())
    content["attributes"]["manifest_entry"]["lesions"] = 77
    metadata.write_text(json.dumps(content))
    assert bring_in(store, root).studies[0].lesions == 77


def test_only_what_changed_or_was_damaged_is_made_anew(tmp_path, store):
    root = draw_dataset(tmp_path / "bids", "sub-01", "sub-02", "sub-03")
    first = bring_in(store, root)
    before = changes(tmp_path / "store" / "studies")
    save(mask_path(root, "sub-02"), one_lesion_less())
    last_written = next((tmp_path / "store" / "studies").glob("*/sub-03/*.zarr/zarr.json"))
    last_written.unlink()
    second = bring_in(store, root)
    assert [new == old for new, old in zip(second.studies, first.studies, strict=True)] == [True, False, True]
    after = changes(tmp_path / "store" / "studies")
    assert {path for path in before if "sub-01" in path.parts and after[path] != before[path]} == set()
    assert last_written in after


def test_other_code_makes_other_volumes(tmp_path, store):
    root = draw_dataset(tmp_path / "bids", "sub-01")
    volumes = {bring_in(store, root, code=code).studies[0].volume for code in (CODE, "f" * 16)}
    assert len(volumes) == 2


def test_two_stores_hold_the_same_bytes(tmp_path, store):
    root = draw_dataset(tmp_path / "bids", "sub-01")
    other = open_store((tmp_path / "other").as_uri())
    bring_in(store, root)
    bring_in(other, root)
    assert store.list("") == other.list("")
    assert [store.get(key) for key in store.list("")] == [other.get(key) for key in other.list("")]


def test_any_fault_stops_at_the_door_with_all_faults_and_no_manifest(tmp_path, store):
    root = draw_dataset(tmp_path / "bids", *SIX)
    spoil(root)
    with pytest.raises(DatasetError) as refusal:
        bring_in(store, root)
    *lines, remedy = str(refusal.value).splitlines()
    assert [line.split(":")[0] for line in lines] == [
        "sub-02 mask",
        "sub-03 FLAIR",
        "sub-04 FLAIR",
        "sub-05 image",
        "sub-06 image",
    ]
    assert remedy == "correct these studies, or go on without them: --exclude-faulty"
    assert store.list("manifests") == []


def test_faulty_studies_are_excluded_on_request_and_named_in_the_manifest(tmp_path, store):
    root = draw_dataset(tmp_path / "bids", *SIX)
    spoil(root)
    manifest = bring_in(store, root, exclude_faulty=True)
    assert [entry.study for entry in manifest.studies] == ["sub-01"]
    assert [exclusion.study for exclusion in manifest.excluded] == SIX[1:]


@pytest.mark.parametrize("exclude_faulty", [False, True])
def test_a_dataset_of_faulty_studies_only_leaves_nothing(tmp_path, store, exclude_faulty):
    root = draw_dataset(tmp_path / "bids", "sub-01", "sub-02")
    mask_path(root, "sub-01").unlink()
    save(image_path(root, "sub-02"), np.zeros(SHAPE, dtype=np.int16))
    with pytest.raises(DatasetError, match="no study is without fault") as refusal:
        bring_in(store, root, exclude_faulty=exclude_faulty)
    assert [line.split()[0] for line in refusal.value.args[:2]] == ["sub-01", "sub-02"]
    assert store.list("") == []


def test_a_plan_says_what_would_be_done_and_does_nothing(tmp_path, store):
    root = draw_dataset(tmp_path / "bids", "sub-01", "sub-02", "sub-03")
    bring_in(store, root)
    save(mask_path(root, "sub-02"), one_lesion_less())
    mask_path(root, "sub-03").unlink()
    before = changes(tmp_path / "store")
    done, to_do, faulty = plan(store, root)
    assert done == "sub-01: in the store already, site site-1"
    assert to_do == "sub-02: to be done, site site-1"
    assert faulty.startswith("sub-03 mask: wanted derivatives/manual/sub-03/anat/")
    assert changes(tmp_path / "store") == before
