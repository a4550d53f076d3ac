"""Rows, volumes and predictions of a study in the store in; the paper's Figure 3B out: what each model sees and misses.

i j k native voxel axes as stored; R A S the same axes turned to right, front, top; row, column: as displayed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from lesionlab.analysis.conditions import Condition, rows_of
from lesionlab.imaging.resample import resample_linear
from lesionlab.imaging.volume import grid_of, matrix_of, spacing_of
from lesionlab.store.arrays import group_exists, read_array, read_attributes
from lesionlab.store.objects import Store
from storage_schemas import keys
from storage_schemas.manifests import ManifestEntry
from storage_schemas.results import StudyRow
from storage_schemas.volumes import ATTRIBUTE, Grid, StudyVolumeCard

CHOICE = (
    "of the test studies that most of these models were tested on, those with the smallest, the median and the largest "
    "volume of reference lesions"
)
"""What `representative_studies` does, in words."""

Picture = NDArray[np.float32]
Outline = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Panel:
    """One model on one slice: its mask, or why there is none; and what it counted in the whole study."""

    condition: Condition
    mask: Outline | None
    caption: str


@dataclass(frozen=True, eq=False)
class StudySlice:
    """One axial native slice, seen from below (the patient's right is on the left, front is up)."""

    study: str
    caption: str
    picture: Picture
    reference: Outline
    spacing_mm: tuple[float, float]
    """Of rows and columns."""
    panels: tuple[Panel, ...]


def shown_models(models: Sequence[Condition]) -> tuple[Condition, ...]:
    """The default model, then de novo and fine-tuned at the smallest and at the largest size."""
    sizes = [model.training_size for model in models if model.arm != "default"]
    ends = {min(sizes), max(sizes)} if sizes else set()
    chosen = [model for model in models if model.arm == "default" or model.training_size in ends]
    return tuple(sorted(chosen, key=lambda model: (model.training_size, model.arm)))


def representative_studies(rows: Sequence[StudyRow], models: Sequence[Condition]) -> tuple[str, ...]:
    """Smallest, median and largest reference volume of the studies that most of these models were tested on.

    The choice looks at the reference alone, never at a prediction; the lower median is taken, ties go by name. Studies
    without a reference lesion have no slice to show.
    """
    tested: dict[tuple[float, str], int] = {}
    for model in models:
        for load, study in {(row.reference_ml, row.study) for row in rows_of(model, rows) if row.reference_ml > 0}:
            tested[load, study] = tested.get((load, study), 0) + 1
    most = max(tested.values(), default=0)
    by_load = [study for (_, study), models_tested in sorted(tested.items()) if models_tested == most]
    if not by_load:
        return ()
    return tuple(dict.fromkeys((by_load[0], by_load[(len(by_load) - 1) // 2], by_load[-1])))


def read_slice(store: Store, entry: ManifestEntry, rows: Sequence[StudyRow], models: Sequence[Condition]) -> StudySlice:
    """The axial slice with the most reference lesion of one study, with every model's prediction on it."""
    key = keys.STUDY_VOLUME.build(site=entry.site, study=entry.study, digest=entry.volume)
    card = StudyVolumeCard.model_validate(read_attributes(store, key)[ATTRIBUTE])
    reference_ijk = read_array(store, key, "native_label")
    plane = _fullest_axial_plane(reference_ijk, card.native_grid)
    image_IJK = read_array(store, key, "image")[0].astype(np.float32)
    picture_ijk = resample_linear(image_IJK, card.study_grid, plane.grid, outside=float(image_IJK.min()))
    own = [row for row in rows if row.study == entry.study]
    return StudySlice(
        study=entry.study,
        caption=f"{own[0].reference_lesions} lesions, {own[0].reference_ml:.1f} ml\nslice at z = {plane.z_mm:.0f} mm",
        picture=plane.display(picture_ijk),
        reference=plane.cut(reference_ijk),
        spacing_mm=plane.spacing_mm,
        panels=tuple(_panel(store, rows_of(model, own), model, plane) for model in models),
    )


@dataclass(frozen=True)
class _Plane:
    """One layer of a native grid, across the voxel axis that runs most nearly up and down."""

    axis: int
    index: int
    grid: Grid
    """Of this layer alone: one voxel thick."""

    @property
    def z_mm(self) -> float:
        """World height of its centre."""
        return float((matrix_of(self.grid) @ [*((np.array(self.grid.shape) - 1) / 2), 1])[2])

    @property
    def spacing_mm(self) -> tuple[float, float]:
        """Of rows and columns as displayed."""
        spacing = spacing_of(matrix_of(self.grid))
        right, front = (spacing[axis] for axis in _axes_to_ras(self.grid)[:2])
        return front, right

    def display(self, layer_ijk: NDArray[Any]) -> NDArray[Any]:
        """The layer as radiologists look at it."""
        layer_RAS = nib.orientations.apply_orientation(layer_ijk, nib.io_orientation(matrix_of(self.grid)))
        return np.ascontiguousarray(layer_RAS[::-1, ::-1, 0].T)

    def cut(self, mask_ijk: NDArray[np.uint8]) -> Outline:
        """This layer of a native mask, displayed."""
        return self.display(np.take(mask_ijk, [self.index], axis=self.axis)).astype(bool)


def _axes_to_ras(grid: Grid) -> list[int]:
    """The voxel axes that run most nearly left to right, back to front, and up."""
    return [int(axis) for axis in np.argsort(nib.io_orientation(matrix_of(grid))[:, 0])]


def _fullest_axial_plane(mask_ijk: NDArray[np.uint8], grid: Grid) -> _Plane:
    axis = _axes_to_ras(grid)[2]
    index = int(np.argmax(mask_ijk.sum(axis=tuple({0, 1, 2} - {axis}))))
    shape, step = list(grid.shape), np.eye(4)
    shape[axis], step[axis, 3] = 1, index
    return _Plane(axis, index, grid_of(tuple(shape), matrix_of(grid) @ step))


def _panel(store: Store, rows: Sequence[StudyRow], model: Condition, plane: _Plane) -> Panel:
    """`rows` are those of this model and study: one per seed, of which the first is shown."""
    if not rows:
        return Panel(model, None, "not tested\non this study")
    row = min(rows, key=lambda row: row.seed)
    key = keys.PREDICTION.build(run_id=row.run_id, study=row.study)
    if not group_exists(store, key):
        return Panel(model, None, "no prediction\nin the store")
    caption = f"found {row.found} of {row.reference_lesions}\nspurious {row.spurious}"
    return Panel(model, plane.cut(read_array(store, key, "mask")), caption)
