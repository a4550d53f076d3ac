"""Define the study volume: one Zarr v3 group per study and preprocessing digest, with everything to map back to native
space.

Arrays of the group (axes: C channel; I J K voxels of the model grid, RAS; i j k voxels of the native grid):

| array         | shape      | dtype   | what                                                                          |
|---------------|------------|---------|-------------------------------------------------------------------------------|
| image         | C, I, J, K | float16 | images (or differences of two) of zero mean and unit SD over the head, on the |
|               |            |         | isotropic model grid: the box around the head                                 |
| label         | I, J, K    | uint8   | the reference mask (1: lesion) on the model grid                              |
| native_label  | i, j, k    | uint8   | the reference mask on the native grid                                         |
| second_label  | i, j, k    | uint8   | a second rater's mask on the native grid; only if the card says so            |
| deformation_* | 3, I, J, K | int16   | one per `Deformation` of the card, which defines it; on the whole grid        |

Each array is one shard and therefore one object with one writer. The group's attribute `study_volume` is a
`StudyVolumeCard`; its attribute `manifest_entry` is the `ManifestEntry` that lists the volume. The attribute `ome`
makes `image` an image of OME-Zarr 0.5, see `storage_schemas/ome.py`.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from storage_schemas.base import Digest, Document, Sha256, StudyId
from storage_schemas.cohorts import Stripper
from storage_schemas.tasks import Task
from storage_schemas.versions import Version

ATTRIBUTE = "study_volume"
"""Group attribute with the card."""

INNER_CHUNK_VOXELS = 64
"""Edge of the chunks inside a shard: a 96-voxel patch touches few chunks, and reading one slice reads little."""

Shape3 = tuple[int, int, int]
Spacing = tuple[Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)]]
"""Distance between voxel centres along each voxel axis, in mm."""

Row4 = tuple[float, float, float, float]
Affine = tuple[Row4, Row4, Row4, Row4]
"""Voxel indices to world millimetres (RAS+), rows of the 4×4 matrix."""


class Grid(Document):
    """Shape and affine of one array: the world positions of its voxels."""

    shape: Shape3
    affine: Affine


class Normalisation(Document):
    """Mean and SD used to z-score one image, computed over the head without air."""

    image: str
    """Role of the image in the task."""
    mean: float
    sd: Annotated[float, Field(gt=0)]


class SourceImage(Document):
    """Digest of one source file of the study volume; its name is not stored."""

    role: str
    """Role of the image in the task; `reference` for the mask, `reference-transform` for its transform to native space,
    `second` and `second-transform` for the second rater's mask."""
    sha256: Sha256


DEFORMATION_STEP_MM = 0.01
"""Deformations are stored as integer multiples of this: far finer than registration accuracy, and compressible."""


class Deformation(Document):
    """A displacement field of a registration in world mm (RAS+), added before its matrix is applied."""

    array: str
    """Array name in the group: (3, I, J, K) int16 multiples of DEFORMATION_STEP_MM on the card's whole grid."""


class RegistrationReport(Document):
    """Transform and quality of the registration of one image to another."""

    moving: str
    fixed: str
    kind: Literal["rigid", "syn", "header", "given"]
    """`header`: none was done, the images were registered already; `given`: the user's own transform."""
    matrix: Affine
    """Maps points from the fixed image's world to the moving image's world (RAS+ mm)."""
    deformation: Deformation | None
    correlation_before: float
    """Edge correlation of the two images inside the fixed head, where both have data, before registration."""
    correlation_after: float
    head_overlap: Annotated[float, Field(ge=0, le=1)]
    """Dice of the two heads after registration."""
    affine_correlation: float | None = None
    """Edge correlation after registration by the matrix alone; None in cards of preprocessing version 1, as below."""
    displacement_ratio: float | None = None
    """Its ratio to the mean at six placements 8 mm away."""
    nearby_correlation: float | None = None
    """The maximum at six placements 4 mm away."""
    mirrored_correlation: float | None = None
    """Edge correlation of the mirror image (left for right), registered by a rigid transform of its own; None if the
    image itself agrees too well to be a mirror image, and in earlier cards."""
    warped_sha256: Sha256
    """Digest of the registered image's voxels, float32 on the card's whole grid."""


class StudyVolumeCard(Document):
    """Metadata of one study volume; no field identifies the patient."""

    study: StudyId
    patient: str
    site: str
    task: Task
    axes: Literal["CIJK"] = "CIJK"
    channels: tuple[str, ...]
    spacing_mm: Annotated[float, Field(gt=0)]
    model_grid: Grid
    """That of `image` and `label`."""
    whole_grid: Grid | None = None
    """The model grid before it was cut to the head; None in cards of preprocessing version 2, which did not cut it."""
    native_grid: Grid
    normalisation: tuple[Normalisation, ...]
    registrations: tuple[RegistrationReport, ...] = ()
    second_rater: bool = False
    """Whether the group has `second_label`."""
    strip: Stripper | None = None
    """What removed the skull; None: nothing did."""
    sources: tuple[SourceImage, ...]
    version: Version
    """Result version of the preprocessing that computed it."""


PREDICTION_ATTRIBUTE = "prediction"
"""Group attribute with a PredictionCard. Arrays of the group, both i j k, uint8: `mask`, the mask that was scored, and,
if the card names a scale, `level`: the probabilities on that scale."""


class PredictionCard(Document):
    """Prediction of a run for one study, on that study's native grid."""

    run_id: Digest
    study: StudyId
    native_grid: Grid
    scale: Annotated[int, Field(ge=1)] | None = None
    """Scale of the probabilities (`storage_schemas.probabilities`); null: only the mask is stored, as for a rater."""
