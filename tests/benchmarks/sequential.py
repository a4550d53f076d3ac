"""Pairs of visits in; their subtraction volumes out: the plain script, as ANTsPy's documentation has it.

nibabel and `ants.registration`, one study after the other, on as many threads as ITK takes by itself: all of them.
Run by `ingestion.py` in a process of its own: dataset, folder for the results, spacing in mm.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path

import ants
import nibabel as nib
import numpy as np
from nibabel.processing import resample_to_output


def main(dataset: Path, out: Path, spacing_mm: float) -> None:
    """One line of JSON a study: its seconds; the last one: the peak memory of the process."""
    for initial in sorted(dataset.glob("sub-*/ses-01/anat/*_FLAIR.nii.gz")):
        start = time.perf_counter()
        subject = initial.name.partition("_")[0]
        follow_up = dataset / subject / "ses-02" / "anat" / f"{subject}_ses-02_FLAIR.nii.gz"
        fixed, moving = (as_ants(path, spacing_mm) for path in (initial, follow_up))
        found = ants.registration(fixed=fixed, moving=moving, type_of_transform="SyNRA")
        one, other = fixed.numpy(), found["warpedmovout"].numpy()
        difference = standardised(other, one > 0) - standardised(one, one > 0)
        np.savez_compressed(out / f"{subject}.npz", fixed=one, moved=other, difference=difference.astype(np.float16))
        print(json.dumps({"study": subject, "seconds": time.perf_counter() - start}), flush=True)
    print(json.dumps({"peak_kib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss}), flush=True)


def as_ants(path: Path, spacing_mm: float) -> ants.core.ANTsImage:
    """The image on an isotropic grid, linear."""
    image = resample_to_output(nib.load(path), voxel_sizes=(spacing_mm,) * 3, order=1)
    # World millimetres are RAS in NIfTI and LPS in ITK.
    affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ image.affine
    voxels = np.asarray(image.dataobj, dtype=np.float32)
    direction = affine[:3, :3] / spacing_mm
    return ants.from_numpy(voxels, origin=tuple(affine[:3, 3]), spacing=(spacing_mm,) * 3, direction=direction)


def standardised(image: np.ndarray, head: np.ndarray) -> np.ndarray:
    return (image - image[head].mean()) / image[head].std()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3]))
