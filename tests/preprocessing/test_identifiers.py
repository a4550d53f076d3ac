"""Texts and field names that could identify a patient are recognised."""

import pytest

from lesionlab.preprocessing.identifiers import (
    is_absent,
    is_identifying_column,
    is_identifying_key,
    quotable,
    sign_in,
    sign_in_label,
    sign_in_value,
)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("20210304", "an exact date"),
        ("scan_20210304_axial", "an exact date"),
        ("20210304101112.5", "an exact date"),
        ("2021-03-04T10:11:12.000000", "an exact date"),
        ("born 4.3.1984", "an exact date"),
        ("03/04/2021", "an exact date"),
        ("4/3/84", "an exact date"),
        ("4 March 1984", "an exact date"),
        ("March 4th, 1984", "an exact date"),
        ("Wed May  3 18:17:06 2017", "an exact date"),
        ("jan.kowalski@hospital.example.org", "an e-mail address"),
        ("+48 601 234 567", "a telephone number"),
        ("(030) 450 50", "a telephone number"),
        ("415-476-1000", "a telephone number"),
        ("KOWALSKI^JAN", "a person's name"),
        ("1.2.840.113619.2.5.1762583153", "a unique identifier (UID)"),
        ("123-45-6789", "a social security number"),
        ("MRN 4829137", "a long number, as of a record"),
    ],
)
def test_an_identifier_in_a_text_is_recognised(text, kind):
    assert sign_in(text) == kind


@pytest.mark.parametrize(
    "text",
    [
        "",
        "syngo MR E11",
        r"27\LX\MR Software release:DV26.0_R02_1810.b",
        "*spcir_278ns",
        "6.0.5",
        "14:05:12.347500",
        "140512.347500",
        "1867-06-15T13:45:30",
        "1.41421356237",
        "-1.5000000",
        "256 0 0 256",
        "open_ms_data longitudinal patient01",
        "BraTS2021_01476",
        "TCGA-CS-4944_flair_2.nii.gz",
        "T2_FLAIR_sag_3D_p2_iso",
        "Siemens MAGNETOM Skyra 3T, head coil 20 channels",
    ],
)
def test_texts_of_scanners_and_programs_are_not_identifiers(text):
    assert sign_in(text) is None


def test_a_number_can_only_be_a_date():
    assert sign_in_value(20210304) == "an exact date"
    assert [sign_in_value(value) for value in (123249925, 2.89362, True, None)] == [None] * 4


@pytest.mark.parametrize(
    "key",
    [
        "PatientName",
        "PatientID",
        "PatientBirthDate",
        "PatientAddress",
        "OtherPatientIDs",
        "InstitutionName",
        "InstitutionAddress",
        "InstitutionalDepartmentName",
        "OperatorsName",
        "ReferringPhysicianName",
        "PerformingPhysicianName",
        "AccessionNumber",
        "DeviceSerialNumber",
        "StationName",
        "StudyInstanceUID",
        "SeriesInstanceUID",
        "StudyID",
        "ImageComments",
        "patient_name",
    ],
)
def test_keys_that_the_dicom_confidentiality_profile_removes_are_identifying(key):
    assert is_identifying_key(key)


@pytest.mark.parametrize(
    "key",
    [
        "PatientPosition",
        "PatientSex",
        "PatientAge",
        "PatientWeight",
        "AcquisitionTime",
        "SequenceName",
        "ProtocolName",
        "ReceiveCoilName",
        "ManufacturersModelName",
        "SeriesNumber",
        "ContrastBolusIngredient",
    ],
)
def test_keys_that_describe_the_scan_are_not_identifying(key):
    assert not is_identifying_key(key)


@pytest.mark.parametrize(
    "column",
    ["name", "Last Name", "initials", "birth_date", "DOB", "mrn", "Address", "city", "zip", "postal code", "e-mail"],
)
def test_columns_that_describe_the_person_are_identifying(column):
    assert is_identifying_column(column)


@pytest.mark.parametrize(
    "column", ["participant_id", "age", "sex", "site", "scanner_name", "edss", "ms_type", "n_lesions", "source_id"]
)
def test_columns_that_describe_the_disease_are_not_identifying(column):
    assert not is_identifying_column(column)


@pytest.mark.parametrize("label", ["kowalski", "KowalskiJan", "20210304", "4829137"])
def test_labels_that_look_like_a_name_a_date_or_a_record_number_are_found(label):
    assert sign_in_label(label)


@pytest.mark.parametrize(
    "label", ["01", "0012", "cs07", "long01", "brats01476", "training03", "b", "baseline", "month12", "a12345678901"]
)
def test_usual_study_labels_pass(label):
    assert sign_in_label(label) is None


@pytest.mark.parametrize("value", [None, "", "n/a", "N/A", "anonymous", "Anonymized", "removed", "0", "xxxx"])
def test_placeholder_values_count_as_absent(value):
    assert is_absent(value)


def test_a_column_name_that_is_itself_an_identifier_is_not_repeated():
    assert quotable("birth_date") == "birth_date"
    assert "kowalski" not in quotable("jan.kowalski@hospital.example.org")
