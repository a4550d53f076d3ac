"""Find the brain in a head with deepbet, an optional extra. No other module imports it.

deepbet (Fisch et al. 2024, MIT licence) brings its weights in the wheel. It was trained on T1-weighted images.
"""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from typing import Any

import nibabel as nib
import numpy as np

from lesionlab.errors import ImageError, InputError
from lesionlab.imaging.volume import Mask, Volume


def require_deepbet() -> None:
    """Raises InputError, with the command that installs it, if deepbet is not there."""
    if find_spec("deepbet") is None:
        raise InputError("--strip: wanted deepbet, found it not installed; install it: pip install 'lesionlab[strip]'")


def deepbet_mask(image: Volume) -> Mask:
    """The brain of a whole head, uint8 on the image's grid.

    It computes on the CPU in one thread, so that the same image gives the same mask everywhere. Raises ImageError if it
    finds no brain, InputError if deepbet is not installed.
    """
    require_deepbet()
    from deepbet import utils

    torch = utils.torch
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        _, mask, _ = _extraction().run(nib.Nifti1Image(image.voxels.astype(np.float32), image.affine))
    except (AssertionError, ValueError) as error:  # what it raises if nothing stands out
        raise ImageError(f"wanted a head, found no brain in it ({error})", code="strip-failed") from error
    finally:
        torch.set_num_threads(threads)
    return np.asarray(mask.dataobj).astype(np.uint8)


@cache
def _extraction() -> Any:
    from deepbet import BrainExtraction

    return BrainExtraction(no_gpu=True)
