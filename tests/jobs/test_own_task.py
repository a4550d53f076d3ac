"""A task that a site defines in YAML works in every command without new code; documents contain it in full."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nibabel as nib
import pyarrow.parquet
import pytest
import yaml
from typer.testing import CliRunner, Result

from jobs.cli import app
from lesionlab.experiments.manifests import current_manifest
from lesionlab.experiments.registry import find_model
from lesionlab.imaging.volume import write_volume
from lesionlab.store.objects import open_store
from storage_schemas.tasks import TASKS, Task
from tests.imaging.heads import SLICES, THREE_MM, motion
from tests.jobs.conftest import Lesionlab
from tests.preprocessing.pairs import MOVED, NEW_MM, new_lesions, scan

TASK: dict[str, Any] = {
    "name": "flair-t2-edema",
    "title": "edema on FLAIR and fat-suppressed T2",
    "inputs": [{"role": "flair", "suffix": "FLAIR"}, {"role": "t2", "suffix": "T2w", "entities": {"acq": "fs"}}],
    "native": "flair",
    "registrations": [{"moving": "t2", "fixed": "flair", "kind": "rigid"}],
    "channels": [{"name": "flair", "image": "flair"}, {"name": "t2", "image": "t2"}],
    "label": "edema",
    "lesion_free": "suspicious",
}
TRAINING = {"patch_voxels": 16, "patches_per_study": 2, "augmentations": 1, "epochs": 1, "batch_size": 2}
EXPERIMENT: dict[str, Any] = {
    "name": "own",
    "title": "a task of one's own",
    "task": TASK,
    "spacing_mm": 5.0,
    "cohorts": {"ours": {}, "theirs": {}},
    "target": {"cohort": "ours", "subsets": 2, "subset_size": 1},
    "sources": [{"model": "theirs", "cohort": "theirs"}],
    "training_sizes": [1],
    "architecture": {"depth": 1, "base_channels": 2},
    "training": TRAINING,
    "inference": {"step_voxels": 16},
}


def scans(gain: float) -> dict[str, Any]:
    """A patient's images at a scanner gain: an upright FLAIR, and a T2 on thick oblique slices after motion.

    The gain also turns the anatomy within the head, so that no patient's images are a copy of another's.
    """
    own = motion((0, 0, 130 * (gain - 1)), (0, 0, 0))
    flair, t2 = scan(THREE_MM, own, NEW_MM, gain), scan(SLICES, own @ MOVED, NEW_MM, gain + 0.05)
    return {"FLAIR": flair, "acq-fs_T2w": t2, "acq-3d_T2w": scan(THREE_MM, own, (), gain + 0.1)}


def draw(root: Path, *gains: float) -> Path:
    """A BIDS dataset with two kinds of T2 images; the task reads one of them."""
    root.mkdir()
    (root / "dataset_description.json").write_text(json.dumps({"Name": "Drawn", "BIDSVersion": "1.10.0"}))
    for number, gain in enumerate(gains, start=1):
        name = f"sub-{number}"
        for ending, image in scans(gain).items():
            (root / name / "anat").mkdir(parents=True, exist_ok=True)
            write_volume(root / name / "anat" / f"{name}_{ending}.nii.gz", image)
        masks = root / "derivatives" / "manual" / name / "anat"
        masks.mkdir(parents=True)
        write_volume(masks / f"{name}_label-edema_mask.nii.gz", new_lesions())
    return root


def written(path: Path, content: Any) -> Path:
    path.write_text(yaml.safe_dump(content))
    return path


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a store in which the experiment ran from scans to the report, command by command."""
    folder = tmp_path_factory.mktemp("own")
    ours, theirs = draw(folder / "ours", 1.0, 1.3), draw(folder / "theirs", 1.6)
    task, experiment = written(folder / "task.yaml", TASK), written(folder / "own.yaml", EXPERIMENT)
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("LESIONLAB_STORE", (folder / "store").as_uri())
        environment.setenv("LESIONLAB_CACHE", str(folder / "cache"))
        for arguments in (
            ("preprocess", ours, "--cohort", "ours", "--task", task, "--spacing", 5, "--plain"),
            ("pretrain", experiment, "--bids", f"theirs={theirs}", "--plain", "--work", folder / "work"),
            ("sweep", experiment, "--plain"),
            ("analyse", "own", "--out", folder / "report", "--null-repetitions", 0),
        ):
            result = CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)
            assert result.exit_code == 0, result.output
        yield folder


def test_file_and_experiment_give_the_same_task_and_documents_contain_it_in_full(finished: Path) -> None:
    store, wanted = open_store((finished / "store").as_uri()), Task.model_validate(TASK)
    assert current_manifest(store, "ours").task == current_manifest(store, "theirs").task == wanted
    card = find_model(store, "theirs")
    assert (card.task, card.channels) == (wanted, ("flair", "t2"))


def test_result_rows_have_the_tasks_name(finished: Path) -> None:
    files = (finished / "store" / "results" / "own" / "studies").glob("*.parquet")
    named = [row["task"] for file in files for row in pyarrow.parquet.read_table(file).to_pylist()]
    assert set(named) == {"flair-t2-edema"}
    assert len(named) == 2 + 2 + 1  # fine-tuned and de novo in two folds, the default model on subset 1


def test_its_table_has_a_plain_title_without_a_table_number_of_the_paper(finished: Path) -> None:
    tables = {path.stem: path for path in (finished / "report" / "tables").glob("*.md")}
    assert not [name for name in tables if name.startswith("table-") and name != "table-performance-theirs"]
    title, *_ = tables["table-performance-theirs"].read_text().splitlines()
    assert title == "Performance, edema on FLAIR and fat-suppressed T2; default model theirs"
    assert "edema on FLAIR and fat-suppressed T2" in (finished / "report" / "report.html").read_text()


def test_its_model_segments_images_by_role(finished: Path, tmp_path: Path) -> None:
    patient, out = scans(2.0), tmp_path / "mask.nii.gz"
    for name, ending in (("flair", "FLAIR"), ("t2", "acq-fs_T2w")):
        write_volume(tmp_path / f"{name}.nii.gz", patient[ending])
    named = [f"{role}={tmp_path / role}.nii.gz" for role in ("t2", "flair")]
    result = CliRunner().invoke(app, ["predict", *named, "--model", "theirs", "--out", str(out)])
    assert result.exit_code == 0, result.output
    assert nib.load(out).shape == THREE_MM.shape


def test_a_cohort_of_another_task_under_the_same_name_is_refused_with_both_versions(
    finished: Path, tmp_path: Path
) -> None:
    other = TASK | {"registrations": [], "title": "as the headers say"}
    experiment = written(tmp_path / "other.yaml", EXPERIMENT | {"task": other})
    result = CliRunner().invoke(app, ["sweep", str(experiment), "--plain"], env={"COLUMNS": "300"})
    assert result.exit_code == 1
    wanted, found = (Task.model_validate(task).version() for task in (other, TASK))
    assert f"flair-t2-edema@{wanted} at 5.0 mm" in result.output
    assert f"flair-t2-edema@{found} at 5.0 mm" in result.output


def without(*keys: str) -> dict[str, Any]:
    return {key: value for key, value in TASK.items() if key not in keys}


FAULTY: dict[str, tuple[Any, str]] = {
    "unknown role": (TASK | {"native": "t1"}, "task flair-t2-edema: uses t1, but reads flair, t2"),
    "known name": (TASK | {"name": "flair-single"}, "flair-single is the name of a built-in task; use another name"),
    "no label": (without("label"), "label: missing"),
    "no name": (without("name"), "name: missing"),
    "suffix": (
        TASK | {"inputs": [{"role": "flair", "suffix": "FLAIR.nii"}]},
        "inputs.0.suffix: wanted only letters and digits, as in BIDS labels; found 'FLAIR.nii'",
    ),
    "misspelt key": (TASK | {"chanels": []}, "chanels: unknown key; did you mean channels?"),
    "a list": ([TASK], "wanted keys with values"),
}


def refused(result: Result) -> str:
    assert result.exit_code == 1, result.output
    return " ".join(result.output.split())


@pytest.mark.parametrize("fault", FAULTY)
@pytest.mark.parametrize("command", ["preprocess", "verify"])
def test_a_faulty_task_file_is_refused_before_the_dataset_is_read(
    lesionlab: Lesionlab, tmp_path: Path, file_store_uri: str, command: str, fault: str
) -> None:
    content, words = FAULTY[fault]
    path = written(tmp_path / "task.yaml", content)
    cohort = ("--cohort", "ours") if command == "preprocess" else ()
    assert words in refused(lesionlab(command, tmp_path, *cohort, "--task", path))
    assert open_store(file_store_uri).list("") == []


@pytest.mark.parametrize("fault", [name for name in FAULTY if name not in ("a list",)])
def test_an_experiment_file_reports_the_same_faults_of_its_task(
    lesionlab: Lesionlab, tmp_path: Path, fault: str
) -> None:
    content, words = FAULTY[fault]
    experiment = written(tmp_path / "own.yaml", EXPERIMENT | {"task": content})
    assert words in refused(lesionlab("plan", experiment))


def test_an_unknown_task_is_refused_and_the_built_in_tasks_are_listed(lesionlab: Lesionlab, tmp_path: Path) -> None:
    message = refused(lesionlab("verify", tmp_path, "--task", "flair"))
    assert f"wanted one of {', '.join(TASKS)}; found 'flair'; or give a YAML file" in message
    message = refused(lesionlab("plan", written(tmp_path / "own.yaml", EXPERIMENT | {"task": "flair"})))
    assert "task: wanted one of flair-single" in message
    assert "found 'flair'; or write the task in full" in message
    assert "cannot be read" in refused(lesionlab("verify", tmp_path, "--task", tmp_path / "gone.yaml"))


def test_a_source_may_have_its_own_task_but_not_under_the_same_name(lesionlab: Lesionlab, tmp_path: Path) -> None:
    other = TASK | {"label": "lesion"}
    source = {"model": "theirs", "cohort": "theirs", "task": other}
    message = refused(lesionlab("plan", written(tmp_path / "own.yaml", EXPERIMENT | {"sources": [source]})))
    assert (
        f"task flair-t2-edema@{Task.model_validate(other).version()} is not the experiment's flair-t2-edema@" in message
    )
    source["task"] = other | {"name": "flair-t2-lesions"}
    result = lesionlab("plan", written(tmp_path / "own.yaml", EXPERIMENT | {"sources": [source]}))
    assert result.exit_code == 0, result.output
