"""Write small NIfTI files for tests, valid or with any header field changed."""

import gzip
from pathlib import Path

import nibabel as nib
import numpy as np

OBLIQUE = nib.affines.from_matvec(
    nib.eulerangles.euler2mat(0.1, -0.2, 0.3) @ np.diag([-0.9, 0.9, 4.0]), [80.5, -100.25, -60]
)


def ramp(*shape: int) -> np.ndarray:
    """An image with a different value in each voxel, float32."""
    return np.arange(np.prod(shape), dtype=np.float32).reshape(shape)


def save(path: Path, voxels: np.ndarray, affine: np.ndarray = OBLIQUE) -> Path:
    nib.save(nib.Nifti1Image(voxels, affine), path)
    return path


def set_fields(path: Path, **fields: object) -> Path:
    """Overwrite these header fields of the file, unchecked; an array may be shorter than the field."""
    data = gzip.decompress(path.read_bytes()) if path.name.endswith(".gz") else path.read_bytes()
    header = nib.Nifti1Header(data[:348], check=False)
    for name, value in fields.items():
        if np.ndim(value):
            header[name][: len(value)] = value
        else:
            header[name] = value
    changed = header.binaryblock + data[348:]
    path.write_bytes(gzip.compress(changed) if path.name.endswith(".gz") else changed)
    return path
