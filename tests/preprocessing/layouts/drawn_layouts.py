"""Draw datasets in the layouts that releases and hospitals use, with the published file names."""

import csv
import json
from pathlib import Path

import numpy as np

from tests.preprocessing.drawn import SHAPE, head, lesions, save

ISBI_TIMEPOINTS = {"training01": 4, "training02": 4, "training03": 5, "training04": 4, "training05": 4}
MSSEG2_PATIENTS = ("013", "015", "016")


def draw_pairs(root: Path, *subjects: str) -> Path:
    """A BIDS dataset of patients with two visits; the mask of new lesions is on the first visit's image."""
    root.mkdir(exist_ok=True)
    (root / "dataset_description.json").write_text(json.dumps({"Name": "Drawn pairs", "BIDSVersion": "1.10.0"}))
    for seed, subject in enumerate(subjects):
        for visit in (1, 2):
            save(flair_of(root, subject, visit), head(10 * seed + visit))
        save(new_lesions_of(root, subject), lesions())
    return root


def flair_of(root: Path, subject: str, visit: int) -> Path:
    return root / subject / f"ses-{visit:02d}" / "anat" / f"{subject}_ses-{visit:02d}_FLAIR.nii.gz"


def new_lesions_of(root: Path, subject: str, space: str | None = "ses01", visit: int = 2, tree: str = "manual") -> Path:
    session = f"ses-{visit:02d}"
    name = "_".join([subject, session, *([f"space-{space}"] if space else []), "label-newlesion_mask.nii.gz"])
    return root / "derivatives" / tree / subject / session / "anat" / name


def draw_transform(mask: Path, start: str, to: str) -> Path:
    """Write an identity affine in ITK format next to a mask."""
    path = mask.with_name(f"{mask.name.split('_')[0]}_from-{start}_to-{to}_mode-image_xfm.txt")
    parameters = "Parameters: 1 0 0 0 1 0 0 0 1 0 0 0\nFixedParameters: 0 0 0\n"
    path.write_text(f"#Insight Transform File V1.0\n#Transform 0\nTransform: AffineTransform_double_3_3\n{parameters}")
    return path


def draw_isbi2015(root: Path, ending: str = ".nii") -> Path:
    """The training data as released: 5 patients, 21 timepoints, four contrasts, two raters."""
    for patient, timepoints in ISBI_TIMEPOINTS.items():
        for timepoint in range(1, timepoints + 1):
            stem = f"{patient}_{timepoint:02d}"
            for contrast in ("flair", "mprage", "t2", "pd"):
                (root / patient / "orig").mkdir(parents=True, exist_ok=True)
                (root / patient / "orig" / f"{stem}_{contrast}.nii.gz").touch()
                save(root / patient / "preprocessed" / f"{stem}_{contrast}_pp{ending}", head(timepoint))
            for rater in (1, 2):
                save(root / patient / "masks" / f"{stem}_mask{rater}{ending}", lesions()[:: (-1) ** rater])
    return root


def draw_msseg2(root: Path) -> Path:
    """Some patients as released, with the masks of four experts and their consensus."""
    for seed, patient in enumerate(MSSEG2_PATIENTS):
        for time in (1, 2):
            save(root / patient / f"flair_time{time:02d}_on_middle_space.nii.gz", head(10 * seed + time))
        for name in ("ground_truth", *(f"ground_truth_expert{expert}" for expert in range(1, 5))):
            save(root / patient / f"{name}.nii.gz", lesions())
    return root


def _cycled(*labels: int) -> np.ndarray:
    return np.array(labels, dtype=np.uint8)[np.indices(SHAPE).sum(axis=0) % len(labels)]


BRATS_LABELS = {"_": _cycled(1, 2, 4), "-": _cycled(1, 2, 3, 4)}
"""Labels of the voxels inside a tumour, by what joins the file names of a release; in the later one 4 is a cavity."""
BRATS_CONTRASTS = {"_": ("flair", "t1", "t1ce", "t2"), "-": ("t2f", "t1n", "t1c", "t2w")}


def draw_brats(root: Path, folder: str) -> Path:
    """One patient as released: four contrasts and the segmentation."""
    name = Path(folder).name
    joint = "-" if name.startswith("BraTS-") else "_"
    for seed, contrast in enumerate(BRATS_CONTRASTS[joint]):
        save(root / folder / f"{name}{joint}{contrast}.nii.gz", head(seed))
    save(root / folder / f"{name}{joint}seg.nii.gz", lesions() * BRATS_LABELS[joint])
    return root


def write_table(path: Path, rows: list[dict[str, str]]) -> Path:
    """Write only a table of paths."""
    path.parent.mkdir(parents=True, exist_ok=True)
    columns = list(dict.fromkeys(column for row in rows for column in row))
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns, delimiter="\t" if path.suffix == ".tsv" else ",", restval="")
        writer.writeheader()
        writer.writerows(rows)
    return path


def draw_table(path: Path, rows: list[dict[str, str]]) -> Path:
    """Write a table of paths and the images and masks that it names."""
    for seed, row in enumerate(rows):
        for column, cell in row.items():
            if cell.endswith((".nii", ".nii.gz")):
                save(path.parent / cell, lesions() if "mask" in column else head(100 * seed + len(column)))
    return write_table(path, rows)
