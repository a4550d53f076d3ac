"""Segment the images of one study with a registered model: preprocess them as the model's training images, predict."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from torch import nn

from lesionlab.errors import StudyRefused
from lesionlab.evaluation.predict import NativePrediction, predict_native
from lesionlab.imaging.extent import implausible_extent
from lesionlab.imaging.intensity import head_mask
from lesionlab.imaging.layers import layers_png
from lesionlab.imaging.resample import resample_mask
from lesionlab.imaging.volume import Matrix, Volume
from lesionlab.model.devices import best_device
from lesionlab.preprocessing.channels import PreparedImages, prepare_images
from lesionlab.preprocessing.stripping import STRIPPERS
from storage_schemas.cohorts import Stripper
from storage_schemas.models import ModelCard
from storage_schemas.volumes import Grid


@dataclass(frozen=True, eq=False)
class Segmented:
    """The prediction for one study on its native grid, and the images that the network saw."""

    prediction: NativePrediction
    native: Grid
    prepared: PreparedImages

    def picture(self) -> bytes:
        """A PNG of the network's first channel with the predicted lesions, to check by eye."""
        grid = self.prepared.model_grid
        return layers_png(self.prepared.image_CIJK[0], resample_mask(self.prediction.mask_ijk, self.native, grid))


def segment(
    images: Mapping[str, Volume],
    network: nn.Module,
    card: ModelCard,
    *,
    threshold: float | None = None,
    registered: bool = False,
    transforms: Mapping[str, Matrix] = MappingProxyType({}),
    accepted: bool = False,
    strip: Stripper | None = None,
) -> Segmented:
    """Segment the images of one study, given by role; a threshold of None is the model's own.

    `registered`, `transforms` and `accepted` are as in `prepare_images`; `strip` removes the skull. Raises
    StudyRefused as `prepare_images` does, and for a head of a size that no head has.
    """
    native = images[card.task.native].grid
    extents = (implausible_extent(head_mask(image.voxels), image.affine, role) for role, image in images.items())
    if strange := [finding for finding in extents if finding]:
        raise StudyRefused(strange)
    prepared = prepare_images(
        images,
        card.task,
        card.spacing_mm,
        registered=registered,
        transforms=transforms,
        accepted=accepted,
        find_brain=STRIPPERS[strip] if strip else None,
    )
    inference = card.inference if threshold is None else card.inference.model_copy(update={"threshold": threshold})
    prediction = predict_native(
        network, prepared.image_CIJK, prepared.model_grid, native, inference, card.patch_voxels, best_device()
    )
    return Segmented(prediction, native, prepared)
