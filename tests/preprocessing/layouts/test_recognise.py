"""Layouts of releases, hospitals, the simulation and real datasets are recognised and their studies found."""

from pathlib import Path

import pytest

from lesionlab.errors import DatasetError
from lesionlab.preprocessing.integrity import read_scans
from lesionlab.preprocessing.layouts.recognise import open_dataset
from lesionlab.simulation.cohort import simulate_cohort
from storage_schemas.cohorts import CohortPlan
from storage_schemas.tasks import TASKS, ScanInput
from tests.preprocessing.drawn import draw_dataset
from tests.preprocessing.layouts.drawn_layouts import (
    ISBI_TIMEPOINTS,
    MSSEG2_PATIENTS,
    draw_brats,
    draw_isbi2015,
    draw_msseg2,
    draw_pairs,
    draw_table,
)

SINGLE, PAIR = TASKS["flair-single"], TASKS["flair-new"]


def faults(path: Path, task=SINGLE) -> dict[str, tuple[str, ...]]:
    return {exclusion.study: exclusion.faults for exclusion in open_dataset(path, task).faulty}


@pytest.mark.parametrize(
    ("draw", "task", "studies"),
    [
        (lambda path: draw_dataset(path, "sub-01"), SINGLE, 1),
        (lambda path: draw_pairs(path, "sub-01", "sub-02"), PAIR, 2),
        (draw_isbi2015, SINGLE, 21),
        (draw_msseg2, PAIR, 3),
        (lambda path: draw_brats(path, "BraTS-GLI-00000-000"), SINGLE, 1),
        (
            lambda path: draw_table(
                path / "paths.csv", [{"study": "sub-1", "patient": "1", "flair": "a.nii", "mask": "b-mask.nii.gz"}]
            ),
            SINGLE,
            1,
        ),
    ],
    ids=["BIDS", "BIDS pairs", "ISBI 2015", "MSSEG-2", "BraTS", "table"],
)
def test_each_layout_is_recognised_and_its_studies_are_readable(tmp_path, draw, task, studies):
    found = open_dataset(draw(tmp_path / "data"), task, site="clinic")
    assert not found.faulty
    assert len(found.studies) == studies
    assert {files.site for files in found.studies} == {"clinic"}
    scans = read_scans(found.studies[0], task)
    assert list(scans.images) == list(task.roles)
    assert scans.reference.voxels.any()


def test_an_unknown_layout_is_refused_with_the_supported_ones(tmp_path):
    (tmp_path / "sub-01").mkdir()
    with pytest.raises(DatasetError) as refusal:
        open_dataset(tmp_path, SINGLE)
    for wanted in (
        "dataset_description.json",
        "trainingXX",
        "flair_time01_on_middle_space",
        "BraTS2021_00000",
        ".csv",
        "top folder",
    ):
        assert wanted in str(refusal.value)


def test_another_kind_of_file_and_a_missing_path_are_refused(tmp_path):
    (tmp_path / "scan.nii").touch()
    with pytest.raises(DatasetError, match="a dataset in a known layout"):
        open_dataset(tmp_path / "scan.nii", SINGLE)
    with pytest.raises(DatasetError, match="there is no such folder or file"):
        open_dataset(tmp_path / "nowhere", SINGLE)


@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
def test_isbi_has_a_study_for_each_timepoint_and_two_raters(tmp_path, ending):
    root = draw_isbi2015(tmp_path, ending)
    found = open_dataset(root, SINGLE)
    assert [files.study for files in found.studies] == [
        f"sub-{patient}_ses-{timepoint:02d}"
        for patient, timepoints in ISBI_TIMEPOINTS.items()
        for timepoint in range(1, timepoints + 1)
    ]
    study = found.studies[10]
    assert (study.study, study.patient) == ("sub-training03_ses-03", "training03")
    assert dict(study.images) == {"flair": root / "training03" / "preprocessed" / f"training03_03_flair_pp{ending}"}
    masks = root / "training03" / "masks"
    assert study.reference.mask == masks / f"training03_03_mask1{ending}"
    assert study.second is not None
    assert study.second.mask == masks / f"training03_03_mask2{ending}"
    scans = read_scans(study, SINGLE)
    assert scans.second is not None
    assert (scans.second.voxels != scans.reference.voxels).any()


def test_incomplete_isbi_timepoints_are_reported_and_a_second_rater_is_optional(tmp_path):
    root = draw_isbi2015(tmp_path)
    (root / "training01" / "masks" / "training01_01_mask1.nii").unlink()
    (root / "training01" / "preprocessed" / "training01_02_flair_pp.nii").unlink()
    (root / "training02" / "masks" / "training02_01_mask2.nii").unlink()
    (root / "training02" / "masks" / "training02_02_mask1.nii.gz").touch()
    assert faults(root) == {
        "sub-training01_ses-01": (
            "mask: wanted masks/training01_01_mask1.nii, found none; add it or exclude the study",
        ),
        "sub-training01_ses-02": (
            "FLAIR: wanted preprocessed/training01_02_flair_pp.nii, found none; add it or exclude the study",
        ),
        "sub-training02_ses-02": (
            "mask: wanted one file, found training02_02_mask1.nii, training02_02_mask1.nii.gz; keep one of them",
        ),
    }
    seconds = {files.study: files.second for files in open_dataset(root, SINGLE).studies}
    assert seconds["sub-training02_ses-01"] is None


def test_msseg2_has_a_pair_for_each_patient_with_the_consensus_as_reference(tmp_path):
    root = draw_msseg2(tmp_path)
    found = open_dataset(root, TASKS["flair-new-pair"])
    assert [files.study for files in found.studies] == [f"sub-{patient}_ses-02" for patient in MSSEG2_PATIENTS]
    study = found.studies[1]
    assert study.patient == "015"
    assert [path.name for path in study.images.values()] == [
        "flair_time01_on_middle_space.nii.gz",
        "flair_time02_on_middle_space.nii.gz",
    ]
    assert study.reference.mask == root / "015" / "ground_truth.nii.gz"
    assert study.second is None


def test_incomplete_msseg2_patients_are_reported_with_all_missing_files(tmp_path):
    root = draw_msseg2(tmp_path)
    (root / "015" / "ground_truth.nii.gz").unlink()
    (root / "015" / "flair_time02_on_middle_space.nii.gz").unlink()
    (root / "016").rename(root / "Smith, J")
    found = faults(root, PAIR)
    assert [fault.split(",")[0] for fault in found["sub-015_ses-02"]] == [
        "follow-up: wanted 015/flair_time02_on_middle_space.nii.gz",
        "mask: wanted 015/ground_truth.nii.gz",
    ]
    (fault,) = found["sub-xxxxx, x_ses-02"]
    assert fault.startswith("folder: wanted only letters and digits")


@pytest.mark.parametrize(
    ("draw", "task", "serves"),
    [
        (draw_isbi2015, "flair-new", "choose flair-single"),
        (draw_isbi2015, "enhancing", "choose flair-single"),
        (draw_msseg2, "flair-single", "choose flair-new"),
        (draw_msseg2, "enhancing-difference", "choose flair-new"),
    ],
)
def test_a_release_supports_only_its_own_tasks(tmp_path, draw, task, serves):
    with pytest.raises(DatasetError, match=f"wanted data for {task}, found the .* release.*{serves}"):
        open_dataset(draw(tmp_path), TASKS[task])


CONTRASTS = {"FLAIR": "flair_pp", "T1w": "mprage_pp", "T2w": "t2_pp", "PDw": "pd_pp"}


def test_isbi_supports_a_custom_task_with_every_contrast_of_the_release(tmp_path):
    root = draw_isbi2015(tmp_path)
    inputs = tuple(ScanInput(role=suffix.lower(), suffix=suffix) for suffix in reversed(CONTRASTS))
    found = open_dataset(root, SINGLE.model_copy(update={"inputs": inputs}))
    assert (len(found.studies), found.faulty) == (21, ())
    folder = root / "training01" / "preprocessed"
    assert dict(found.studies[0].images) == {
        suffix.lower(): folder / f"training01_01_{stem}.nii" for suffix, stem in CONTRASTS.items()
    }


@pytest.mark.parametrize(
    ("draw", "task"),
    [
        (draw_isbi2015, SINGLE.model_copy(update={"label": "blackhole"})),
        (draw_isbi2015, SINGLE.model_copy(update={"inputs": (ScanInput(role="flair", suffix="SWI"),)})),
        (draw_msseg2, PAIR.model_copy(update={"label": "lesion"})),
        (draw_msseg2, PAIR.model_copy(update={"inputs": (ScanInput(role="initial", suffix="T1w", visit="initial"),)})),
    ],
    ids=["other lesions", "other contrast", "other lesions of pairs", "other contrast of pairs"],
)
def test_a_release_refuses_a_task_that_only_has_the_same_roles(tmp_path, draw, task):
    with pytest.raises(DatasetError, match="wanted data for"):
        open_dataset(draw(tmp_path), task)


@pytest.mark.parametrize("draw", [draw_isbi2015, draw_msseg2])
def test_links_out_of_a_release_are_not_followed(tmp_path, draw):
    task = SINGLE if draw is draw_isbi2015 else PAIR
    root = draw(tmp_path / "data")
    elsewhere = sorted(root.iterdir())[0].rename(tmp_path / sorted(root.iterdir())[0].name)
    (root / elsewhere.name).symlink_to(elsewhere)
    found = faults(root, task)
    assert found
    assert all("a link out of the dataset" in fault for of_study in found.values() for fault in of_study)


EVERY_TASK = {"flair-single": 8, "flair-new": 4, "flair-new-pair": 4, "enhancing": 8, "enhancing-difference": 8}


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    plan = CohortPlan(
        pathology="ms",
        studies=4,
        seed=5,
        spacing_mm=5.0,
        contrasts=("FLAIR", "T1w", "ce-gadolinium_T1w"),
        timepoints=2,
    )
    root = tmp_path_factory.mktemp("simulated") / "bids"
    simulate_cohort(plan, root)
    return root


@pytest.mark.parametrize("task", EVERY_TASK)
def test_a_simulated_cohort_is_found_completely_for_every_task(simulated, task):
    found = open_dataset(simulated, TASKS[task])
    assert not found.faulty
    assert len(found.studies) == EVERY_TASK[task]
    for files in found.studies:
        assert list(files.images) == list(TASKS[task].roles)
        assert all("EchoTime" in sidecar for sidecar in files.sidecars.values())
        assert files.participant["participant_id"] == f"sub-{files.patient}"
    read_scans(found.studies[0], TASKS[task])


REAL = {
    ("ms-crosssectional", "flair-single"): ["sub-cs07_ses-01", "sub-cs19_ses-01"],
    ("ms-longitudinal", "flair-new"): ["sub-long01_ses-02", "sub-long12_ses-02"],
    ("ms-longitudinal", "flair-new-pair"): ["sub-long01_ses-02", "sub-long12_ses-02"],
    ("glioma-brats2021", "flair-single"): [f"sub-brats0{n}_ses-01" for n in (1476, 1477, 1479, 1481)],
    ("glioma-brats2021", "enhancing"): [f"sub-brats0{n}_ses-01" for n in (1476, 1477, 1479, 1481)],
    ("glioma-brats2021", "enhancing-difference"): [f"sub-brats0{n}_ses-01" for n in (1476, 1477, 1479, 1481)],
}


@pytest.mark.parametrize(("name", "task"), REAL)
def test_real_datasets_are_found_completely(real_data, name, task):
    found = open_dataset(real_data / name, TASKS[task])
    assert not found.faulty
    assert [files.study for files in found.studies] == REAL[name, task]
    for files in found.studies:
        assert list(files.images) == list(TASKS[task].roles)
        assert files.reference.transform is None
        assert files.participant["participant_id"] == f"sub-{files.patient}"


@pytest.mark.parametrize("patient", ["long01", "long12"])
def test_a_real_mask_in_the_halfway_space_is_found_with_the_initial_visits_transform(real_data, tmp_path, patient):
    root = tmp_path / "bids"
    for path in (real_data / "ms-longitudinal").rglob("*"):
        if path.is_file() and "space-ses01" not in path.name and "provenance" not in path.name:
            copy = root / path.relative_to(real_data / "ms-longitudinal")
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(path.read_bytes() if path.suffix != ".gz" else b"")
    studies = {files.patient: files for files in open_dataset(root, PAIR).studies}
    reference = studies[patient].reference
    assert reference.mask.name == f"sub-{patient}_ses-02_space-midway_label-newlesion_mask.nii.gz"
    assert reference.transform is not None
    assert reference.transform.name == f"sub-{patient}_from-ses01_to-midway_mode-image_xfm.txt"
