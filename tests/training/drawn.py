"""Draw small studies to train on within seconds: round heads with bright balls as lesions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lesionlab.model.transfer import random_start
from lesionlab.model.unet import UNet
from storage_schemas.base import digest_of
from storage_schemas.definitions import MetricDefinition
from storage_schemas.manifests import ManifestEntry
from storage_schemas.models import Architecture, InferenceConfig, TensorTransfer
from storage_schemas.runs import RunSpec, TrainingConfig
from storage_schemas.tasks import TASKS
from storage_schemas.versions import CURRENT
from storage_schemas.volumes import Grid, Normalisation, StudyVolumeCard

EDGE_VOXELS = 32
PATCH_VOXELS = 16


@dataclass(frozen=True)
class DrawnStudy:
    """A study as training reads it, and its entry in the manifest."""

    entry: ManifestEntry
    card: StudyVolumeCard
    image_CIJK: NDArray[np.float16]
    label_IJK: NDArray[np.uint8]


def draw_study(number: int, lesions: int = 3, edge: int = EDGE_VOXELS) -> DrawnStudy:
    """A noisy round head in darker air, with `lesions` bright balls of radius 2 to 3 voxels."""
    rng = np.random.default_rng(number)
    places_AIJK = np.indices((edge, edge, edge))
    centre = (edge - 1) / 2
    head_IJK = ((places_AIJK - centre) ** 2).sum(axis=0) < (0.45 * edge) ** 2
    label_IJK = np.zeros((edge, edge, edge), dtype=np.uint8)
    for _ in range(lesions):
        ball = centre + rng.uniform(-0.2, 0.2, size=3) * edge
        label_IJK[((places_AIJK - ball.reshape(3, 1, 1, 1)) ** 2).sum(axis=0) < rng.uniform(2, 3) ** 2] = 1
    image_IJK = np.where(head_IJK, 0.5 * rng.standard_normal(label_IJK.shape), -2.0) + 2.0 * label_IJK
    grid = Grid(shape=label_IJK.shape, affine=((2, 0, 0, 0), (0, 2, 0, 0), (0, 0, 2, 0), (0, 0, 0, 1)))
    study = f"sub-{number:03d}"
    card = StudyVolumeCard(
        study=study,
        patient=f"{number:03d}",
        site="drawn",
        task=TASKS["flair-single"],
        channels=("flair",),
        spacing_mm=2.0,
        model_grid=grid,
        native_grid=grid,
        normalisation=(Normalisation(image="flair", mean=0.0, sd=1.0),),
        sources=(),
        version=1,
    )
    entry = ManifestEntry(
        study=study,
        patient=f"{number:03d}",
        site="drawn",
        volume=digest_of([number, lesions, edge]),
        image_sha256="0" * 64,
        lesions=lesions,
        lesion_volume_ml=1.0,
    )
    return DrawnStudy(entry, card, image_IJK.astype(np.float16)[None], label_IJK)


def make_run(studies: list[DrawnStudy], seed: int = 0, norm: str = "instance", **training: object) -> RunSpec:
    """A run on drawn studies; `training` sets fields of its TrainingConfig."""
    fields = {
        "patch_voxels": PATCH_VOXELS,
        "patches_per_study": 4,
        "augmentations": 2,
        "epochs": 2,
        "batch_size": 4,
        "learning_rate": 1e-3,
    }
    return RunSpec.named(
        experiment="drawn",
        task=TASKS["flair-single"],
        channels=("flair",),
        spacing_mm=2.0,
        cell=None,
        cohort="drawn",
        train=tuple(study.entry for study in studies),
        manifest="0" * 16,
        test=(),
        parent=None,
        architecture=Architecture(depth=2, base_channels=4, norm=norm),
        training=TrainingConfig(**fields | training),
        inference=InferenceConfig(),
        metric=MetricDefinition(),
        seed=seed,
        versions=CURRENT,
    )


def interrupted_run() -> tuple[list[DrawnStudy], RunSpec]:
    """A run of 3 epochs of 4 steps, for tests that stop and resume it."""
    studies = [draw_study(1), draw_study(2)]
    return studies, make_run(studies, epochs=3, norm="batch")


def copied_transfers(network: UNet) -> tuple[TensorTransfer, ...]:
    """The weight-transfer report of a network whose tensors were all copied unchanged from a source."""
    return tuple(row.model_copy(update={"origin": "source", "how": "copied"}) for row in random_start(network))
