"""The study volume: one Zarr v3 group per study and preprocessing digest, with all that leads back to native space.

Arrays of the group (axes: C channel; I J K voxels of the study grid, RAS; i j k voxels of the native grid):

| array        | shape      | dtype   | what                                                             |
|--------------|------------|---------|------------------------------------------------------------------|
| image        | C, I, J, K | float16 | zero mean and unit SD over the head, on the isotropic study grid |
| label        | I, J, K    | uint8   | 1 where the reference has lesion, on the study grid              |
| native_label | i, j, k    | uint8   | the reference mask as it was drawn, on the native grid           |

Each array is one shard, so one object, so it has one writer. The group's attribute `study_volume` is a
`StudyVolumeCard`; its attribute `manifest_entry` is the `ManifestEntry` that lists the volume.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from storage_schemas.base import Digest, Document, Sha256, StudyId
from storage_schemas.tasks import TaskName

ATTRIBUTE = "study_volume"
"""Name of the group attribute that holds the card."""

INNER_CHUNK_VOXELS = 64
"""Edge of the chunks inside a shard: a 96-voxel patch touches few, a reader that wants one slice reads little."""

Shape3 = tuple[int, int, int]
Spacing = tuple[Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)]]
"""Distance of voxel centres along each voxel axis, in mm."""

Row4 = tuple[float, float, float, float]
Affine = tuple[Row4, Row4, Row4, Row4]
"""Voxel indices to world millimetres (RAS+), rows of the 4×4 matrix."""


class Grid(Document):
    """Where the voxels of one array lie in the world."""

    shape: Shape3
    affine: Affine


class Normalisation(Document):
    """How one channel became zero mean and unit SD; the statistics are those of the head, air left out."""

    channel: str
    mean: float
    sd: Annotated[float, Field(gt=0)]


class SourceImage(Document):
    """One file that the study volume was made from, by its bytes; its name stays outside the store."""

    role: str
    """Channel name, or `reference` for the mask."""
    sha256: Sha256


class StudyVolumeCard(Document):
    """All that is known of one study volume beside its voxels; nothing in it tells who the patient is."""

    study: StudyId
    patient: str
    site: str
    task: TaskName
    axes: Literal["CIJK"] = "CIJK"
    channels: tuple[str, ...]
    spacing_mm: Annotated[float, Field(gt=0)]
    study_grid: Grid
    native_grid: Grid
    normalisation: tuple[Normalisation, ...]
    sources: tuple[SourceImage, ...]
    code_version: Digest
    """Of the preprocessing code that made it."""


PREDICTION_ATTRIBUTE = "prediction"
"""Name of the group attribute that holds a PredictionCard; the group's one array is `mask`, i j k, uint8."""


class PredictionCard(Document):
    """What a run predicted for one study, on that study's native grid."""

    run_id: Digest
    study: StudyId
    native_grid: Grid
