"""Read a reference and a predicted mask from files, on one grid."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from jobs.shared.console import notes
from jobs.shared.output_file import no_file
from lesionlab.errors import ImageError, InputError
from lesionlab.evaluation.levels import Levels, levels_of
from lesionlab.imaging.forms import forms_of, gap_mm, on_other_form, same_grid
from lesionlab.imaging.resample import reoriented
from lesionlab.imaging.volume import MASK_ROUNDING, Image, Volume, read_map, read_mask

LABELS_LISTED = 10


@dataclass(frozen=True)
class MaskFile:
    """A mask file, or a label or probability map together with what counts as lesion in it."""

    path: Path
    options: str
    """The options that say what counts as lesion, for error messages."""
    label: int | None = None
    threshold: float | None = None

    def read(self) -> Volume:
        """The mask as uint8, 0 and 1. Raises ImageError with every fault."""
        if not self.path.is_file():
            raise ImageError(f"{self.path}: {no_file(self.path)}; check the path", code="missing-file")
        if self.threshold is not None:
            return self._thresholded(self.threshold)
        return self._mask() if self.label is None else self._labelled(self.label)

    def _thresholded(self, threshold: float) -> Volume:
        image = read_map(self.path)
        mask_ijk = (image.voxels >= threshold).astype(np.uint8)
        for what in threshold_notes(image.voxels, threshold):
            notes.print(f"{self.path}: {what}", style="yellow")
        return Volume(mask_ijk, image.affine)

    def _mask(self) -> Volume:
        try:
            return read_mask(self.path)
        except ImageError as error:
            if error.code != "mask-not-binary":
                raise
            raise ImageError(*(f"{fault}, or use {self.options}" for fault in error.args)) from error

    def _labelled(self, label: int) -> Volume:
        image = read_map(self.path)
        labels = np.rint(image.voxels)
        between = image.voxels[np.abs(image.voxels - labels) > MASK_ROUNDING]
        if between.size:
            raise ImageError(f"{self.path}: wanted integer labels, found the value {between[0]:g}; give a label map")
        mask_ijk = (labels == label).astype(np.uint8)
        if not mask_ijk.any():
            notes.print(f"{self.path}: no voxel has label {label}; its labels are {_few(labels)}", style="yellow")
        return Volume(mask_ijk, image.affine)


def threshold_notes(voxels_ijk: Image, threshold: float) -> Iterator[str]:
    """What suggests that a map holds no probabilities, or that the threshold is not one of this map."""
    values = np.unique(voxels_ijk)
    low, high = float(values[0]), float(values[-1])
    if set(values) <= {0, 1}:
        yield "its values are 0 and 1, so it is a mask and any threshold gives the same; leave out --threshold"
    elif low < 0 or high > 1 + MASK_ROUNDING:
        yield f"its values are {low:g} to {high:g}, so they are no probabilities; voxels from {threshold:g} on count"
    elif high < threshold:
        yield f"no voxel reaches the threshold {threshold:g}; its highest value is {high:g}"
    if low >= threshold and high != low:
        yield f"every voxel reaches the threshold {threshold:g}; its lowest value is {low:g}"


def _few(labels: Image) -> str:
    found = np.unique(labels)
    return ", ".join(f"{label:g}" for label in found[:LABELS_LISTED]) + (", …" if found.size > LABELS_LISTED else "")


def read_both(reference: MaskFile, prediction: MaskFile, *, same_voxels: bool) -> tuple[Volume, Volume]:
    """Both masks on the reference's grid. Raises InputError with every fault of both files.

    `same_voxels`: also accept a prediction that lies on the reference's other form (sform or qform), voxel by voxel.
    """
    masks: list[Volume] = []
    faults: list[str] = []
    for file in (reference, prediction):
        try:
            masks.append(file.read())
        except ImageError as error:
            faults.extend(error.args)
    if faults:
        raise InputError(*faults)
    reference_mask, predicted_mask = masks
    return reference_mask, on_one_grid(
        reference_mask, predicted_mask, prediction.path, reference.path, same_voxels=same_voxels
    )


def read_levels(reference: Volume, prediction: MaskFile, path: Path, *, same_voxels: bool = False) -> Levels | None:
    """A probability map on the reference's grid, on the 8-bit scale; None for a map with other values than 0 to 1.

    `path` and `same_voxels` as in `on_one_grid`. Raises InputError if the grids differ.
    """
    image = read_map(prediction.path)
    if image.voxels.size == 0 or image.voxels.min() < 0 or image.voxels.max() > 1 + MASK_ROUNDING:
        return None
    placed = on_one_grid(reference, image, prediction.path, path, same_voxels=same_voxels)
    return levels_of(placed.voxels.astype(np.float32))


def on_one_grid(
    reference: Volume, prediction: Volume, name: Path, path: Path | None = None, *, same_voxels: bool = False
) -> Volume:
    """The prediction, of the file `name`, with its axes in the reference's order.

    With `same_voxels` it may lie on the other form of the reference's file `path`; None: the file is not there. Raises
    InputError if the grids differ.
    """
    placed = reoriented(prediction, reference.grid)
    if same_grid(prediction.grid, reference.grid):
        return placed
    forms, shown = forms_of(name), None if path is None else forms_of(path)
    same = on_other_form(prediction, forms, shown) if forms and shown else None
    if same is not None and same_voxels:
        return same
    if same is not None and path is not None:
        raise InputError(
            f"{name}: it lies on the qform grid, while {path.name} is placed by its sform: they have the same voxels "
            "but not the same affine; do not resample it, which would move its lesions; if it was made on these "
            "voxels, add --same-voxels"
        )
    where = ""
    if placed.voxels.shape == reference.voxels.shape:
        where = f" in another place, with corners up to {gap_mm(prediction.grid, reference.grid):.2g} mm away"
    raise InputError(
        f"{name}: its grid is {_grid(prediction)}, that of the reference {_grid(reference)}{where}; "
        "resample the prediction to the reference's grid, "
        "for example with nilearn.image.resample_to_img(…, interpolation='nearest')"
    )


def _grid(volume: Volume) -> str:
    shape = " × ".join(map(str, volume.voxels.shape))
    return f"{shape} voxels of {' × '.join(f'{mm:.4g}' for mm in volume.spacing_mm)} mm"
