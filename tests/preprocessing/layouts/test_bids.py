"""BIDS folders as sites send them give the files of each study or its faults."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lesionlab.errors import DatasetError
from lesionlab.preprocessing.layouts.bids import find_studies
from lesionlab.preprocessing.layouts.bids_tree import parse_name
from lesionlab.preprocessing.paths import ADD_MASK
from storage_schemas.tasks import TASKS, ScanInput, Task
from tests.preprocessing.drawn import draw_dataset, head, image_path, mask_path, save

TASK = TASKS["flair-single"]


def own_task(suffix: str, **scan: object) -> Task:
    """A custom task with one image."""
    return TASK.model_copy(
        update={"name": "own", "native": "image", "inputs": (ScanInput(role="image", suffix=suffix, **scan),)}
    )


def faults(root: Path) -> dict[str, tuple[str, ...]]:
    return {exclusion.study: exclusion.faults for exclusion in find_studies(root, TASK).faulty}


def test_studies_are_found_with_and_without_sessions_and_sorted_by_name(tmp_path):
    root = draw_dataset(tmp_path / "bids", "sub-02_ses-b", "sub-10", "sub-02_ses-a", "sub-1")
    found = find_studies(root, TASK)
    assert [files.study for files in found.studies] == ["sub-02_ses-a", "sub-02_ses-b", "sub-1", "sub-10"]
    assert [files.patient for files in found.studies] == ["02", "02", "1", "10"]
    assert found.studies[0].images == {"flair": image_path(root, "sub-02_ses-a")}
    assert found.studies[0].reference.mask == mask_path(root, "sub-02_ses-a")
    assert not found.faulty


def test_other_images_of_the_session_are_ignored(tmp_path):
    root = draw_dataset(tmp_path / "bids", "sub-01")
    for name in ("T1w.nii.gz", "ce-gadolinium_T1w.nii.gz", "ce-gadolinium_FLAIR.nii.gz", "T1w.json"):
        (image_path(root, "sub-01").parent / f"sub-01_{name}").touch()
    for name in ("label-brain_mask.nii.gz", "dseg.nii.gz", "label-lesion_mask.json"):
        (mask_path(root, "sub-01").parent / f"sub-01_{name}").touch()
    assert [files.images for files in find_studies(root, TASK).studies] == [{"flair": image_path(root, "sub-01")}]


def test_an_image_with_additional_entities_is_found(tmp_path):
    root = draw_dataset(tmp_path / "bids", "sub-01")
    renamed = image_path(root, "sub-01").with_name("sub-01_acq-3d_run-1_FLAIR.nii.gz")
    image_path(root, "sub-01").rename(renamed)
    assert find_studies(root, TASK).studies[0].images == {"flair": renamed}


def test_the_entities_of_a_task_select_among_images_of_one_suffix(tmp_path):
    root, task = draw_dataset(tmp_path / "bids", "sub-01"), own_task("FLAIR", entities={"acq": "3d", "run": "2"})
    flair = image_path(root, "sub-01")
    for name in ("acq-2d_run-2", "acq-3d_run-1", "rec-a_acq-3d_run-2"):
        save(flair.with_name(f"sub-01_{name}_FLAIR.nii.gz"), head(1))
    chosen = flair.with_name("sub-01_rec-a_acq-3d_run-2_FLAIR.nii.gz")
    assert [files.images for files in find_studies(root, task).studies] == [{"image": chosen}]
    chosen.unlink()
    (fault,) = find_studies(root, task).faulty[0].faults
    assert "wanted sub-01/anat/sub-01_acq-3d_run-2_FLAIR.nii.gz, found" in fault


@pytest.mark.parametrize("suffix", ["T2w", "PDw", "SWI", "T2starw"])
def test_an_image_of_any_suffix_is_found_if_the_task_reads_it(tmp_path, suffix):
    root = draw_dataset(tmp_path / "bids", "sub-01")
    image = image_path(root, "sub-01").rename(image_path(root, "sub-01").with_name(f"sub-01_{suffix}.nii.gz"))
    assert find_studies(root, own_task(suffix)).studies[0].images == {"image": image}
    with pytest.raises(DatasetError, match=r"no study for own; wanted .*\*_MTR.nii.gz"):
        find_studies(draw_dataset(tmp_path / "empty"), own_task("MTR"))


@pytest.mark.parametrize(
    ("table", "sites"),
    [
        (None, ["clinic", "clinic"]),
        ("participant_id\tage\nsub-01\t40\nsub-02\t50\n", ["clinic", "clinic"]),
        ("participant_id\tsite\nsub-02\tB\nsub-01\tSite A (3T)\n", ["site-a-3t", "b"]),
        ("participant_id\tsite\nsub-01\tn/a\nsub-02\tb\n", ["clinic", "b"]),
        ("\ufeffparticipant_id\tsite\r\nsub-01\ta\r\nsub-02\tb\r\n", ["a", "b"]),
    ],
    ids=["no table", "no column", "column", "one missing", "from a spreadsheet"],
)
def test_the_site_is_the_participants_own_or_the_given_one(tmp_path, table, sites):
    root = draw_dataset(tmp_path / "bids", "sub-01", "sub-02")
    if table is not None:
        (root / "participants.tsv").write_bytes(table.encode())
    assert [files.site for files in find_studies(root, TASK, site="clinic").studies] == sites


def test_the_default_site_is_site_1(tmp_path):
    root = draw_dataset(tmp_path / "bids", "sub-01")
    assert [files.site for files in find_studies(root, TASK).studies] == ["site-1"]


def test_a_study_without_mask_or_image_is_reported_with_the_missing_file(tmp_path):
    root = draw_dataset(tmp_path / "bids", "sub-01", "sub-02_ses-1", "sub-03")
    mask_path(root, "sub-02_ses-1").unlink()
    image_path(root, "sub-03").rename(image_path(root, "sub-03").with_name("sub-03_T2w.nii.gz"))
    assert faults(root) == {
        "sub-02_ses-1": (
            "mask: wanted derivatives/manual/sub-02/ses-1/anat/sub-02_ses-1_label-lesion_mask.nii.gz, "
            f"found no NIfTI file; {ADD_MASK}",
        ),
        "sub-03": (
            "FLAIR: wanted sub-03/anat/sub-03_FLAIR.nii.gz, found sub-03_T2w.nii.gz; add it or exclude the study",
        ),
    }


def test_a_study_with_wrong_names_is_reported_with_all_its_faults(tmp_path):
    root = draw_dataset(tmp_path / "bids", "sub-01", "sub-02")
    for path in (image_path(root, "sub-02"), mask_path(root, "sub-02")):
        path.rename(path.with_name(path.name.replace("sub-02", "sub-2")))
    assert [fault.split(":")[0] for fault in faults(root)["sub-02"]] == ["FLAIR", "mask"]


def test_a_session_without_files_of_the_task_is_not_a_study(tmp_path):
    root = draw_dataset(tmp_path / "bids", "sub-01", "sub-02")
    mask_path(root, "sub-02").unlink()
    image_path(root, "sub-02").rename(image_path(root, "sub-02").with_name("sub-02_T2w.nii.gz"))
    (root / "sub-03" / "ses-1").mkdir(parents=True)
    assert [files.study for files in find_studies(root, TASK).studies] == ["sub-01"]
    assert not faults(root)


def test_a_mask_without_a_study_folder_is_reported(tmp_path):
    root = draw_dataset(tmp_path / "bids", "sub-01", "sub-02")
    image_path(root, "sub-02").unlink()
    image_path(root, "sub-02").parent.rmdir()
    (root / "sub-02").rmdir()
    assert list(faults(root)) == ["sub-02"]


def test_two_candidates_are_named_and_neither_is_used(tmp_path):
    root = draw_dataset(tmp_path / "bids", "sub-01")
    image_path(root, "sub-01").with_name("sub-01_acq-2d_FLAIR.nii.gz").touch()
    assert faults(root)["sub-01"] == (
        "FLAIR: wanted one file, found sub-01_FLAIR.nii.gz, sub-01_acq-2d_FLAIR.nii.gz; keep one of them",
    )


@pytest.mark.parametrize("name", ["sub-02_FLAIR.nii.gz", "sub-01_ses-1_FLAIR.nii.gz", "sub-011_FLAIR.nii.gz"])
def test_a_file_of_another_study_is_not_used(tmp_path, name):
    root = draw_dataset(tmp_path / "bids", "sub-01")
    image_path(root, "sub-01").rename(image_path(root, "sub-01").with_name(name))
    assert f"found {name}" in faults(root)["sub-01"][0]


def test_invalid_labels_are_masked_because_they_may_be_a_patients_name(tmp_path):
    root = draw_dataset(tmp_path / "bids", "sub-01")
    (root / "sub-Smith, John 7" / "anat").mkdir(parents=True)
    image_path(root, "sub-01").rename(image_path(root, "sub-01").with_name("Smith John 7.nii.gz"))
    found = faults(root)
    assert "letters and digits" in found["sub-xxxxx, xxxx 9"][0]
    assert "found xxxxx xxxx 9.xxx.xx; add it" in found["sub-01"][0]
    assert "Smith" not in str(found)


def test_links_are_followed_only_inside_the_dataset(tmp_path):
    root = draw_dataset(tmp_path / "bids", "sub-01", "sub-02", "sub-03")
    annex = root / ".git" / "annex"
    annex.mkdir(parents=True)
    for study, target in [("sub-01", annex / "a.nii.gz"), ("sub-02", tmp_path / "b.nii.gz")]:
        image_path(root, study).rename(target)
        image_path(root, study).symlink_to(target)
    image_path(root, "sub-03").unlink()
    image_path(root, "sub-03").symlink_to(annex / "not-fetched.nii.gz")
    assert [files.study for files in find_studies(root, TASK).studies] == ["sub-01"]
    assert "a link out of the dataset" in faults(root)["sub-02"][0]
    assert "fetch its content (datalad get)" in faults(root)["sub-03"][0]


def test_a_folder_named_like_an_image_is_not_an_image(tmp_path):
    root = draw_dataset(tmp_path / "bids", "sub-01")
    image_path(root, "sub-01").unlink()
    image_path(root, "sub-01").mkdir()
    assert "is not a file" in faults(root)["sub-01"][0]


def test_two_rows_for_one_patient_are_refused(tmp_path):
    root = draw_dataset(tmp_path / "bids", "sub-01")
    (root / "participants.tsv").write_text("participant_id\tage\nsub-01\t40\nsub-01\t41\nJane Roe\t1\nJane Roe\t2\n")
    with pytest.raises(DatasetError, match="one row per patient, found several for sub-01, xxxx xxx;"):
        find_studies(root, TASK)


def test_a_folder_that_leads_out_of_the_dataset_is_not_followed(tmp_path):
    elsewhere = draw_dataset(tmp_path / "elsewhere", "sub-02")
    root = draw_dataset(tmp_path / "bids", "sub-01")
    (root / "sub-02").symlink_to(elsewhere / "sub-02")
    assert "a link out of the dataset" in faults(root)["sub-02"][0]


def test_the_dataset_folder_itself_may_be_a_link(tmp_path):
    (tmp_path / "link").symlink_to(draw_dataset(tmp_path / "bids", "sub-01"))
    assert len(find_studies(tmp_path / "link", TASK).studies) == 1


def without_description(root: Path) -> None:
    (root / "dataset_description.json").unlink()


def broken_description(root: Path) -> None:
    (root / "dataset_description.json").write_text("{")


def bare_description(root: Path) -> None:
    (root / "dataset_description.json").write_text("{}")


def latin_table(root: Path) -> None:
    (root / "participants.tsv").write_bytes("participant_id\tsite\nsub-01\tZürich\n".encode("latin-1"))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (without_description, "found no dataset_description.json"),
        (broken_description, r"is not valid JSON \(line 1, column 2"),
        (bare_description, "wanted the field BIDSVersion"),
        (latin_table, "save it as UTF-8"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_an_invalid_dataset_is_refused(tmp_path, spoil, message):
    root = draw_dataset(tmp_path / "bids", "sub-01")
    spoil(root)
    with pytest.raises(DatasetError, match=message):
        find_studies(root, TASK)


def test_an_empty_dataset_and_a_missing_one_give_different_errors(tmp_path):
    with pytest.raises(
        DatasetError, match=r"has no study for flair-single; wanted sub-\*/.*_FLAIR.nii.gz, and derivatives/manual/"
    ):
        find_studies(draw_dataset(tmp_path / "bids"), TASK)
    with pytest.raises(DatasetError, match="there is no such folder"):
        find_studies(tmp_path / "nowhere", TASK)


labels = st.text("abcXYZ019", min_size=1, max_size=4)


@given(st.dictionaries(st.sampled_from(["sub", "ses", "acq", "ce", "run"]), labels), labels)
def test_a_composed_name_is_parsed_back_into_its_entities_and_suffix(entities, suffix):
    name = "_".join([*(f"{key}-{value}" for key, value in entities.items()), suffix])
    for ending in (".nii", ".nii.gz"):
        parsed = parse_name(name + ending)
        assert parsed is not None
        assert (parsed.entities, parsed.suffix) == (entities, suffix)


@pytest.mark.parametrize(
    "name", ["FLAIR.json", "sub-01_FLAIR.nii.gz.bak", "sub01_FLAIR.nii", "sub-01__FLAIR.nii", ".nii"]
)
def test_other_names_are_not_bids_names(name):
    assert parse_name(name) is None


@pytest.mark.parametrize(
    ("image", "mask", "refused"),
    [("run-1", "run-2", True), ("acq-2d", "acq-3d", True), ("run-1", "run-1", False), ("acq-3d", "run-1", False)],
)
def test_a_mask_whose_name_says_another_image_is_refused(tmp_path, image, mask, refused):
    root = draw_dataset(tmp_path / "bids", "sub-01")
    for path, entity in ((image_path(root, "sub-01"), image), (mask_path(root, "sub-01"), mask)):
        path.rename(path.with_name(path.name.replace("sub-01_", f"sub-01_{entity}_")))
    assert (
        any("by its name drawn on another image" in fault for own in faults(root).values() for fault in own) is refused
    )


@pytest.mark.parametrize(
    ("wrong", "shown"),
    [("Sub-02", "Sub-99"), ("sub_02", "sub_99"), ("sub02", "sub99"), ("sub-01/Anat", "sub-01/Anat")],
)
def test_a_folder_that_only_seems_to_be_one_of_bids_is_named(tmp_path, wrong, shown):
    root = draw_dataset(tmp_path / "bids", "sub-01")
    (root / wrong).mkdir()
    assert find_studies(root, TASK).notes == (
        f"not read: {shown}; wanted folders called sub-<label>, ses-<label> and anat; rename them",
    )


def test_a_subject_without_any_study_is_named(tmp_path):
    root = draw_dataset(tmp_path / "bids", "sub-01", "sub-02")
    image_path(root, "sub-02").unlink()
    mask_path(root, "sub-02").unlink()
    assert find_studies(root, TASK).notes == (
        "1 subject has no study for flair-single (sub-02): no mask, and no image; not used",
    )
