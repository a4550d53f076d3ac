"""`lesionlab preprocess` prints a summary, resumes after any stop, and gives the same bytes however it runs."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from jobs.shared.dataset_screening import open_screened
from lesionlab.experiments.manifests import current_manifest
from lesionlab.orchestration.pool import pool_map
from lesionlab.preprocessing.cohort import Each, preprocess_cohort
from lesionlab.preprocessing.ingest import Recipe, lost
from lesionlab.store.objects import Store, open_store
from storage_schemas.tasks import TASKS
from tests.jobs.conftest import Lesionlab
from tests.preprocessing.drawn import draw_dataset, image_path, mask_path

TEN = [f"sub-{number:02d}" for number in range(1, 11)]
FORTY = tuple(f"sub-{number:02d}" for number in range(1, 41))


def contents(uri: str) -> dict[str, bytes]:
    store = open_store(uri)
    return {key: store.get(key) for key in store.list("")}


def verdicts(store: Store) -> int:
    return sum(key.endswith(".verdict.json") for key in store.list("sites"))


def stopped_midway(dataset: Path, folder: Path) -> tuple[subprocess.Popen[str], str]:
    """The running command, paused after it has finished a few studies, and its store.

    On a busy machine it may have finished them all before it could be paused; then another is started.
    """
    for number in range(10):
        uri = (folder / f"stopped-{number}").as_uri()
        process = started(dataset, uri)
        if verdicts(open_store(uri)) < len(FORTY):
            return process, uri
        process.kill()
        process.communicate()
    raise AssertionError("wanted a command that is stopped midway, found all of them finished")


def started(dataset: Path, uri: str) -> subprocess.Popen[str]:
    """The running command, paused after it has finished a few studies."""
    command = [sys.executable, "-m", "jobs.preprocess", str(dataset), "--cohort", "ms", "--store", uri, "--plain"]
    process = subprocess.Popen(
        command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"}
    )
    deadline = time.monotonic() + 120
    while True:
        # It is paused while its verdicts are counted, so that it cannot finish in between on a busy machine.
        process.send_signal(signal.SIGSTOP)
        if verdicts(open_store(uri)) >= 2:
            return process
        process.send_signal(signal.SIGCONT)
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.02)


def test_a_killed_command_run_again_gives_the_same_bytes_as_an_undisturbed_one(
    lesionlab: Lesionlab, tmp_path: Path
) -> None:
    dataset = draw_dataset(tmp_path / "bids", *FORTY)
    undisturbed = (tmp_path / "undisturbed").as_uri()
    process, stopped = stopped_midway(dataset, tmp_path)
    process.kill()
    process.wait()
    assert verdicts(open_store(stopped)) < len(FORTY)
    assert not [key for key in open_store(stopped).list("sites") if "/cohorts/" in key]
    for uri in (stopped, undisturbed):
        assert lesionlab("preprocess", dataset, "--cohort", "ms", "--store", uri, "--plain").exit_code == 0
    assert contents(stopped) == contents(undisturbed)


def test_the_summary_counts_verdicts_and_names_the_tables(
    lesionlab: Lesionlab, tmp_path: Path, file_store_uri: str
) -> None:
    dataset = draw_dataset(tmp_path / "bids", "sub-01", "sub-02")
    mask_path(dataset, "sub-01").unlink()
    output = lesionlab("preprocess", dataset, "--cohort", "ms", "--exclude-faulty").output
    assert "1 passed, 0 repaired, 1 quarantined" in output
    tables = re.findall(r"sites/\S+[.]parquet", output)
    assert len(tables) == 2
    assert all(open_store(file_store_uri).exists(table) for table in tables)


def test_studies_of_other_sites_that_stay_in_the_cohort_are_told(lesionlab: Lesionlab, tmp_path: Path) -> None:
    one, other = draw_dataset(tmp_path / "one", "sub-01"), draw_dataset(tmp_path / "other", *TEN[:3])
    image_path(other, "sub-01").unlink()
    mask_path(other, "sub-01").unlink()
    arguments = ("--cohort", "ms", "--plain", "--site")
    assert "it also has" not in lesionlab("preprocess", other, *arguments, "north").output
    told = "it also has 2 studies of north from before"
    assert told in lesionlab("preprocess", one, *arguments, "south").output
    assert told not in lesionlab("preprocess", one, *arguments, "south", "--replace").output


def test_a_study_name_like_a_patients_name_is_refused_unless_hashed_and_never_printed(
    lesionlab: Lesionlab, tmp_path: Path, file_store_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = draw_dataset(tmp_path / "bids", "sub-Smith", "sub-02")
    refused = lesionlab("preprocess", dataset, "--cohort", "ms")
    assert refused.exit_code == 1
    assert "--hash-ids" in refused.output
    assert "Smith" not in refused.output
    monkeypatch.setenv("LESIONLAB_ID_SALT", "0123456789abcdef0123456789abcdef")
    assert lesionlab("preprocess", dataset, "--cohort", "ms", "--hash-ids").exit_code == 0
    assert not [key for key, data in contents(file_store_uri).items() if b"Smith" in key.encode() + data]
    names = {entry.study for entry in current_manifest(open_store(file_store_uri), "ms").studies}
    assert len(names) == 2
    assert all(re.fullmatch(r"sub-[0-9a-f]{12}", name) for name in names)


def test_a_column_of_patient_names_is_refused_or_with_scrub_reported(lesionlab: Lesionlab, tmp_path: Path) -> None:
    dataset = draw_dataset(tmp_path / "bids", "sub-01")
    (dataset / "participants.tsv").write_text("participant_id\tpatient_name\nsub-01\tJohn Smith\n")
    refused = lesionlab("preprocess", dataset, "--cohort", "ms")
    assert refused.exit_code == 1
    assert "participants.tsv column patient_name" in refused.output
    scrubbed = lesionlab("preprocess", dataset, "--cohort", "ms", "--scrub")
    assert scrubbed.exit_code == 0
    assert "never stored" in scrubbed.output
    assert "Smith" not in refused.output + scrubbed.output


@pytest.mark.slow
def test_parallel_and_sequential_preprocessing_give_the_same_bytes(tmp_path: Path) -> None:
    dataset = draw_dataset(tmp_path / "bids", *TEN)
    image_path(dataset, "sub-03").write_bytes(image_path(dataset, "sub-03").read_bytes()[:200])
    recipe = Recipe(TASKS["flair-single"], 1.0, scrub=False)
    ways: dict[str, Each] = {
        "parallel": partial(pool_map, memory_bytes=2**30, lost=lost, workers=2),
        "plain": map,
    }
    for name, each in ways.items():
        store = open_store((tmp_path / name).as_uri())
        studies = open_screened(dataset, recipe, None, hash_ids=False)
        preprocess_cohort(store, studies, recipe, cohort="ms", exclude_faulty=True, each=each)
    assert contents((tmp_path / "parallel").as_uri()) == contents((tmp_path / "plain").as_uri())
