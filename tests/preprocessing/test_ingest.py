"""One drawn study in; what becomes of it, and what is found again the next time."""

import json
import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lesionlab.errors import StoreUnreachable
from lesionlab.preprocessing.files import StudyFiles
from lesionlab.preprocessing.ingest import Recipe, attempt, bring_in, check_study
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
    return [finding.code for finding in bring_in(files, recipe, store.uri).verdict.findings]


def stored_verdicts(store: Store) -> list[str]:
    return [key for key in store.list("") if key.endswith(".verdict.json")]


def test_a_sound_study_leaves_its_volume_and_its_verdict(root, store):
    outcome = bring_in(opened(root), RECIPE, store.uri)
    assert outcome.verdict.verdict == "pass"
    assert outcome.entry is not None
    assert any(outcome.entry.volume in key for key in store.list("studies"))
    assert len(stored_verdicts(store)) == 1


def test_a_refusal_is_found_again_without_a_look_at_the_scan(root, store):
    save(image_path(root, "sub-01"), np.zeros(SHAPE, dtype=np.int16))
    assert codes(opened(root), store) == ["no-contrast"]
    (key,) = stored_verdicts(store)
    content = json.loads(store.get(key))
    content["findings"][0]["code"] = "not-grey"
    store.put(key, json.dumps(content).encode())
    assert codes(opened(root), store) == ["not-grey"]


def test_a_corrected_file_gets_another_verdict(root, store):
    save(mask_path(root, "sub-01"), lesions()[::2])
    assert codes(opened(root), store) == ["grid-mismatch"]
    save(mask_path(root, "sub-01"), lesions())
    assert codes(opened(root), store) == []


def test_a_sidecar_that_changed_gets_another_verdict_and_the_same_volume(root, store):
    first = bring_in(opened(root), RECIPE, store.uri)
    image_path(root, "sub-01").with_name("sub-01_FLAIR.json").write_text('{"EchoTime": 0.1}')
    second = bring_in(opened(root), RECIPE, store.uri)
    assert second.entry == first.entry
    assert len(stored_verdicts(store)) == 2


def test_a_volume_whose_verdict_was_not_written_any_more_is_completed(root, store):
    before = bring_in(opened(root), RECIPE, store.uri)
    store.delete(*stored_verdicts(store))
    assert bring_in(opened(root), RECIPE, store.uri) == before
    assert len(stored_verdicts(store)) == 1


def test_what_the_platform_could_not_finish_is_a_finding_and_nobody_remembers_it(root, store, caplog):
    too_fine = Recipe(RECIPE.task, 1e-3)  # no machine has memory for 10^14 voxels
    assert codes(opened(root), store, too_fine) == ["not-finished"]
    assert store.list("") == []
    assert "MemoryError" in caplog.text


def test_the_log_of_a_failure_says_where_and_never_what_was_read(root, caplog):
    def stumble() -> None:
        int("".join(reversed("htimS")))

    with caplog.at_level(logging.ERROR):
        (finding,) = attempt(opened(root), stumble)
    assert "ValueError" in finding.what
    assert "in stumble" in caplog.text
    assert "Smith" not in caplog.text + finding.what


def test_a_store_that_does_not_answer_is_no_fault_of_the_study(root):
    def no_answer() -> None:
        raise StoreUnreachable("nobody there")

    with pytest.raises(StoreUnreachable):
        attempt(opened(root), no_answer)


def test_a_file_that_this_machine_does_not_see_is_named_with_what_a_cluster_needs(root, store):
    files = opened(root)
    image_path(root, "sub-01").unlink()
    (finding,) = bring_in(files, RECIPE, store.uri).verdict.findings
    assert (finding.code, finding.place) == ("missing-file", "flair")
    assert "shared file system" in finding.what
    assert str(root) not in finding.what
    assert store.list("") == []


@pytest.mark.parametrize("registration", [False, True])
def test_a_check_gives_the_verdict_and_the_images_that_an_ingestion_gives(root, store, registration):
    made = bring_in(opened(root), RECIPE, store.uri)
    checked = check_study(opened(root), RECIPE, registration=registration)
    assert (checked.verdict, checked.images) == (made.verdict, made.images)
    assert checked.entry is None


def test_what_the_privacy_gate_refuses_is_read_too_so_that_every_fault_is_told_at_once(root, store):
    files = opened(root)
    told = replace(files, sidecars={"flair": {"PatientName": "somebody"}})
    save(mask_path(root, "sub-01"), lesions()[::2])
    found = [finding.code for finding in check_study(told, RECIPE, registration=False).verdict.findings]
    assert found == ["identifier", "grid-mismatch"]
    assert codes(told, store) == found
    assert store.list("studies") == stored_verdicts(store)
