"""The study volume: one Zarr v3 group per study and preprocessing digest, with all that leads back to native space.

Arrays of the group (axes: C channel; I J K voxels of the model grid, RAS; i j k voxels of the native grid):

| array         | shape      | dtype   | what                                                                          |
|---------------|------------|---------|-------------------------------------------------------------------------------|
| image         | C, I, J, K | float16 | images (or differences of two) of zero mean and unit SD over the head, on the |
|               |            |         | isotropic model grid                                                          |
| label         | I, J, K    | uint8   | 1 where the reference has lesion, on the model grid                           |
| native_label  | i, j, k    | uint8   | the reference mask on the native grid                                         |
| second_label  | i, j, k    | uint8   | another rater's mask on the native grid; only where the card says so         |
| deformation_* | 3, I, J, K | int16   | one for each `Deformation` of the card, which says what it means              |

Each array is one shard, so one object, so it has one writer. The group's attribute `study_volume` is a
`StudyVolumeCard`; its attribute `manifest_entry` is the `ManifestEntry` that lists the volume.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from storage_schemas.base import Digest, Document, Sha256, StudyId
from storage_schemas.tasks import Task
from storage_schemas.versions import Version

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
    """How one image became zero mean and unit SD; the statistics are those of the head, air left out."""

    image: str
    """Role of the image in the task."""
    mean: float
    sd: Annotated[float, Field(gt=0)]


class SourceImage(Document):
    """One file that the study volume was made from, by its bytes; its name stays outside the store."""

    role: str
    """Role of the image in the task; `reference` for the mask, `reference-transform` for what brings it to native
    space, `second` for the other rater's mask, `second-transform` as for the first."""
    sha256: Sha256


DEFORMATION_STEP_MM = 0.01
"""Deformations are stored as whole multiples of this: far below what a registration knows, and it compresses."""


class Deformation(Document):
    """A displacement field of a registration, in world millimetres (RAS+), added before its matrix is applied."""

    array: str
    """Name of the group's array: (3, I, J, K) int16 multiples of DEFORMATION_STEP_MM on the model grid."""


class RegistrationReport(Document):
    """How one image was brought onto another, and how well that went."""

    moving: str
    fixed: str
    kind: Literal["rigid", "syn"]
    matrix: Affine
    """World of the fixed image to world of the moving one, RAS+ mm: where to look up a voxel."""
    deformation: Deformation | None
    correlation_before: float
    """Of the two images' edges over the fixed one's head, where both have data; by their headers alone."""
    correlation_after: float
    head_overlap: Annotated[float, Field(ge=0, le=1)]
    """Dice of the two heads after registration."""
    warped_sha256: Sha256
    """Of the registered image's voxels, float32 on the model grid."""


class StudyVolumeCard(Document):
    """All that is known of one study volume beside its voxels; nothing in it tells who the patient is."""

    study: StudyId
    patient: str
    site: str
    task: Task
    axes: Literal["CIJK"] = "CIJK"
    channels: tuple[str, ...]
    spacing_mm: Annotated[float, Field(gt=0)]
    model_grid: Grid
    native_grid: Grid
    normalisation: tuple[Normalisation, ...]
    registrations: tuple[RegistrationReport, ...] = ()
    second_rater: bool = False
    """Whether the group has `second_label`."""
    sources: tuple[SourceImage, ...]
    version: Version
    """Result version of the preprocessing that made it."""


PREDICTION_ATTRIBUTE = "prediction"
"""Name of the group attribute that holds a PredictionCard; the group's one array is `mask`, i j k, uint8."""


class PredictionCard(Document):
    """What a run predicted for one study, on that study's native grid."""

    run_id: Digest
    study: StudyId
    native_grid: Grid
