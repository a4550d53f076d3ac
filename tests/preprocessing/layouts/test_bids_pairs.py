"""In BIDS datasets with several visits, the visits of a study and the space of its mask are found."""

import json
from pathlib import Path

import pytest

from lesionlab.errors import DatasetError
from lesionlab.preprocessing.files import StudyFiles
from lesionlab.preprocessing.integrity import read_scans
from lesionlab.preprocessing.layouts.bids import find_studies
from storage_schemas.manifests import Exclusion
from storage_schemas.tasks import TASKS
from tests.preprocessing.drawn import OBLIQUE, head, lesions, save
from tests.preprocessing.layouts.drawn_layouts import draw_pairs, draw_transform, flair_of, new_lesions_of

PAIR = TASKS["flair-new"]


def the_study(root: Path) -> StudyFiles:
    found = find_studies(root, PAIR)
    assert not found.faulty, found.faulty
    (study,) = found.studies
    return study


def the_fault(root: Path) -> Exclusion:
    found = find_studies(root, PAIR)
    assert not found.studies
    (faulty,) = found.faulty
    return faulty


@pytest.mark.parametrize("task", ["flair-new", "flair-new-pair"])
def test_a_pair_is_named_after_its_follow_up_and_lists_the_initial_image_first(tmp_path, task):
    root = draw_pairs(tmp_path / "bids", "sub-01", "sub-02")
    found = find_studies(root, TASKS[task])
    assert not found.faulty
    assert [files.study for files in found.studies] == ["sub-01_ses-02", "sub-02_ses-02"]
    assert [files.patient for files in found.studies] == ["01", "02"]
    study = found.studies[1]
    assert list(study.images.items()) == [
        ("initial", flair_of(root, "sub-02", 1)),
        ("follow-up", flair_of(root, "sub-02", 2)),
    ]
    assert study.reference.mask == new_lesions_of(root, "sub-02")
    assert study.reference.transform is None
    assert int(read_scans(study, TASKS[task]).reference.voxels.sum()) == int(lesions().sum())


def test_the_mask_names_the_initial_one_of_several_visits(tmp_path):
    root = draw_pairs(tmp_path / "bids", "sub-01")
    save(flair_of(root, "sub-01", 10), head(30))
    save(new_lesions_of(root, "sub-01", "ses02", visit=10), lesions())
    found = find_studies(root, PAIR)
    assert [files.study for files in found.studies] == ["sub-01_ses-02", "sub-01_ses-10"]
    assert [files.images["initial"] for files in found.studies] == [flair_of(root, "sub-01", visit) for visit in (1, 2)]


def test_numbers_in_session_labels_sort_numerically(tmp_path):
    root = draw_pairs(tmp_path / "bids", "sub-01")
    for base in (root, root / "derivatives" / "manual"):
        for visit, month in ((1, "M6"), (2, "M12")):
            folder = base / "sub-01" / f"ses-{visit:02d}"
            for path in folder.glob("anat/*") if folder.is_dir() else ():
                renamed = path.name.replace(f"ses-{visit:02d}", f"ses-{month}").replace("ses01", "sesM6")
                path.rename(path.with_name(renamed))
            if folder.is_dir():
                folder.rename(folder.with_name(f"ses-{month}"))
    study = the_study(root)
    assert study.study == "sub-01_ses-M12"
    assert study.images["initial"].name == "sub-01_ses-M6_FLAIR.nii.gz"


def test_a_mask_in_the_halfway_space_is_used_with_its_transform(tmp_path):
    root = draw_pairs(tmp_path / "bids", "sub-01")
    midway = new_lesions_of(root, "sub-01").rename(new_lesions_of(root, "sub-01", "midway"))
    draw_transform(midway, "ses02", "midway")
    transform = draw_transform(midway, "ses01", "midway")
    study = the_study(root)
    assert study.images["initial"] == flair_of(root, "sub-01", 1)
    assert (study.reference.mask, study.reference.transform) == (midway, transform)


def test_a_mask_on_the_follow_up_is_used_with_its_transform(tmp_path):
    root = draw_pairs(tmp_path / "bids", "sub-01")
    mask = new_lesions_of(root, "sub-01").rename(new_lesions_of(root, "sub-01", "ses02"))
    assert the_fault(root).findings[0].code == "other-space"
    transform = draw_transform(mask, "ses01", "ses02")
    assert the_study(root).reference.transform == transform


def test_a_mask_in_native_space_is_preferred_to_one_in_another_space(tmp_path):
    root = draw_pairs(tmp_path / "bids", "sub-01")
    midway = save(new_lesions_of(root, "sub-01", "midway"), lesions())
    draw_transform(midway, "ses01", "midway")
    reference = the_study(root).reference
    assert (reference.mask, reference.transform) == (new_lesions_of(root, "sub-01"), None)


def test_a_mask_in_another_space_without_transform_is_refused_with_the_remedy(tmp_path):
    root = draw_pairs(tmp_path / "bids", "sub-01")
    midway = new_lesions_of(root, "sub-01").rename(new_lesions_of(root, "sub-01", "midway"))
    draw_transform(midway, "ses02", "midway")
    fault = the_fault(root)
    assert [finding.code for finding in fault.findings] == ["other-space"]
    for name in ("wanted space-ses01,", "sub-01_from-ses01_to-midway_mode-image_xfm.txt", midway.name):
        assert name in fault.faults[0]


def test_a_mask_that_does_not_name_its_space_is_refused(tmp_path):
    root = draw_pairs(tmp_path / "bids", "sub-01")
    new_lesions_of(root, "sub-01").rename(new_lesions_of(root, "sub-01", None))
    fault = the_fault(root)
    assert [finding.code for finding in fault.findings] == ["other-space"]
    assert "wanted space-ses01 in the name" in fault.faults[0]


@pytest.mark.parametrize("twice", ["native", "transform"])
def test_an_ambiguous_initial_visit_is_refused(tmp_path, twice):
    root = draw_pairs(tmp_path / "bids", "sub-01")
    save(flair_of(root, "sub-01", 3), head(3))
    spaces = ("ses01", "ses02") if twice == "native" else ("midway",)
    for space in spaces:
        mask = save(new_lesions_of(root, "sub-01", space, visit=3), lesions())
    if twice == "transform":
        draw_transform(mask, "ses01", "midway")
        draw_transform(mask, "ses02", "midway")
    (fault,) = find_studies(root, PAIR).faulty
    assert fault.study == "sub-01_ses-03"
    assert [finding.code for finding in fault.findings] == ["ambiguous-file"]


def test_without_a_mask_a_first_visit_is_not_a_study_and_a_later_one_is_faulty(tmp_path):
    root = draw_pairs(tmp_path / "bids", "sub-01", "sub-02")
    new_lesions_of(root, "sub-02").unlink()
    found = find_studies(root, PAIR)
    assert [files.study for files in found.studies] == ["sub-01_ses-02"]
    assert [fault.study for fault in found.faulty] == ["sub-02_ses-02"]
    assert "mask: wanted derivatives/manual/sub-02/ses-02/anat/sub-02_ses-02_space-ses01_" in found.faulty[0].faults[0]


def test_all_missing_files_of_a_pair_are_reported_at_once(tmp_path):
    root = draw_pairs(tmp_path / "bids", "sub-01")
    flair_of(root, "sub-01", 1).rename(flair_of(root, "sub-01", 1).with_name("sub-01_ses-01_T2w.nii.gz"))
    flair_of(root, "sub-01", 2).unlink()
    new_lesions_of(root, "sub-01").rename(new_lesions_of(root, "sub-01", "midway"))
    places = [(finding.place, finding.code) for finding in the_fault(root).findings]
    assert places == [("initial", "missing-file"), ("follow-up", "missing-file"), ("mask", "other-space")]


def test_a_missing_mask_may_be_all_zeros_where_patients_without_lesions_are_expected(tmp_path):
    root = draw_pairs(tmp_path / "bids", "sub-01")
    new_lesions_of(root, "sub-01").unlink()
    (finding,) = the_fault(root).findings
    assert "add it (all zeros if the patient has no such lesions) or exclude the study" in finding.what


def test_a_mask_without_its_initial_visit_is_reported(tmp_path):
    root = draw_pairs(tmp_path / "bids", "sub-01")
    flair_of(root, "sub-01", 1).unlink()
    flair_of(root, "sub-01", 1).parent.rmdir()
    (root / "sub-01" / "ses-01").rmdir()
    fault = the_fault(root)
    assert fault.study == "sub-01_ses-02"
    assert fault.faults[0].startswith("initial: wanted a session before ses-02, found none")


def test_a_mask_on_a_later_visit_is_refused(tmp_path):
    root = draw_pairs(tmp_path / "bids", "sub-01")
    save(flair_of(root, "sub-01", 3), head(3))
    save(new_lesions_of(root, "sub-01", "ses01", visit=3), lesions())
    new_lesions_of(root, "sub-01").rename(new_lesions_of(root, "sub-01", "ses03"))
    (fault,) = find_studies(root, PAIR).faulty
    assert [(finding.code, finding.place) for finding in fault.findings] == [("visit-order", "mask")]


def date_sidecars(root: Path, first: str, second: str) -> None:
    for visit, date in ((1, first), (2, second)):
        sidecar = flair_of(root, "sub-01", visit).with_name(f"sub-01_ses-{visit:02d}_FLAIR.json")
        sidecar.write_text(json.dumps({"AcquisitionDateTime": date}))


def date_scans(root: Path, first: str, second: str) -> None:
    for visit, date in ((1, first), (2, second)):
        image = flair_of(root, "sub-01", visit)
        table = image.parents[1] / f"sub-01_ses-{visit:02d}_scans.tsv"
        table.write_text(f"filename\tacq_time\nanat/{image.name}\t{date}\n")


def date_sessions(root: Path, first: str, second: str) -> None:
    table = root / "sub-01" / "sub-01_sessions.tsv"
    table.write_text(f"session_id\tacq_time\nses-01\t{first}\nses-02\t{second}\n")


DATED = pytest.mark.parametrize("date", [date_sidecars, date_scans, date_sessions])


@DATED
def test_visits_whose_times_contradict_their_labels_are_refused_without_repeating_a_date(tmp_path, date):
    root = draw_pairs(tmp_path / "bids", "sub-01")
    date(root, "2019-05-17T10:00:00", "2018-03-16T09:00:00")
    fault = the_fault(root)
    assert [(finding.code, finding.place) for finding in fault.findings] == [("visit-order", "initial")]
    assert "found ses-01 after ses-02" in fault.faults[0]
    assert "201" not in fault.faults[0]


@DATED
@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("1901-01-05T10:00:00", "1901-07-05T09:00:00Z"),
        ("1900-01-01", "1900-01-01"),
        ("n/a", "2018-03-16T09:00:00"),
        ("yesterday", "today"),
    ],
    ids=["in order", "the same", "one missing", "no times"],
)
def test_consistent_or_unreadable_times_change_nothing(tmp_path, date, first, second):
    root = draw_pairs(tmp_path / "bids", "sub-01")
    date(root, first, second)
    assert the_study(root).study == "sub-01_ses-02"


def test_a_second_raters_mask_is_found_in_its_own_tree(tmp_path):
    root = draw_pairs(tmp_path / "bids", "sub-01", "sub-02")
    second = save(new_lesions_of(root, "sub-01", tree="grader2"), lesions()[::-1])
    found = find_studies(root, PAIR)
    assert [files.second and files.second.mask for files in found.studies] == [second, None]


def test_a_second_raters_mask_on_another_visit_than_the_reference_is_refused(tmp_path):
    root = draw_pairs(tmp_path / "bids", "sub-01")
    save(new_lesions_of(root, "sub-01", "ses02", tree="grader2"), lesions())
    fault = the_fault(root)
    assert [(finding.code, finding.place) for finding in fault.findings] == [("other-space", "second mask")]


def test_a_transform_that_leads_out_of_the_dataset_is_not_followed(tmp_path):
    root = draw_pairs(tmp_path / "bids", "sub-01")
    midway = new_lesions_of(root, "sub-01").rename(new_lesions_of(root, "sub-01", "midway"))
    inside = draw_transform(midway, "ses01", "midway")
    inside.rename(tmp_path / "outside.txt")
    inside.symlink_to(tmp_path / "outside.txt")
    assert "a link out of the dataset" in the_fault(root).faults[0]


def test_a_dataset_of_single_visits_has_no_pairs(tmp_path):
    root = draw_pairs(tmp_path / "bids")
    save(root / "sub-01" / "anat" / "sub-01_FLAIR.nii.gz", head(1))
    with pytest.raises(DatasetError, match=r"no study for flair-new; wanted .* of an earlier session"):
        find_studies(root, PAIR)


@pytest.mark.parametrize("task", ["enhancing", "enhancing-difference"])
def test_images_before_and_after_gadolinium_are_distinguished(tmp_path, task):
    root = draw_pairs(tmp_path / "bids")
    folder, stem = root / "sub-01" / "ses-01" / "anat", "sub-01_ses-01"
    before = save(folder / f"{stem}_T1w.nii.gz", head(1))
    after = save(folder / f"{stem}_ce-gadolinium_T1w.nii.gz", head(2), OBLIQUE)
    masks = root / "derivatives" / "manual" / "sub-01" / "ses-01" / "anat"
    mask = save(masks / f"{stem}_label-enhancing_mask.nii.gz", lesions())
    (study,) = find_studies(root, TASKS[task]).studies
    assert list(study.images.items()) == [("before", before), ("after", after)]
    assert study.reference.mask == mask
    after.unlink()
    (fault,) = find_studies(root, TASKS[task]).faulty
    assert fault.faults == (
        f"after: wanted sub-01/ses-01/anat/{stem}_ce-gadolinium_T1w.nii.gz, found {before.name}; "
        "add it or exclude the study",
    )


def test_a_single_visits_mask_in_another_space_also_needs_its_transform(tmp_path):
    root = draw_pairs(tmp_path / "bids")
    save(root / "sub-01" / "anat" / "sub-01_FLAIR.nii.gz", head(1))
    folder = root / "derivatives" / "manual" / "sub-01" / "anat"
    mask = save(folder / "sub-01_space-MNI152_label-lesion_mask.nii.gz", lesions())
    (fault,) = find_studies(root, TASKS["flair-single"]).faulty
    assert fault.findings[0].code == "other-space"
    transform = draw_transform(mask, "orig", "MNI152")
    (study,) = find_studies(root, TASKS["flair-single"]).studies
    assert (study.reference.mask, study.reference.transform) == (mask, transform)
