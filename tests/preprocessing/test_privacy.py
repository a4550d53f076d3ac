"""Identifiers in datasets are found, and datasets are pseudonymised."""

import json
import re
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from lesionlab.errors import InputError
from lesionlab.preprocessing.files import Dataset, Incomplete, Reference, StudyFiles
from lesionlab.preprocessing.ingest import Recipe, ingest_study
from lesionlab.preprocessing.layouts.recognise import open_dataset
from lesionlab.preprocessing.privacy import (
    id_salt,
    pseudonymised,
    refuse_identifying_names,
    screen_dataset,
    screen_study,
    scrubbed,
)
from lesionlab.simulation.cohort import simulate_cohort
from storage_schemas.cohorts import CohortPlan
from storage_schemas.tasks import TASKS
from storage_schemas.verdicts import Finding
from tests.preprocessing.drawn import draw_dataset, image_path, mask_path

TASK = TASKS["flair-single"]
NAME = "ZZYZXKOWALSKI"
SALT = "a salt that nobody guesses"


def one_study(root: Path, **sidecar: object) -> StudyFiles:
    draw_dataset(root, "sub-01")
    if sidecar:
        image_path(root, "sub-01").with_name("sub-01_FLAIR.json").write_text(json.dumps(sidecar))
    (files,) = open_dataset(root, TASK, None).studies
    return files


def screened(files: StudyFiles) -> list[str]:
    """Places of the findings; no finding repeats a value."""
    findings = screen_study(files, TASK)
    assert not any(word in finding.text() for finding in findings for word in (NAME, "1984", "4829137"))
    assert {finding.code for finding in findings} <= {"identifier"}
    return [finding.place for finding in findings]


def files_of(study: str, patient: str | None = None) -> StudyFiles:
    image = Path(f"{study}_FLAIR.nii.gz")
    return StudyFiles(study, patient or study.split("_")[0][4:], "site-1", {"flair": image}, Reference(image))


def dataset(*studies: str, faulty: tuple[Incomplete, ...] = ()) -> Dataset:
    return Dataset(tuple(map(files_of, studies)), faulty)


def missing(study: str, what: str) -> Incomplete:
    return Incomplete(study, (Finding(code="missing-file", place="mask", what=what),))


def test_a_study_without_identifiers_passes(tmp_path):
    assert screened(one_study(tmp_path, MagneticFieldStrength=3, EchoTime=0.09, SeriesDescription="t2_flair_sag")) == []


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("PatientName", NAME),
        ("PatientID", 4829137),
        ("PatientBirthDate", "1984-05-12"),
        ("InstitutionAddress", "Street 1"),
        ("OperatorsName", NAME),
        ("DeviceSerialNumber", "45321"),
        ("AcquisitionDateTime", "1984-05-12T10:11:12"),
        ("SeriesDescription", f"{NAME}^Jan flair"),
        ("SeriesInstanceUID", "1.3.12.2.1107.5.2.43.66001.1"),
        ("ImageComments", NAME),
        ("MyOwnNote", "mail jan@hospital.example.org"),
    ],
)
def test_every_key_of_a_sidecar_is_screened(tmp_path, key, value):
    assert screened(one_study(tmp_path, **{key: value})) == [f"FLAIR sidecar key {key}"]


def test_placeholders_times_of_day_and_program_builds_pass(tmp_path):
    sidecar = {
        "PatientName": "anonymous",
        "InstitutionName": "n/a",
        "AcquisitionTime": "14:05:12.347500",
        "ConversionSoftwareVersion": "v1.0.20210317",
        "ConsistencyInfo": "N4_VE11C_LATEST_20160120",
    }
    assert screened(one_study(tmp_path, **sidecar)) == []


def test_nested_sidecar_values_are_screened(tmp_path):
    files = one_study(tmp_path, **{"global": {"const": {"PatientName": NAME}, "slices": [{"Note": "1984-05-12"}]}})
    assert screened(files) == ["FLAIR sidecar key global.const.PatientName", "FLAIR sidecar key global.slices.Note"]


def test_headers_of_image_and_masks_are_screened(tmp_path):
    draw_dataset(tmp_path, "sub-01")
    for path in (image_path(tmp_path, "sub-01"), mask_path(tmp_path, "sub-01")):
        image = nib.load(path)
        image.header["descrip"] = NAME.encode()
        nib.save(nib.Nifti1Image(np.asarray(image.dataobj), image.affine, image.header), path)
    (files,) = open_dataset(tmp_path, TASK, None).studies
    both = replace(files, second=files.reference)
    assert screened(both) == [f"{place} header field descrip" for place in ("FLAIR", "mask", "second mask")]


def test_file_names_are_screened_except_their_labels(tmp_path):
    files = one_study(tmp_path)
    path = tmp_path / "sub-19840512_acq-4829137_FLAIR.nii.gz"
    path.write_bytes(files.images["flair"].read_bytes())
    assert screened(replace(files, images={"flair": path})) == ["FLAIR file name"]
    plain = path.rename(tmp_path / "sub-19840512_FLAIR.nii.gz")
    assert screened(replace(files, images={"flair": plain})) == []


def test_a_verdict_names_an_unreadable_file_by_its_role(tmp_path):
    files = one_study(tmp_path)
    (tmp_path / f"{NAME}_FLAIR.nii.gz").mkdir()
    unreadable = replace(files, images={"flair": tmp_path / f"{NAME}_FLAIR.nii.gz"})
    verdict = ingest_study(unreadable, Recipe(TASK, 4.0), (tmp_path / "store").as_uri()).verdict
    assert verdict.verdict == "quarantined"
    assert "flair: cannot be read" in verdict.findings[0].what
    assert NAME not in verdict.model_dump_json()


def test_after_scrubbing_no_finding_refuses_a_study(tmp_path):
    findings = scrubbed(screen_study(one_study(tmp_path, PatientName=NAME), TASK))
    assert [finding.repaired for finding in findings] == [True]
    assert findings[0].what.endswith("never stored")
    assert scrubbed(findings) == findings


def test_the_columns_of_a_dataset_are_screened(tmp_path):
    rows = [
        "participant_id\tage\tname\tvisited\tcode\tbrain_mm3\tdob\tnote",
        f"sub-19840512\t40\t{NAME}\t1984-05-12\t4829137\t1400000\tn/a\tn/a",
        "sub-02\t41\tn/a\tn/a\t12\t1500000\tn/a\t-",
    ]
    (tmp_path / "participants.tsv").write_text("\n".join(rows))
    findings = screen_dataset(tmp_path)
    assert [finding.place for finding in findings] == [
        "participants.tsv column name",
        "participants.tsv column visited",
        "participants.tsv column code",
    ]
    assert not any(word in finding.text() for finding in findings for word in (NAME, "1984", "4829137"))


def test_a_table_of_paths_is_screened_except_its_names_and_paths(tmp_path):
    table = tmp_path / "studies.csv"
    table.write_text("study,patient,flair,mask,surname\nsub-01,4829137,a/20210304/f.nii,a/20210304/m.nii.gz,Smith\n")
    assert [finding.place for finding in screen_dataset(table)] == ["table column surname"]


def test_a_dataset_without_a_table_has_nothing_to_screen(tmp_path):
    assert screen_dataset(tmp_path) == []


def test_a_column_named_after_a_person_is_not_repeated(tmp_path):
    (tmp_path / "participants.tsv").write_text("participant_id\tjan@hospital.example.org\nsub-01\t1984-05-12\n")
    (finding,) = screen_dataset(tmp_path)
    assert "jan" not in finding.text()


@pytest.mark.parametrize(
    ("study", "hidden"),
    [
        (f"sub-{NAME}_ses-01", "sub-xxxxxxxxxxxxx_ses-01"),
        ("sub-01_ses-19840512", "sub-01_ses-99999999"),
        ("sub-4829137", "sub-9999999"),
    ],
)
def test_a_study_name_that_could_identify_the_patient_is_refused_and_masked(study, hidden):
    judged = refuse_identifying_names(dataset("sub-02_ses-01", study), TASK)
    assert [files.study for files in judged.studies] == ["sub-02_ses-01"]
    assert [exclusion.study for exclusion in judged.faulty] == [hidden]
    assert not any(word in str(judged.faulty[0].findings) for word in (NAME, "1984", "4829137"))
    assert "--hash-ids" in judged.faulty[0].faults[0]


def test_names_in_findings_of_faulty_studies_are_masked():
    what = f"wanted derivatives/sub-{NAME}_label-lesion_mask.nii.gz, found sub-{NAME}_acq-19840512_T1w.nii.gz; add it"
    (exclusion,) = refuse_identifying_names(dataset(faulty=(missing(f"sub-{NAME}", what),)), TASK).faulty
    text = str((exclusion.study, exclusion.findings))
    assert NAME not in text
    assert "1984" not in text
    assert "label-lesion_mask.nii.gz" in text


def test_pseudonyms_are_the_same_at_each_visit_and_differ_between_patients_and_salts():
    named = dataset("sub-anna_ses-01", "sub-anna_ses-02", "sub-berta_ses-01")
    first, again, other = (pseudonymised(named, salt) for salt in (SALT, SALT, "another salt, as long"))
    assert first == again
    assert len({files.patient for files in first.studies}) == 2
    assert not {files.patient for files in first.studies} & {files.patient for files in other.studies}
    assert all(re.fullmatch(r"sub-[a-f][0-9a-f]{11}_ses-0[12]", files.study) for files in first.studies)
    assert all(files.study.startswith(f"sub-{files.patient}_") for files in first.studies)
    assert not refuse_identifying_names(first, TASK).faulty


def test_the_order_of_the_pseudonyms_does_not_reveal_the_order_of_the_names():
    studies = pseudonymised(dataset(*(f"sub-{number:02d}" for number in range(20))), SALT).studies
    assert [files.study for files in studies] == sorted(files.study for files in studies)
    images = [files.images["flair"].name for files in studies]
    assert images != sorted(images)


def test_sessions_named_by_date_become_numbers_in_chronological_order():
    studies = pseudonymised(dataset("sub-a_ses-20210304", "sub-a_ses-19840512", "sub-b_ses-2"), SALT).studies
    by_image = {files.images["flair"].name: files.study.partition("_ses-")[2] for files in studies}
    assert by_image == {
        "sub-a_ses-20210304_FLAIR.nii.gz": "02",
        "sub-a_ses-19840512_FLAIR.nii.gz": "01",
        "sub-b_ses-2_FLAIR.nii.gz": "2",
    }


def test_faulty_studies_are_pseudonymised_with_their_findings():
    named = dataset("sub-anna_ses-01", faulty=(missing("sub-anna_ses-02", "wanted sub-anna/ses-02/mask.nii.gz"),))
    hashed = pseudonymised(named, SALT)
    (exclusion,) = hashed.faulty
    assert exclusion.study == f"sub-{hashed.studies[0].patient}_ses-02"
    assert f"sub-{hashed.studies[0].patient}" in exclusion.faults[0]
    assert "anna" not in str((exclusion.study, exclusion.findings))


@pytest.mark.parametrize("environment", [{}, {"LESIONLAB_ID_SALT": "short"}])
def test_a_missing_or_short_salt_is_refused_and_not_repeated(environment):
    with pytest.raises(InputError, match="LESIONLAB_ID_SALT: wanted a secret of at least 16") as refusal:
        id_salt(environment)
    assert "short" not in str(refusal.value)


def test_simulated_cohorts_pass(tmp_path):
    contrasts = ("FLAIR", "T1w", "ce-gadolinium_T1w")
    plan = CohortPlan(pathology="ms", studies=1, seed=1, spacing_mm=4, contrasts=contrasts, timepoints=2)
    simulate_cohort(plan, tmp_path / "bids")
    assert screen_dataset(tmp_path / "bids") == []
    for task in (TASKS["flair-single"], TASKS["flair-new"], TASKS["enhancing"]):
        simulated = open_dataset(tmp_path / "bids", task, None)
        assert simulated.studies
        assert refuse_identifying_names(simulated, TASK) == simulated
        assert not any(screen_study(files, task) for files in simulated.studies)


@pytest.mark.parametrize(
    ("name", "task"),
    [
        ("ms-crosssectional", "flair-single"),
        ("glioma-brats2021", "flair-single"),
        ("glioma-brats2021", "enhancing"),
        ("ms-longitudinal", "flair-new"),
    ],
)
def test_real_scans_pass_and_their_processing_history_is_reported(real_data, name, task):
    real = open_dataset(real_data / name, TASKS[task], None)
    assert screen_dataset(real_data / name) == []
    assert len(refuse_identifying_names(real, TASK).studies) == len(real.studies) > 1
    findings = [finding for files in real.studies for finding in screen_study(files, TASKS[task])]
    assert all(finding.repaired and finding.place.endswith("(AFNI) history") for finding in findings)
    assert bool(findings) == (name == "glioma-brats2021")
