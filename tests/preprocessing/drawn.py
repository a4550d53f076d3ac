"""Draw a small BIDS dataset by hand: heads with lesions, in a folder such as a site would send."""

import json
from pathlib import Path

import nibabel as nib
import numpy as np

OBLIQUE = nib.affines.from_matvec(
    nib.eulerangles.euler2mat(0.05, 0.1, -0.08) @ np.diag([-2.0, 2.0, 4.0]), [24.0, -30.0, -22.0]
)
SHAPE = (24, 28, 12)
LESIONS = (((9, 12, 5), 2), ((15, 17, 6), 1), ((14, 9, 7), 1))
"""First corner and edge (voxels) of each lesion: cubes of 8, 1 and 1 voxels."""


def head(seed: int) -> np.ndarray:
    """A bright ellipsoid in noisy air, different for each seed; i j k, int16."""
    rng = np.random.default_rng(seed)
    unit = (np.indices(SHAPE).transpose(1, 2, 3, 0) - (np.array(SHAPE) - 1) / 2) / (np.array(SHAPE) * 0.42)
    signal_ijk = np.where(np.linalg.norm(unit, axis=-1) < 1, 400 + rng.normal(0, 40, SHAPE), rng.normal(0, 5, SHAPE))
    for (i, j, k), edge in LESIONS:
        signal_ijk[i : i + edge, j : j + edge, k : k + edge] = 900
    return np.abs(signal_ijk).astype(np.int16)


def lesions() -> np.ndarray:
    """Three lesions; i j k, uint8."""
    mask_ijk = np.zeros(SHAPE, dtype=np.uint8)
    for (i, j, k), edge in LESIONS:
        mask_ijk[i : i + edge, j : j + edge, k : k + edge] = 1
    return mask_ijk


def image_path(root: Path, study: str) -> Path:
    return root / study.replace("_", "/") / "anat" / f"{study}_FLAIR.nii.gz"


def mask_path(root: Path, study: str) -> Path:
    folder = root / "derivatives" / "manual" / study.replace("_", "/") / "anat"
    return folder / f"{study}_label-lesion_mask.nii.gz"


def save(path: Path, voxels_ijk: np.ndarray, affine: np.ndarray = OBLIQUE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(voxels_ijk, affine), path)
    return path


def draw_dataset(root: Path, *studies: str) -> Path:
    """Write a dataset with these studies (`sub-01`, `sub-02_ses-b`), each with a different head."""
    root.mkdir(exist_ok=True)
    (root / "dataset_description.json").write_text(json.dumps({"Name": "Drawn", "BIDSVersion": "1.10.0"}))
    for seed, study in enumerate(studies):
        save(image_path(root, study), head(seed))
        save(mask_path(root, study), lesions())
    return root
