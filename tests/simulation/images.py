"""Read back the files that a simulation wrote."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage


def voxels(path: Path) -> NDArray[Any]:
    """All voxels of a NIfTI file."""
    return np.asarray(nib.load(path).dataobj)


def count_lesions(mask: NDArray[Any]) -> int:
    """Number of connected components (26-connectivity)."""
    return int(ndimage.label(mask, np.ones((3, 3, 3)))[1])


def tree(root: Path) -> dict[str, bytes]:
    """Every file below `root`, by its relative path."""
    return {str(p.relative_to(root)): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}
