"""Valid and faulty drawn datasets become volumes and a manifest in the store, or a report of every fault."""

import io
import json
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest

from lesionlab.errors import DatasetError
from lesionlab.experiments.manifests import current_manifest, manifest_facts
from lesionlab.preprocessing.cohort import Ingested, plan_cohort, preprocess_cohort, without_copies
from lesionlab.preprocessing.ingest import Recipe, StudyOutcome, lost
from lesionlab.preprocessing.layouts.recognise import open_dataset
from lesionlab.store.documents import read_pointer
from lesionlab.store.objects import Store, open_store
from storage_schemas.keys import CURRENT_PART, VERDICTS
from storage_schemas.manifests import Manifest
from storage_schemas.tasks import TASKS
from storage_schemas.verdicts import StudyVerdict
from storage_schemas.versions import CURRENT
from tests.preprocessing.drawn import SHAPE, draw_dataset, head, image_path, lesions, mask_path, save

TASK = TASKS["flair-single"]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store((tmp_path / "store").as_uri())


def ingest(store: Store, root: Path, scrub: bool = False, site=None, **options) -> Ingested:
    dataset = open_dataset(root, TASK, site)
    return preprocess_cohort(store, dataset, Recipe(TASK, 2.0, scrub), cohort="drawn", **options)


def preprocess(store: Store, root: Path, **options) -> Manifest:
    return ingest(store, root, **options).manifest


def plan(store: Store, root: Path) -> list[str]:
    return plan_cohort(store, open_dataset(root, TASK), Recipe(TASK, 2.0))


def one_lesion_less() -> np.ndarray:
    """i j k, uint8."""
    mask_ijk = lesions()
    mask_ijk[15, 17, 6] = 0
    return mask_ijk


def changes(folder: Path) -> dict[Path, int]:
    """Modification time of each file in the store."""
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def spoil(root: Path) -> None:
    """Make one study faulty for each kind of fault; `sub-01` stays valid."""
    mask_path(root, "sub-02").unlink()
    image_path(root, "sub-03").write_bytes(image_path(root, "sub-03").read_bytes()[:200])
    save(mask_path(root, "sub-04"), lesions()[::2])
    save(image_path(root, "sub-05"), head(5))
    save(image_path(root, "sub-06"), head(5).astype(np.float32))


SIX = [f"sub-0{number}" for number in range(1, 7)]


def test_a_valid_dataset_becomes_volumes_and_a_current_manifest(tmp_path, store):
    root = draw_dataset(tmp_path / "bids", "sub-02", "sub-01")
    steps: list[tuple[int, int, str]] = []
    manifest = preprocess(store, root, site="clinic", progress=lambda *step: steps.append(step))
    assert [entry.study for entry in manifest.studies] == ["sub-01", "sub-02"]
    assert {entry.site for entry in manifest.studies} == {"clinic"}
    assert [entry.lesions for entry in manifest.studies] == [3, 3]
    assert not manifest.excluded
    assert steps == [(0, 2, ""), (1, 2, "sub-01"), (2, 2, "sub-02")]
    assert current_manifest(store, "drawn") == manifest
    assert read_pointer(store, CURRENT_PART.build(site="clinic", cohort="drawn")) == manifest.parts["clinic"]


def test_a_second_run_writes_no_volume_and_gives_the_same_manifest(tmp_path, store):
    root = draw_dataset(tmp_path / "bids", "sub-01", "sub-02")
    first = preprocess(store, root)
    before = changes(tmp_path / "store" / "sites" / "site-1" / "volumes")
    assert preprocess(store, root) == first
    assert changes(tmp_path / "store" / "sites" / "site-1" / "volumes") == before


def test_the_manifest_entry_of_a_finished_volume_is_read_from_the_volume_itself(tmp_path, store):
    root = draw_dataset(tmp_path / "bids", "sub-01")
    preprocess(store, root)
    metadata = next((tmp_path / "store" / "sites").glob("*/volumes/sub-01/*.zarr/zarr.json"))
    content = json.loads(metadata.read_text())
    content["attributes"]["manifest_entry"]["lesions"] = 77
    metadata.write_text(json.dumps(content))
    assert preprocess(store, root).studies[0].lesions != 77  # damaged, so the scan was read again
    del content["attributes"]["checksums"]
    metadata.write_text(json.dumps(content))
    assert preprocess(store, root).studies[0].lesions == 77


def test_only_changed_or_damaged_volumes_are_computed_again(tmp_path, store):
    root = draw_dataset(tmp_path / "bids", "sub-01", "sub-02", "sub-03")
    first = preprocess(store, root)
    before = changes(tmp_path / "store" / "sites" / "site-1" / "volumes")
    save(mask_path(root, "sub-02"), one_lesion_less())
    last_written = next((tmp_path / "store" / "sites").glob("*/volumes/sub-03/*.zarr/zarr.json"))
    last_written.unlink()
    second = preprocess(store, root)
    assert [new == old for new, old in zip(second.studies, first.studies, strict=True)] == [True, False, True]
    after = changes(tmp_path / "store" / "sites" / "site-1" / "volumes")
    assert {path for path in before if "sub-01" in path.parts and after[path] != before[path]} == set()
    assert last_written in after


def test_another_result_version_makes_other_volumes(tmp_path, store, monkeypatch):
    root = draw_dataset(tmp_path / "bids", "sub-01")
    before = preprocess(store, root)
    newer = CURRENT.model_copy(update={"preprocessing": CURRENT.preprocessing + 1})
    monkeypatch.setattr("lesionlab.preprocessing.study.CURRENT", newer)
    assert preprocess(store, root).studies[0].volume != before.studies[0].volume


def test_two_stores_contain_the_same_bytes(tmp_path, store):
    root = draw_dataset(tmp_path / "bids", "sub-01")
    other = open_store((tmp_path / "other").as_uri())
    preprocess(store, root)
    preprocess(other, root)
    assert store.list("") == other.list("")
    assert [store.get(key) for key in store.list("")] == [other.get(key) for key in other.list("")]


def test_faulty_studies_raise_all_their_faults_and_no_manifest_is_written(tmp_path, store):
    root = draw_dataset(tmp_path / "bids", *SIX)
    spoil(root)
    with pytest.raises(DatasetError) as refusal:
        preprocess(store, root)
    *lines, remedy = str(refusal.value).splitlines()
    assert [line.split(":")[0].lower() for line in lines] == [
        "sub-02 mask",
        "sub-03 flair",
        "sub-04 mask",
        "sub-05 image",
        "sub-06 image",
    ]
    assert remedy.startswith("1 passed, 0 repaired, 5 quarantined;")
    assert "--exclude-faulty" in remedy
    assert not [key for key in store.list("sites") if "/cohorts/" in key]


def test_faulty_studies_are_excluded_on_request_and_listed_in_the_manifest(tmp_path, store):
    root = draw_dataset(tmp_path / "bids", *SIX)
    spoil(root)
    manifest = preprocess(store, root, exclude_faulty=True)
    assert [entry.study for entry in manifest.studies] == ["sub-01"]
    assert [exclusion.study for exclusion in manifest.excluded] == SIX[1:]


@pytest.mark.parametrize("exclude_faulty", [False, True])
def test_a_dataset_with_only_faulty_studies_leaves_no_volume_and_no_manifest(tmp_path, store, exclude_faulty):
    root = draw_dataset(tmp_path / "bids", "sub-01", "sub-02")
    mask_path(root, "sub-01").unlink()
    save(image_path(root, "sub-02"), np.zeros(SHAPE, dtype=np.int16))
    with pytest.raises(DatasetError, match="no study passed") as refusal:
        preprocess(store, root, exclude_faulty=exclude_faulty)
    assert [line.split()[0] for line in refusal.value.args[:2]] == ["sub-01", "sub-02"]
    assert [key for key in store.list("") if not key.endswith(".verdict.json")] == []


def test_a_plan_says_what_would_be_done_and_writes_nothing(tmp_path, store):
    root = draw_dataset(tmp_path / "bids", "sub-01", "sub-02", "sub-03", "sub-04")
    save(mask_path(root, "sub-04"), lesions()[::2])
    preprocess(store, root, exclude_faulty=True)
    save(mask_path(root, "sub-02"), one_lesion_less())
    mask_path(root, "sub-03").unlink()
    before = changes(tmp_path / "store")
    done, to_do, faulty, known = plan(store, root)
    assert done == "sub-01: already in the store, site site-1"
    assert to_do == "sub-02: to be preprocessed, site site-1"
    assert faulty.startswith("sub-03 mask: wanted derivatives/manual/sub-03/anat/")
    assert known == "sub-04: already quarantined, site site-1"
    assert changes(tmp_path / "store") == before


def test_the_verdict_table_has_one_row_per_finding_or_per_study_without_findings(tmp_path, store):
    root = draw_dataset(tmp_path / "bids", *SIX)
    spoil(root)
    manifest = preprocess(store, root, exclude_faulty=True)
    key = VERDICTS.build(site="site-1", cohort="drawn", digest=manifest.parts["site-1"])
    rows = pyarrow.parquet.read_table(io.BytesIO(store.get(key))).to_pylist()
    assert [row["study"] for row in rows] == SIX
    assert [row["verdict"] for row in rows] == ["pass", *["quarantined"] * 5]
    assert [row["code"] for row in rows[3:]] == ["grid-mismatch", "duplicate-image", "duplicate-image"]
    assert rows[0] | {"patient": "01", "site": "site-1"} == rows[0]
    assert rows[0]["code"] is rows[0]["what"] is rows[0]["repaired"] is None


def test_the_facts_table_lists_the_studies_of_the_manifest(tmp_path, store):
    root = draw_dataset(tmp_path / "bids", "sub-01", "sub-02", "sub-03")
    mask_path(root, "sub-02").unlink()
    (root / "participants.tsv").write_text("participant_id\tsex\tage\nsub-01\tF\t34\nsub-02\tM\t50\n")
    manifest = preprocess(store, root, exclude_faulty=True)
    facts = manifest_facts(store, manifest)
    assert [(fact.study, fact.sex, fact.age_years) for fact in facts] == [("sub-01", "F", 34), ("sub-03", None, None)]


def test_the_order_in_which_studies_finish_changes_nothing(tmp_path, store):
    root = draw_dataset(tmp_path / "bids", *SIX)
    spoil(root)
    other = open_store((tmp_path / "other").as_uri())
    preprocess(store, root, exclude_faulty=True)
    preprocess(other, root, exclude_faulty=True, each=lambda work, studies: map(work, reversed(studies)))
    assert contents(store) == contents(other)


def test_a_study_whose_process_was_killed_stops_no_other_and_is_retried_in_the_next_run(tmp_path, store):
    root = draw_dataset(tmp_path / "bids", "sub-01", "sub-02", "sub-03")

    def losing(work, studies):
        return (lost(files) if files.study == "sub-02" else work(files) for files in studies)

    first = ingest(store, root, exclude_faulty=True, each=losing)
    assert [entry.study for entry in first.manifest.studies] == ["sub-01", "sub-03"]
    assert [finding.code for finding in first.verdicts[1].findings] == ["not-finished"]
    second = preprocess(store, root)
    assert [entry.study for entry in second.studies] == ["sub-01", "sub-02", "sub-03"]


def test_an_image_shared_by_two_patients_quarantines_both(tmp_path, store):
    root = draw_dataset(tmp_path / "bids", "sub-01", "sub-02", "sub-03")
    save(image_path(root, "sub-03"), head(0).astype(np.float32))
    refused = {
        verdict.study: verdict for verdict in ingest(store, root, exclude_faulty=True).verdicts if verdict.findings
    }
    assert set(refused) == {"sub-01", "sub-03"}
    assert "sub-03" in refused["sub-01"].findings[0].what
    assert "sub-01" in refused["sub-03"].findings[0].what


def test_a_follow_up_image_of_one_patient_that_is_the_initial_image_of_another_quarantines_both():
    outcomes = [
        StudyOutcome(StudyVerdict(study=f"sub-{patient}", patient=patient, site="s"), images=images)
        for patient, images in (("1", ("a" * 64, "b" * 64)), ("2", ("c" * 64, "a" * 64)), ("3", ("d" * 64, "e" * 64)))
    ]
    assert [outcome.verdict.verdict for outcome in without_copies(outcomes)] == ["quarantined", "quarantined", "pass"]


def test_an_image_shared_by_two_studies_of_one_patient_is_accepted(tmp_path, store):
    root = draw_dataset(tmp_path / "bids", "sub-01_ses-a", "sub-01_ses-b")
    save(image_path(root, "sub-01_ses-b"), head(0))
    assert len(preprocess(store, root).studies) == 2


def test_identifiers_quarantine_a_study_unless_scrubbed_and_are_reported_either_way(tmp_path, store):
    root = draw_dataset(tmp_path / "bids", "sub-01", "sub-02")
    sidecar = image_path(root, "sub-02").with_name("sub-02_FLAIR.json")
    sidecar.write_text('{"PatientName": "Smith^John", "EchoTime": 0.1}')
    refused = ingest(store, root, exclude_faulty=True).verdicts[1]
    assert (refused.verdict, refused.findings[0].code) == ("quarantined", "identifier")
    scrubbed = ingest(store, root, scrub=True).verdicts[1]
    assert (scrubbed.verdict, scrubbed.findings[0].code) == ("repaired", "identifier")
    assert not [key for key in store.list("") if b"Smith" in store.get(key)]


def contents(store: Store) -> dict[str, bytes]:
    return {key: store.get(key) for key in store.list("")}
