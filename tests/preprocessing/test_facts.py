"""Sidecars and participant rows in any spelling become facts from closed lists."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lesionlab.preprocessing.facts import read_facts
from lesionlab.preprocessing.files import Reference, StudyFiles
from lesionlab.simulation.sites import SITES
from storage_schemas.facts import StudyFacts
from storage_schemas.tasks import TASKS

TASK = TASKS["flair-single"]
IMAGE = Path("sub-01_FLAIR.nii.gz")


def facts(participant: dict[str, str] | None = None, **sidecar: object) -> StudyFacts:
    files = StudyFiles("sub-01", "01", "clinic", {"flair": IMAGE}, Reference(IMAGE), sidecars={"flair": sidecar})
    (fact,) = read_facts(replace(files, participant=participant or {}), TASK)
    return fact


def test_missing_values_are_none():
    assert facts() == StudyFacts(study="sub-01", patient="01", site="clinic")
    unsaid = dict.fromkeys(("sex", "age"), "n/a")
    assert facts(unsaid, Manufacturer="n/a", ManufacturersModelName="", EchoTime=None) == facts()


@pytest.mark.parametrize(
    ("text", "sex"),
    [("F", "F"), ("female", "F"), ("Female ", "F"), ("M", "M"), ("male", "M"), ("O", "O"), ("1", None), ("?", None)],
)
def test_sex_is_read_in_every_spelling(text, sex):
    assert facts({"sex": text}).sex == sex
    assert facts({"Gender": text}).sex == sex


@pytest.mark.parametrize(
    ("text", "years"),
    [
        ("47", 47),
        ("47.5", 47.5),
        ("47,5", 47.5),
        ("047Y", 47),
        ("018M", 1.5),
        ("90+", 90),
        (">89", 90),
        ("70+", None),
        ("101", 90),
        ("400", None),
        ("-3", None),
        ("adult", None),
    ],
)
def test_age_is_read_in_every_spelling_and_capped_at_ninety(text, years):
    assert facts({"age": text}).age_years == years


def test_sidecar_times_in_seconds_become_milliseconds():
    flair = facts(EchoTime=0.388, RepetitionTime=5, MagneticFieldStrength=2.89362, MRAcquisitionType="3D")
    assert (flair.echo_time_ms, flair.repetition_time_ms) == (388, 5000)
    assert (flair.field_strength_t, flair.acquisition) == (2.89362, "3D")
    gradient_echo = facts(EchoTime="0.00298", RepetitionTime="0.0073")
    assert (gradient_echo.echo_time_ms, gradient_echo.repetition_time_ms) == (2.98, 7.3)


@pytest.mark.parametrize(
    ("echo", "repetition", "wanted"),
    [(92, 9000, (92, 9000)), (2.98, 7.3, (2.98, 7.3)), (None, 9000, (None, 9000)), (116, None, (116, None))],
)
def test_implausibly_long_sidecar_times_are_read_as_milliseconds(echo, repetition, wanted):
    found = facts(EchoTime=echo, RepetitionTime=repetition)
    assert (found.echo_time_ms, found.repetition_time_ms) == wanted


@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf"), 1e9, "fast", True, [0.1], None])
def test_an_impossible_number_is_none(value):
    found = facts(EchoTime=value, RepetitionTime=value, MagneticFieldStrength=value)
    assert (found.echo_time_ms, found.repetition_time_ms, found.field_strength_t) == (None, None, None)


@pytest.mark.parametrize(
    ("manufacturer", "model", "wanted"),
    [
        ("SIEMENS", "MAGNETOM Skyra_fit", ("Siemens", "Skyra fit")),
        ("Siemens Healthineers", "Skyra", ("Siemens", "Skyra")),
        ("GE MEDICAL SYSTEMS", "SIGNA Premier", ("GE", "Signa Premier")),
        ("GE", "Discovery MR750w", ("GE", "Discovery MR750w")),
        ("GE", "Signa HDxt", ("GE", "Signa HDxt")),
        ("Philips Medical Systems", "Ingenia Elition X", ("Philips", "Ingenia Elition X")),
        ("Philips", "Achieva dStream", ("Philips", "Achieva dStream")),
        ("TOSHIBA", "Vantage Titan 3T", ("Canon", "Vantage Titan 3T")),
        ("UIH", "uMR 790", ("United Imaging", "uMR 790")),
        ("Siemens", None, ("Siemens", None)),
        ("Kowalski & Sons", "Jan's scanner", ("other", "other")),
        (3, ["Skyra"], (None, None)),
    ],
)
def test_vendors_and_models_are_normalised_and_unknown_ones_become_other(manufacturer, model, wanted):
    found = facts(Manufacturer=manufacturer, ManufacturersModelName=model)
    assert (found.manufacturer, found.model) == wanted


def test_simulated_scanners_are_recognised():
    for site in SITES.values():
        found = facts(Manufacturer=site.manufacturer, ManufacturersModelName=site.model)
        assert (found.manufacturer, found.model) == (site.manufacturer, site.model)


def test_facts_of_several_images_come_from_the_native_one_as_in_the_paper():
    task = TASKS["enhancing"]
    sidecars = {"before": {"EchoTime": 0.01, "MagneticFieldStrength": 3}, "after": {"EchoTime": 0.003}}
    images = {"before": IMAGE, "after": IMAGE}
    files = StudyFiles("sub-01", "01", "clinic", images, Reference(IMAGE), None, sidecars)
    (fact,) = read_facts(files, task)
    assert (fact.echo_time_ms, fact.field_strength_t) == (3, None)


def test_each_visit_of_a_pair_has_its_own_scanner_and_the_last_has_the_age():
    sidecars = {"initial": {"MagneticFieldStrength": 1.5}, "follow-up": {"MagneticFieldStrength": 3}}
    images = {"initial": IMAGE, "follow-up": IMAGE}
    files = StudyFiles("sub-01", "01", "clinic", images, Reference(IMAGE), None, sidecars, {"age": "40", "sex": "F"})
    for task in ("flair-new", "flair-new-pair"):
        found = [(f.visit, f.field_strength_t, f.age_years, f.sex) for f in read_facts(files, TASKS[task])]
        assert found == [("this", 3, 40, "F"), ("initial", 1.5, None, "F")]


@given(st.text(min_size=1), st.text(min_size=1), st.text(min_size=1))
def test_no_free_text_becomes_a_fact(text, sex, age):
    free = f"ZZYZX{text}"
    found = facts({"sex": sex, "age": age}, Manufacturer=free, ManufacturersModelName=free, MRAcquisitionType=free)
    assert (found.manufacturer, found.model) == ("other", "other")
    assert found.acquisition is None


def test_columns_are_read_in_upper_and_lower_case():
    read = facts({"Age": "47", "SEX": "F"})
    assert (read.age_years, read.sex) == (47, "F")
