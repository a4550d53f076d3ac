"""`lesionlab score` scores two mask files as table, JSON and CSV, and refuses what it cannot score."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from storage_schemas.definitions import DEFINITIONS
from tests.jobs.conftest import Lesionlab

AFFINE = np.array([[-0.9, 0, 0, 40.0], [0, 0.9, 0, -50.0], [0, 0, 3.0, -20.0], [0, 0, 0, 1]])
VOXEL_MM3 = 0.9 * 0.9 * 3


def save(path: Path, voxels: np.ndarray, affine: np.ndarray = AFFINE) -> Path:
    nib.save(nib.Nifti1Image(voxels, affine), path)
    return path


@pytest.fixture
def reference(tmp_path: Path) -> Path:
    """A lesion of 24 voxels and one of a single voxel."""
    mask = np.zeros((20, 24, 12), dtype=np.uint8)
    mask[2:6, 3:6, 2:4] = mask[12, 14, 7] = 1
    return save(tmp_path / "reference.nii.gz", mask)


@pytest.fixture
def prediction(tmp_path: Path) -> Path:
    """Twelve voxels of the larger lesion, and a false positive of 8 voxels."""
    mask = np.zeros((20, 24, 12), dtype=np.uint8)
    mask[2:6, 3:6, 2] = mask[14:16, 4:6, 8:10] = 1
    return save(tmp_path / "prediction.nii.gz", mask)


def values_of(lesionlab: Lesionlab, *arguments: object) -> dict[str, object]:
    result = lesionlab("score", *arguments, "--json")
    assert result.exit_code == 0, result.output
    return dict(json.loads(result.stdout))


def test_the_counts_are_those_of_the_drawn_masks(lesionlab: Lesionlab, reference: Path, prediction: Path) -> None:
    values = values_of(lesionlab, reference, prediction)
    counts = ("reference_lesions", "true_positives", "missed", "predicted_lesions", "false_positives")
    assert [values[name] for name in counts] == [2, 1, 1, 2, 1]
    assert (values["sensitivity"], values["ppv"], values["f1"]) == (0.5, 0.5, 0.5)
    assert values["dice"] == pytest.approx(2 * 12 / (25 + 20))
    assert values["voxelwise_ppv"] == pytest.approx(12 / 20)
    assert values["reference_ml"] == pytest.approx(25 * VOXEL_MM3 / 1000)
    definition = values["definition"]
    assert isinstance(definition, dict)
    assert definition.pop("label") == DEFINITIONS["paper"].label()
    assert definition == DEFINITIONS["paper"].model_dump(mode="json")


def test_detection_is_given_by_lesion_volume(lesionlab: Lesionlab, reference: Path, prediction: Path) -> None:
    by_size = values_of(lesionlab, reference, prediction)["by_size"]
    assert isinstance(by_size, dict)
    drawn = [(size["up_to_mm3"], size["lesions"], size["hits"]) for size in by_size["reference"]]
    assert drawn == [(3.0, 1, 0), (10.0, 0, 0), (50.0, 0, 0), (100.0, 1, 1), (None, 0, 0), (None, 2, 1)]
    assert [size["share"] for size in by_size["reference"]] == [0.0, None, None, 1.0, None, 0.5]


def test_a_definition_is_given_by_name_or_as_a_file(
    lesionlab: Lesionlab, reference: Path, prediction: Path, tmp_path: Path
) -> None:
    assert values_of(lesionlab, reference, prediction, "--definition", "msseg-2")["reference_lesions"] == 1
    assert (
        values_of(lesionlab, reference, prediction, "--definition", DEFINITIONS["isbi-2015"].label())["true_positives"]
        == 1
    )
    own = tmp_path / "own.yaml"
    own.write_text("name: strict\nmatching: {rule: any-overlap, minimum_overlap: 0.6}\n")
    assert values_of(lesionlab, reference, prediction, "--definition", own)["true_positives"] == 0


def test_only_the_isbi_definition_gives_the_isbi_score(lesionlab: Lesionlab, reference: Path, prediction: Path) -> None:
    values = values_of(lesionlab, reference, prediction, "--definition", "isbi-2015")
    expected = (24 / 45 / 8 + 0.6 / 8 + 0.5 / 4 + 0.5 / 4) * 4 / 3
    assert values["isbi_score_without_corr"] == pytest.approx(expected)
    assert "isbi_score_without_corr" not in values_of(lesionlab, reference, prediction)


def test_by_default_tables_are_printed(lesionlab: Lesionlab, reference: Path, prediction: Path) -> None:
    result = lesionlab("score", reference, prediction, "--definition", "msseg-2")
    assert result.exit_code == 0
    version = DEFINITIONS["msseg-2"].version()
    for words in (
        f"definition msseg-2 (version {version}): ",
        "6-connectivity, over 3 mm³",
        "sensitivity",
        "50–100",
        "all",
    ):
        assert words in result.output


def test_every_lesion_is_a_line_of_the_csv(
    lesionlab: Lesionlab, reference: Path, prediction: Path, tmp_path: Path
) -> None:
    sheet = tmp_path / "lesions.csv"
    values_of(lesionlab, reference, prediction, "--lesions", sheet, "--definition", "one-to-one-iou")
    lines = list(csv.DictReader(sheet.read_text(encoding="utf-8").splitlines()))
    assert [(line["side"], line["outcome"], line["matched"]) for line in lines] == [
        ("reference", "true-positive", "1"),
        ("reference", "missed", ""),
        ("prediction", "true-positive", "1"),
        ("prediction", "false-positive", ""),
    ]
    single = lines[1]
    assert float(single["volume_mm3"]) == pytest.approx(VOXEL_MM3)
    place_mm = [float(single[axis]) for axis in ("x_mm", "y_mm", "z_mm")]
    assert place_mm == pytest.approx([40 - 0.9 * 12, -50 + 0.9 * 14, -20 + 3 * 7], abs=1e-4)


@pytest.mark.parametrize("definition", [name for name in DEFINITIONS if not name.startswith("one-to-one")])
def test_only_one_to_one_definitions_have_a_column_of_matches(
    lesionlab: Lesionlab, reference: Path, prediction: Path, tmp_path: Path, definition: str
) -> None:
    sheet = tmp_path / "lesions.csv"
    values_of(lesionlab, reference, prediction, "--lesions", sheet, "--definition", definition)
    header, first, *_ = sheet.read_text(encoding="utf-8").splitlines()
    assert header == "side,lesion,outcome,volume_mm3,x_mm,y_mm,z_mm,overlap"
    assert len(first.split(",")) == 8


def test_the_numbers_of_the_csv_are_rounded_to_a_millionth(lesionlab: Lesionlab, tmp_path: Path) -> None:
    """NIfTI stores the affine in float32; unrounded these are 5.670000128746029 mm³ and 0.20000001043081284 mm."""
    affine = np.array([[0.7, 0, 0, -0.7], [0, 0.3, 0, -0.1], [0, 0, 1.0, 0], [0, 0, 0, 1]])
    drawn, sheet = save(tmp_path / "drawn.nii.gz", np.ones((3, 3, 3), dtype=np.uint8), affine), tmp_path / "lesions.csv"
    values_of(lesionlab, drawn, drawn, "--lesions", sheet)
    lines = list(csv.DictReader(sheet.read_text(encoding="utf-8").splitlines()))
    assert lines[0]["volume_mm3"] == "5.67"
    assert [lines[0][axis] for axis in ("x_mm", "y_mm", "z_mm")] == ["0.0", "0.2", "1.0"]


def test_two_empty_masks_are_undefined_not_perfect(lesionlab: Lesionlab, tmp_path: Path) -> None:
    empty = save(tmp_path / "empty.nii.gz", np.zeros((4, 4, 4), dtype=np.uint8))
    values = values_of(lesionlab, empty, empty, "--definition", "isbi-2015")
    names = ("sensitivity", "ppv", "f1", "dice", "voxelwise_ppv", "isbi_score_without_corr")
    assert [values[name] for name in names] == [None] * len(names)


def stored_as_0_and_255(path: Path, mask: nib.Nifti1Image) -> Path:
    return save(path, np.asarray(mask.dataobj) * np.uint8(255))


def stored_as_float(path: Path, mask: nib.Nifti1Image) -> Path:
    return save(path, np.asarray(mask.dataobj).astype(np.float64))


def stored_in_another_order(path: Path, mask: nib.Nifti1Image) -> Path:
    turned = mask.as_reoriented(np.array([[1, -1], [2, 1], [0, -1]]))
    return save(path, np.asarray(turned.dataobj), turned.affine)


@pytest.mark.parametrize("store", [stored_as_0_and_255, stored_as_float, stored_in_another_order])
def test_the_score_does_not_depend_on_how_the_prediction_is_stored(
    lesionlab: Lesionlab, reference: Path, prediction: Path, tmp_path: Path, store
) -> None:
    again = store(tmp_path / "again.nii.gz", nib.load(prediction))
    for definition in DEFINITIONS:
        straight = values_of(lesionlab, reference, prediction, "--definition", definition)
        assert values_of(lesionlab, reference, again, "--definition", definition) == straight


def test_a_probability_map_is_scored_at_a_threshold(lesionlab: Lesionlab, reference: Path, tmp_path: Path) -> None:
    probability = np.zeros((20, 24, 12), dtype=np.float32)
    probability[2:6, 3:6, 2:4], probability[12, 14, 7], probability[16, 4, 8] = 0.7, 0.4, 0.3
    soft = save(tmp_path / "soft.nii.gz", probability)
    counts = {
        threshold: [values[name] for name in ("true_positives", "false_positives")]
        for threshold in (0.2, 0.4, 0.7, 0.71)
        for values in [values_of(lesionlab, reference, soft, "--threshold", threshold)]
    }
    assert counts == {0.2: [2, 1], 0.4: [2, 0], 0.7: [1, 0], 0.71: [0, 0]}


def test_one_label_of_many_is_scored(lesionlab: Lesionlab, tmp_path: Path) -> None:
    labels = np.zeros((20, 24, 12), dtype=np.int16)
    labels[2:6, 3:6, 2:4], labels[12, 14, 7], labels[16, 4, 8] = 3, 3, 1
    mask, many = save(tmp_path / "mask.nii.gz", (labels == 3).astype(np.uint8)), save(tmp_path / "many.nii.gz", labels)
    of_both = values_of(lesionlab, many, many, "--reference-label", 3, "--label", 1)
    names = ("reference_lesions", "true_positives", "predicted_lesions", "false_positives")
    assert [of_both[name] for name in names] == [2, 0, 1, 1]
    assert values_of(lesionlab, mask, many, "--label", 3) == values_of(lesionlab, mask, mask)
    assert values_of(lesionlab, many, mask, "--reference-label", 3) == values_of(lesionlab, mask, mask)


def test_values_other_than_0_and_1_are_refused_and_the_options_for_them_are_named(
    lesionlab: Lesionlab, tmp_path: Path
) -> None:
    labels = np.zeros((4, 4, 4), dtype=np.uint8)
    labels[0, 0, :3] = 1, 2, 3
    drawn, predicted = save(tmp_path / "drawn.nii", labels), save(tmp_path / "predicted.nii", labels / np.float32(3))
    result = lesionlab("score", drawn, predicted)
    assert result.exit_code == 1
    of_drawn, of_predicted = result.output.splitlines()
    assert "found the values 0, 1, 2, 3;" in of_drawn
    assert "--reference-label" in of_drawn
    assert "--threshold" in of_predicted
    assert "--label" in of_predicted


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--label", 1), "found the value 0.5"),
        (("--label", 1, "--threshold", 0.5), "--label and --threshold"),
    ],
)
def test_a_probability_map_is_not_a_label_map(
    lesionlab: Lesionlab, reference: Path, tmp_path: Path, options: tuple[object, ...], words: str
) -> None:
    soft = save(tmp_path / "soft.nii.gz", np.full((20, 24, 12), 0.5, dtype=np.float32))
    result = lesionlab("score", reference, soft, *options)
    assert result.exit_code == 1
    assert words in result.output


@pytest.mark.parametrize(
    ("values", "options", "note"),
    [
        ((0, 2, 3), ("--label", 7), "no voxel has label 7; its labels are 0, 2, 3"),
        ((0, 2, 3), ("--label", 3), None),
        ((0, 0.2, 0.42), ("--threshold", 0.5), "no voxel reaches the threshold 0.5; its highest value is 0.42"),
        ((0, 0.2, 0.42), ("--threshold", 0.3), None),
        ((0, 40, 255), ("--threshold", 0.5), "its values are 0 to 255, so they are no probabilities"),
        ((-4, 2, 3), ("--threshold", 0.5), "its values are -4 to 3, so they are no probabilities"),
        ((0.1, 0.4, 0.9), ("--threshold", 0.05), "every voxel reaches the threshold 0.05; its lowest value is 0.1"),
        ((0, 1, 1), ("--threshold", 0.5), "so it is a mask and any threshold gives the same"),
    ],
)
def test_a_label_or_threshold_that_does_not_fit_the_file_is_noted_and_scored(
    lesionlab: Lesionlab,
    reference: Path,
    tmp_path: Path,
    values: tuple[float, ...],
    options: tuple[object, ...],
    note: str | None,
) -> None:
    image = np.full((20, 24, 12), values[0], dtype=np.float32)
    image[2:6, 3:6, 2:4], image[12, 14, 7] = values[1], values[2]
    result = lesionlab("score", reference, save(tmp_path / "map.nii.gz", image), *options)
    assert result.exit_code == 0
    assert note in result.stderr if note else not result.stderr


def test_a_probability_map_has_peaks_and_counts_at_every_threshold(
    lesionlab: Lesionlab, reference: Path, tmp_path: Path
) -> None:
    soft = np.zeros((20, 24, 12), dtype=np.float32)
    soft[2:6, 3:6, 2:4], soft[3, 3, 3], soft[16, 4, 8] = 0.4, 0.875, 0.62
    file, sheet = save(tmp_path / "soft.nii.gz", soft), tmp_path / "lesions.csv"
    values = values_of(lesionlab, reference, file, "--threshold", 0.4, "--lesions", sheet)
    counts = {point["threshold"]: (point["true_positives"], point["false_positives"]) for point in values["thresholds"]}
    assert (counts[0.4], counts[0.6], counts[0.7], counts[0.9]) == ((1, 1), (1, 1), (1, 0), (0, 0))
    lines = list(csv.DictReader(sheet.read_text(encoding="utf-8").splitlines()))
    assert [(line["side"], line["peak"]) for line in lines] == [
        ("reference", "0.87"),
        ("reference", "0.0"),
        ("prediction", "0.87"),
        ("prediction", "0.62"),
    ]


def test_a_map_beyond_1_has_no_probabilities(lesionlab: Lesionlab, reference: Path, tmp_path: Path) -> None:
    file = save(tmp_path / "percent.nii.gz", np.full((20, 24, 12), 80, dtype=np.uint8))
    assert "thresholds" not in values_of(lesionlab, reference, file, "--threshold", 50)


def test_two_missing_files_are_both_named(lesionlab: Lesionlab, tmp_path: Path) -> None:
    result = lesionlab("score", tmp_path / "drawn.nii", tmp_path / "predicted.nii.gz")
    assert result.exit_code == 1
    for line, name in zip(result.output.splitlines(), ("drawn.nii", "predicted.nii.gz"), strict=True):
        assert f"{name}: no such file" in line


def test_masks_on_two_grids_are_refused_with_what_to_do(lesionlab: Lesionlab, reference: Path, tmp_path: Path) -> None:
    smaller = save(tmp_path / "smaller.nii.gz", np.zeros((20, 24, 11), dtype=np.uint8))
    beside = AFFINE.copy()
    beside[0, 3] += 2
    moved = save(tmp_path / "moved.nii.gz", np.zeros((20, 24, 12), dtype=np.uint8), beside)
    for other, words in [
        (smaller, ("20 × 24 × 11", "20 × 24 × 12")),
        (moved, ("corners up to 2 mm away",)),
    ]:
        result = lesionlab("score", reference, other)
        assert result.exit_code == 1
        for word in (other.name, "0.9 × 0.9 × 3 mm", "nearest", *words):
            assert word in result.output


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("isbi", ("paper, isbi-2015, msseg-2,", "found 'isbi'", "YAML")),
        ("paper@0000000000000000", (DEFINITIONS["paper"].label(), "found 'paper@0000000000000000'")),
        ("no-such.yaml", ("no-such.yaml", "cannot be read")),
    ],
)
def test_an_unknown_definition_is_refused_with_the_known_ones(
    lesionlab: Lesionlab, reference: Path, name: str, words: tuple[str, ...]
) -> None:
    result = lesionlab("score", reference, reference, "--definition", name)
    assert result.exit_code == 1
    for word in words:
        assert word in result.output


@pytest.mark.parametrize(
    ("file", "content", "name"),
    [
        ("strict.yaml", "connectivity: 6", "strict"),
        ("My own_Rule 2.yml", "connectivity: 6", "my-own_rule-2"),
        ("strict.yaml", "{name: six, connectivity: 6}", "six"),
        ("my.yaml", "name: paper", "paper"),
    ],
)
def test_a_definition_file_without_a_name_is_named_after_the_file(
    lesionlab: Lesionlab, reference: Path, tmp_path: Path, file: str, content: str, name: str
) -> None:
    own = tmp_path / file
    own.write_text(content)
    definition = values_of(lesionlab, reference, reference, "--definition", own)["definition"]
    assert isinstance(definition, dict)
    assert definition["name"] == name


@pytest.mark.parametrize(
    ("file", "content"), [("six.yaml", "{name: paper, connectivity: 6}"), ("paper.yaml", "connectivity: 6")]
)
def test_other_rules_cannot_use_the_name_of_a_built_in_definition(
    lesionlab: Lesionlab, reference: Path, tmp_path: Path, file: str, content: str
) -> None:
    own = tmp_path / file
    own.write_text(content)
    result = lesionlab("score", reference, reference, "--definition", own)
    assert result.exit_code == 1
    assert "paper is the name of a built-in definition" in result.output


def test_a_mistyped_key_of_a_definition_file_is_reported_with_a_suggestion(
    lesionlab: Lesionlab, reference: Path, tmp_path: Path
) -> None:
    own = tmp_path / "own.yaml"
    own.write_text("conectivity: 6\n")
    result = lesionlab("score", reference, reference, "--definition", own)
    assert result.exit_code == 1
    assert "did you mean connectivity?" in result.output


def test_every_fault_of_a_definition_file_is_reported(lesionlab: Lesionlab, reference: Path, tmp_path: Path) -> None:
    own = tmp_path / "own.yml"
    own.write_text("connectivity: 8\nmatching: {rule: one-to-one, threshold: 2}\nminimum_overlap: 0.5\n")
    result = lesionlab("score", reference, reference, "--definition", own)
    assert result.exit_code == 1
    for place in ("connectivity", "matching.one-to-one.threshold", "minimum_overlap"):
        assert place in result.output


def test_the_definitions_are_listed_with_their_rules(lesionlab: Lesionlab) -> None:
    result = lesionlab("score", "--definitions")
    assert result.exit_code == 0
    for name in DEFINITIONS:
        assert name in result.output
    assert "matched one to one, Dice at least 0.5" in result.output


def test_a_file_that_cannot_be_written_is_named(lesionlab: Lesionlab, reference: Path, tmp_path: Path) -> None:
    result = lesionlab("score", reference, reference, "--lesions", tmp_path / "nowhere" / "lesions.csv")
    assert result.exit_code == 1
    assert "nowhere" in result.output


def test_scoring_imports_neither_torch_nor_ray(reference: Path) -> None:
    code = (
        "import sys; from jobs.cli import app; "
        f"app(['score', {str(reference)!r}, {str(reference)!r}, '--json'], standalone_mode=False); "
        "print({'torch', 'ray', 'ants', 'pandas'} & set(sys.modules), file=sys.stderr)"
    )
    result = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert json.loads(result.stdout)["true_positives"] == 2
    assert result.stderr.strip() == "set()"


def test_a_prediction_on_the_references_other_form_is_compared_voxel_by_voxel_if_asked(
    lesionlab: Lesionlab, reference: Path, tmp_path: Path
) -> None:
    """SPM moved the reference's sform; the prediction was written with its qform."""
    moved = nib.Nifti1Image(np.asarray(nib.load(reference).dataobj), AFFINE)
    moved.set_qform(AFFINE, code=1)
    moved.set_sform(nib.affines.from_matvec(np.eye(3), [10, -5, 3]) @ AFFINE, code=2)
    nib.save(moved, tmp_path / "moved.nii.gz")
    refused = lesionlab("score", tmp_path / "moved.nii.gz", reference)
    assert refused.exit_code == 1
    said = " ".join(refused.output.split())
    for words in ("lies on the qform grid", "do not resample it", "--same-voxels"):
        assert words in said
    assert values_of(lesionlab, tmp_path / "moved.nii.gz", reference, "--same-voxels")["sensitivity"] == 1
    beside = AFFINE.copy()
    beside[0, 3] += 2
    elsewhere = save(tmp_path / "elsewhere.nii.gz", np.zeros((20, 24, 12), dtype=np.uint8), beside)
    assert lesionlab("score", tmp_path / "moved.nii.gz", elsewhere, "--same-voxels").exit_code == 1
