"""One drawn study is ingested; volumes and verdicts are found again in the next run."""

import json
import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lesionlab.errors import StoreUnreachable
from lesionlab.preprocessing.files import StudyFiles
from lesionlab.preprocessing.ingest import Recipe, attempt, check_study, ingest_study
from lesionlab.preprocessing.layouts.recognise import open_dataset
from lesionlab.store.objects import Store, open_store
from storage_schemas.tasks import TASKS
from tests.preprocessing.drawn import SHAPE, draw_dataset, image_path, lesions, mask_path, save

RECIPE = Recipe(TASKS["flair-single"], 2.0)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return draw_dataset(tmp_path / "bids", "sub-01")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store((tmp_path / "store").as_uri())


def opened(root: Path) -> StudyFiles:
    (files,) = open_dataset(root, RECIPE.task).studies
    return files


def codes(files: StudyFiles, store: Store, recipe: Recipe = RECIPE) -> list[str]:
    return [finding.code for finding in ingest_study(files, recipe, store.uri).verdict.findings]


def stored_verdicts(store: Store) -> list[str]:
    return [key for key in store.list("") if key.endswith(".verdict.json")]


def test_a_valid_study_leaves_its_volume_and_its_verdict(root, store):
    outcome = ingest_study(opened(root), RECIPE, store.uri)
    assert outcome.verdict.verdict == "pass"
    assert outcome.entry is not None
    assert any(outcome.entry.volume in key for key in store.list("sites"))
    assert len(stored_verdicts(store)) == 1


def test_a_refusal_is_found_again_without_reading_the_scan(root, store):
    save(image_path(root, "sub-01"), np.zeros(SHAPE, dtype=np.int16))
    assert codes(opened(root), store) == ["no-contrast"]
    (key,) = stored_verdicts(store)
    content = json.loads(store.get(key))
    content["findings"][0]["code"] = "not-grey"
    store.put(key, json.dumps(content).encode())
    assert codes(opened(root), store) == ["no-contrast"]  # damaged, so the scan was read again
    content = json.loads(store.get(key))
    del content["sha256"]
    content["findings"][0]["code"] = "not-grey"
    store.put(key, json.dumps(content).encode())
    assert codes(opened(root), store) == ["not-grey"]


def test_a_corrected_file_gets_a_new_verdict(root, store):
    save(mask_path(root, "sub-01"), lesions()[::2])
    assert codes(opened(root), store) == ["grid-mismatch"]
    save(mask_path(root, "sub-01"), lesions())
    assert codes(opened(root), store) == []


def test_a_changed_sidecar_gives_a_new_verdict_and_the_same_volume(root, store):
    first = ingest_study(opened(root), RECIPE, store.uri)
    image_path(root, "sub-01").with_name("sub-01_FLAIR.json").write_text('{"EchoTime": 0.1}')
    second = ingest_study(opened(root), RECIPE, store.uri)
    assert second.entry == first.entry
    assert len(stored_verdicts(store)) == 2


def test_a_volume_without_a_verdict_is_completed(root, store):
    before = ingest_study(opened(root), RECIPE, store.uri)
    store.delete(*stored_verdicts(store))
    assert ingest_study(opened(root), RECIPE, store.uri) == before
    assert len(stored_verdicts(store)) == 1


def test_an_unexpected_error_is_a_finding_and_its_verdict_is_not_stored(root, store, caplog):
    too_fine = Recipe(RECIPE.task, 1e-3)  # no machine has memory for 10^14 voxels
    assert codes(opened(root), store, too_fine) == ["not-finished"]
    assert store.list("") == []
    assert "MemoryError" in caplog.text


def test_the_log_of_a_failure_has_the_traceback_but_no_data(root, caplog):
    def stumble() -> None:
        int("".join(reversed("htimS")))

    with caplog.at_level(logging.ERROR):
        (finding,) = attempt(opened(root), stumble)
    assert "ValueError" in finding.what
    assert "in stumble" in caplog.text
    assert "Smith" not in caplog.text + finding.what


def test_an_unreachable_store_is_not_a_fault_of_the_study(root):
    def no_answer() -> None:
        raise StoreUnreachable("nobody there")

    with pytest.raises(StoreUnreachable):
        attempt(opened(root), no_answer)


def test_a_file_missing_on_this_machine_is_reported_with_the_need_for_a_shared_file_system(root, store):
    files = opened(root)
    image_path(root, "sub-01").unlink()
    (finding,) = ingest_study(files, RECIPE, store.uri).verdict.findings
    assert (finding.code, finding.place) == ("missing-file", "flair")
    assert "shared file system" in finding.what
    assert str(root) not in finding.what
    assert store.list("") == []


@pytest.mark.parametrize("registration", [False, True])
def test_a_check_gives_the_same_verdict_and_images_as_ingestion(root, store, registration):
    made = ingest_study(opened(root), RECIPE, store.uri)
    checked = check_study(opened(root), RECIPE, registration=registration)
    assert (checked.verdict, checked.images) == (made.verdict, made.images)
    assert checked.entry is None


def test_a_study_refused_by_privacy_screening_is_read_too_so_that_every_fault_is_reported_at_once(root, store):
    files = opened(root)
    named = replace(files, sidecars={"flair": {"PatientName": "somebody"}})
    save(mask_path(root, "sub-01"), lesions()[::2])
    found = [finding.code for finding in check_study(named, RECIPE, registration=False).verdict.findings]
    assert found == ["identifier", "grid-mismatch"]
    assert codes(named, store) == found
    assert store.list("sites") == stored_verdicts(store)
