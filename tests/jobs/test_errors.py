"""A user error gives one clear message and a non-zero exit code, and leaves nothing half-written."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from lesionlab.store.objects import open_store
from tests.jobs.conftest import Lesionlab
from tests.preprocessing.drawn import draw_dataset, image_path, mask_path
from tests.s3_server import S3Server


def nothing_complete(uri: str) -> bool:
    """No part of a cohort, manifest, model, ledger entry or report: nothing that a later stage takes as complete."""
    store = open_store(uri)
    parts = [key for key in store.list("sites/") if key.split("/")[2] == "cohorts"]
    return not parts and not any(store.list(place) for place in ("manifests/", "models/", "ledger/", "reports/"))


def test_an_unknown_option_is_a_usage_error(lesionlab: Lesionlab) -> None:
    result = lesionlab("preprocess", "somewhere", "--cohrt", "ms")
    assert result.exit_code == 2
    assert "--cohrt" in result.output


def test_a_missing_option_is_named(lesionlab: Lesionlab, tmp_path: Path) -> None:
    result = lesionlab("preprocess", tmp_path)
    assert result.exit_code == 2
    assert "--cohort" in result.output


@pytest.mark.parametrize(
    "arguments",
    [("preprocess", ".", "--cohort", "My Cohort"), ("analyse", "../demo"), ("evaluate", "a/b", "--model", "m")],
    ids=["cohort", "experiment", "parent folder"],
)
def test_an_invalid_name_is_refused_before_anything_is_done(
    lesionlab: Lesionlab, arguments: tuple[str, ...], file_store_uri: str
) -> None:
    result = lesionlab(*arguments)
    assert result.exit_code == 2
    assert "lower-case letters" in result.output
    assert open_store(file_store_uri).list("") == []


def test_an_unknown_pathology_is_named_with_the_known_ones(lesionlab: Lesionlab, tmp_path: Path) -> None:
    result = lesionlab("simulate", tmp_path / "out", "--pathology", "stroke")
    assert result.exit_code == 1
    assert "'glioma'" in result.output
    assert not (tmp_path / "out").exists()


def test_a_missing_dataset_is_named(lesionlab: Lesionlab, tmp_path: Path, file_store_uri: str) -> None:
    result = lesionlab("preprocess", tmp_path / "nowhere", "--cohort", "ms")
    assert result.exit_code == 1
    assert "nowhere" in result.output
    assert nothing_complete(file_store_uri)


def test_an_empty_dataset_is_refused(lesionlab: Lesionlab, tmp_path: Path, file_store_uri: str) -> None:
    dataset = draw_dataset(tmp_path / "bids")
    result = lesionlab("preprocess", dataset, "--cohort", "ms")
    assert result.exit_code == 1
    assert "bids" in result.output
    assert nothing_complete(file_store_uri)


def test_a_study_without_a_mask_and_a_corrupt_image_are_reported_together(
    lesionlab: Lesionlab, tmp_path: Path, file_store_uri: str
) -> None:
    dataset = draw_dataset(tmp_path / "bids", "sub-01", "sub-02", "sub-03")
    mask_path(dataset, "sub-01").unlink()
    image = image_path(dataset, "sub-02")
    image.write_bytes(image.read_bytes()[:400])
    result = lesionlab("preprocess", dataset, "--cohort", "ms")
    assert result.exit_code == 1
    errors = [line for line in result.output.splitlines() if line.startswith("error:")]
    assert any("sub-01" in line and "mask" in line for line in errors)
    assert any("sub-02" in line for line in errors)
    assert not any("sub-03" in line for line in errors)
    assert nothing_complete(file_store_uri)


def test_exclude_faulty_preprocesses_the_valid_studies_and_names_the_others(
    lesionlab: Lesionlab, tmp_path: Path
) -> None:
    dataset = draw_dataset(tmp_path / "bids", "sub-01", "sub-02")
    mask_path(dataset, "sub-01").unlink()
    result = lesionlab("preprocess", dataset, "--cohort", "ms", "--exclude-faulty")
    assert result.exit_code == 0
    assert "excluded sub-01" in result.output
    assert "1 studies, 1 excluded" in result.output


def test_a_dry_run_writes_nothing(lesionlab: Lesionlab, tmp_path: Path, file_store_uri: str) -> None:
    dataset = draw_dataset(tmp_path / "bids", "sub-01")
    result = lesionlab("preprocess", dataset, "--cohort", "ms", "--dry-run")
    assert result.exit_code == 0
    assert "sub-01: to be preprocessed" in result.output
    assert open_store(file_store_uri).list("") == []


@pytest.mark.parametrize("name", ["no-such-study", "no/such/file.yaml"])
def test_a_missing_experiment_file_is_named_with_the_built_in_ones(lesionlab: Lesionlab, name: str) -> None:
    result = lesionlab("plan", name)
    assert result.exit_code == 1
    assert name in result.output
    assert "demo" in result.output


def test_every_fault_of_an_experiment_file_is_reported_with_its_place(lesionlab: Lesionlab, tmp_path: Path) -> None:
    file = tmp_path / "experiment.yaml"
    file.write_text(
        "name: s\ntitle: t\ntask: flair-single\ncohorts: {}\ntarget: {cohort: ms, subsets: 1}\n"
        "training_sizes: []\nlerning_rate: 1\n"
    )
    result = lesionlab("plan", file)
    assert result.exit_code == 1
    for place in ("target.subsets", "training_sizes", "lerning_rate"):
        assert place in result.output


def test_a_sweep_before_preprocessing_names_the_command_to_run_first(lesionlab: Lesionlab) -> None:
    result = lesionlab("sweep", "demo", "--plain")
    assert result.exit_code == 1
    assert "lesionlab preprocess" in result.output


def test_an_analysis_without_a_sweep_names_the_command_to_run_first(lesionlab: Lesionlab) -> None:
    result = lesionlab("analyse", "demo")
    assert result.exit_code == 1
    assert "lesionlab sweep" in result.output


def test_a_run_names_every_cohort_that_has_no_dataset(lesionlab: Lesionlab, tmp_path: Path) -> None:
    result = lesionlab("run", "real-smoke", "--bids", f"real-mss={tmp_path}")
    assert result.exit_code == 1
    for words in ("real-mss", "--bids real-ms=PATH", "--bids real-glioma=PATH"):
        assert words in result.output


def test_a_prediction_with_an_unknown_model_lists_the_known_ones(lesionlab: Lesionlab, tmp_path: Path) -> None:
    draw_dataset(tmp_path / "bids", "sub-01")
    image = image_path(tmp_path / "bids", "sub-01")
    result = lesionlab("predict", image, "--model", "nobody", "--out", tmp_path / "mask.nii.gz")
    assert result.exit_code == 1
    assert "registered: none yet" in result.output
    assert not (tmp_path / "mask.nii.gz").exists()


@pytest.mark.parametrize("content", [b"", b"not an image", gzip.compress(b"short")], ids=["empty", "text", "short"])
def test_predicting_a_file_that_is_not_an_image_is_refused(
    lesionlab: Lesionlab, tmp_path: Path, content: bytes
) -> None:
    image = tmp_path / "FLAIR.nii.gz"
    image.write_bytes(content)
    result = lesionlab("predict", image, "--model", "nobody", "--out", tmp_path / "mask.nii.gz")
    assert result.exit_code == 1
    assert "FLAIR.nii.gz" in result.output


def test_an_invalid_store_uri_is_refused_with_examples(lesionlab: Lesionlab) -> None:
    result = lesionlab("models", "--store", "http://results/here")
    assert result.exit_code == 1
    assert "s3://bucket/prefix" in result.output


@pytest.mark.parametrize("store", ["my store", "./my store", "{folder}/my store", "file://{folder}/my%20store"])
def test_a_store_is_a_folder_or_a_uri(
    lesionlab: Lesionlab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store: str
) -> None:
    monkeypatch.chdir(tmp_path)
    draw_dataset(tmp_path / "bids", "sub-01")
    arguments = ("bids", "--cohort", "ms", "--plain", "--store", store.format(folder=tmp_path))
    assert lesionlab("preprocess", *arguments).exit_code == 0
    assert (tmp_path / "my store" / "sites" / "site-1" / "cohorts" / "ms" / "current.json").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ("models",),
        ("runs", "demo"),
        ("cohort", "demo-ms"),
        ("analyse", "demo"),
        ("rescore", "demo", "--definition", "msseg-2"),
        ("evaluate", "demo-ms", "--model", "demo"),
        ("preprocess", "bids", "--cohort", "ms", "--dry-run"),
    ],
    ids=lambda arguments: arguments[0],
)
def test_a_command_that_only_reads_creates_no_store_and_names_the_one_it_looked_at(
    lesionlab: Lesionlab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LESIONLAB_STORE")
    draw_dataset(tmp_path / "bids", "sub-01")
    output = lesionlab(*arguments).output
    assert not (tmp_path / ".lesionlab").exists()
    if arguments[0] != "preprocess":
        assert f"in {(tmp_path / '.lesionlab' / 'store').as_uri()}" in output


def test_an_s3_endpoint_that_does_not_answer_is_reported_quickly(
    lesionlab: Lesionlab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "someone")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "something")
    result = lesionlab("models", "--store", "s3://bucket/prefix")
    assert result.exit_code == 1
    assert "127.0.0.1:9" in result.output


@pytest.mark.s3
def test_wrong_credentials_and_a_silent_server_give_different_errors(
    lesionlab: Lesionlab, s3_server: S3Server, s3_store_uri: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    dataset = draw_dataset(tmp_path / "bids", "sub-01")
    result = lesionlab("preprocess", dataset, "--cohort", "ms", "--store", s3_store_uri)
    assert result.exit_code == 1
    assert "refuses access" in result.output
    assert "AWS_ACCESS_KEY_ID" in result.output
    assert s3_server.secret_key not in result.output


@pytest.mark.parametrize("minutes", ["nan", "inf"])
def test_a_number_that_is_not_finite_is_refused(
    lesionlab: Lesionlab, monkeypatch: pytest.MonkeyPatch, minutes: str
) -> None:
    monkeypatch.setenv("LESIONLAB_WAIT", minutes)
    result = lesionlab("sweep", Path(__file__).with_name("tiny.yaml"))
    assert result.exit_code in (1, 2)
    assert "--wait" in result.output


def test_a_path_that_the_system_refuses_ends_in_one_line(lesionlab: Lesionlab, tmp_path: Path) -> None:
    name = f"{'x' * 300}.nii.gz"
    for arguments in (("score", name, name), ("predict", name, "--model", "m", "--out", tmp_path / "m.nii")):
        result = lesionlab(*arguments)
        assert (result.exit_code, result.output.count("\n")) == (1, 1)
        assert f"error: {name}: File name too long" in result.output


def test_a_folder_in_place_of_a_file_is_called_a_folder(lesionlab: Lesionlab, tmp_path: Path) -> None:
    assert f"{tmp_path}: wanted a file, found a folder" in lesionlab("score", tmp_path, tmp_path).output
